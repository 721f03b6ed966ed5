"""Sums over records that are alike: counted once by kind, then added up for each question that some row asks.

A question is matched by hash and never by looking through the records, so that a thousand filter sets cost what their
rows cost. Release dates stay apart: a question has its sums by span of days, and a row takes a piece of them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, product
from typing import NamedTuple

from batchsum.model.filters import FilterSet


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing to count: a taxon with all below it, under filters whose dates are absolute."""

    tax_id: int | None
    """None where nothing is known of the taxon but its name."""
    name: str
    """As it was asked for."""
    filters: FilterSet


class Kind(NamedTuple):
    """What the job can tell of a record, the same for all records that no row tells apart."""

    span: int
    """How many of the release days that are asked for have come by its own; -1 where it has none."""
    updated: int
    """The same for the days of `updated_since`."""
    taxa: frozenset[int]
    pangolin_classification: str
    host: frozenset[int]
    """The ids of the host's lineage."""
    places: frozenset[str]
    usa_state: str
    is_refseq: bool
    is_annotated: bool
    is_complete: bool
    accessions: frozenset[str]
    """Those asked for that name it, with or without version."""


class Question(NamedTuple):
    """What a row asks but for release dates. A filter that is not set is false, as in FilterSet."""

    taxon: int
    updated_since: date | None
    pangolin_classification: str
    host: str
    geo_location: str
    usa_state: str
    refseq_only: bool
    annotated_only: bool
    complete_only: bool
    accessions: tuple[str, ...]


_UNSET = ((0,), (None,), ("",), ("",), ("",), ("",), (False,), (False,), (False,), ((),))


class Spans:
    """The records of one question by their spans of release days."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._spans = sorted(counts)
        self._sums = [0, *accumulate(counts[span] for span in self._spans)]

    def between(self, first: int, end: int) -> int:
        """The records whose span is `first` or later, and before `end`."""
        return self._sums[bisect_left(self._spans, end)] - self._sums[bisect_left(self._spans, first)]


def sum_up(
    kinds: Mapping[Kind, int],
    questions: Iterable[Question],
    hosts: Mapping[str, int],
    updated_days: Sequence[date],
) -> dict[Question, Spans]:
    """The sums of every question. `hosts` has the ids of the hosts as they are written in the questions."""
    sums: dict[Question, dict[int, int]] = {question: {} for question in questions}
    # Questions that set the same filters are answered together; there are few such shapes.
    shapes = {tuple(map(bool, question)) for question in sums}
    lists = {question[-1] for question in sums}
    for kind, count in kinds.items():
        # For each field of a question the values with which it means this kind.
        values = (
            kind.taxa,
            updated_days[: kind.updated],
            (kind.pangolin_classification,),
            [host for host, tax_id in hosts.items() if tax_id in kind.host],
            kind.places,
            (kind.usa_state,),
            (True,) * kind.is_refseq,
            (True,) * kind.is_annotated,
            (True,) * kind.is_complete,
            [each for each in lists if not kind.accessions.isdisjoint(each)] if kind.accessions else (),
        )
        for shape in shapes:
            chosen = [some if is_set else unset for some, is_set, unset in zip(values, shape, _UNSET, strict=True)]
            for question in map(Question._make, product(*chosen)):
                if (spans := sums.get(question)) is not None:
                    spans[kind.span] = spans.get(kind.span, 0) + count
    return {question: Spans(counts) for question, counts in sums.items()}
