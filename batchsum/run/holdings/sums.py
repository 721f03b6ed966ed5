"""Sums over records that are alike, for each question that some row asks of them.

A question is found by hash and never by looking through the records, so that a thousand filter sets cost what their
rows cost. Release dates stay apart: a question has its sums by spans of days, and a row takes a piece of them.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any

from batchsum.model.filters import FilterSet


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing to count: a taxon with all below it, under filters whose dates are absolute."""

    tax_id: int | None
    """None where nothing is known of the taxon but its name."""
    name: str
    """As it was asked for."""
    filters: FilterSet


Question = tuple[Any, ...]
"""What a row asks, filter by filter; one that is not set is false, as in FilterSet."""
Answers = tuple[frozenset[Any], ...]
"""For each filter of a question, the values with which it means a record."""


Between = Callable[[int, int], int]
"""Tells how many records a question means whose span is the first number or later, and before the second."""


def sum_up(kinds: Mapping[Answers, Mapping[int, int]], questions: Iterable[Question]) -> dict[Question, Between]:
    """The sums of every question. `kinds` has how many records there are of the same answers, by their spans."""
    sums: dict[Question, defaultdict[int, int]] = {question: defaultdict(int) for question in questions}
    if not sums:
        return {}
    asked = [frozenset(values) for values in zip(*sums, strict=True)]
    # Questions that set the same filters are looked for together: there are few such shapes. What a filter that is not
    # set says stands in any question of the shape.
    shapes = {tuple(map(bool, question)): question for question in sums}
    for answers, spans in kinds.items():
        known = [answer & values for answer, values in zip(answers, asked, strict=True)]
        for is_set, example in shapes.items():
            choices = (values if one else (unset,) for one, values, unset in zip(is_set, known, example, strict=True))
            for question in product(*choices):
                if (counts := sums.get(question)) is not None:
                    for span, count in spans.items():
                        counts[span] += count
    return {question: _between(counts) for question, counts in sums.items()}


def _between(counts: Mapping[int, int]) -> Between:
    spans = sorted(counts)
    sums = [0, *accumulate(counts[span] for span in spans)]
    return lambda first, end: sums[bisect_left(spans, end)] - sums[bisect_left(spans, first)]
