"""Windows: one answer less another, where both come from one state of NCBI's data.

All since the beginning of a window less all since its end is the window only while the data stand still. On most nights
all answers have the same data date; where some have another one, an edge is asked again and has several answers, and
windows side by side may use different ones of the edge between them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from batchsum.model.queries import Answer, Query, Request, Summary, combine, moment, request_key, subtract
from batchsum.run.data_dates import DataDates, dates_of
from batchsum.run.guards import LONGEST_LAG
from batchsum.run.resume import Night
from batchsum.store.store import in_groups

MOST_PAIRS = 4
"""How often the edges of a window are asked again, until both come from one state of the data."""


def answer_of_row(
    known: Mapping[str, Sequence[Answer]], query: Query, keys: Sequence[str], dates: DataDates
) -> Answer | None:
    """The answer of a row by the keys of its requests, of all that was answered; None where one of them has none."""
    found = [known[key] for key in keys if key in known]
    if len(found) < len(keys):
        return None
    if len(found) == 1:
        return found[0][-1]
    since, until = found
    end = query.filters.released_before
    assert isinstance(end, date)
    return answer_of_window(since, until, dates, end)


def answer_of_window(
    since: Sequence[Answer], until: Sequence[Answer], dates: DataDates, end: date | None = None
) -> Answer:
    """The answer of a window. It contradicts itself where no answers of its two edges fit together.

    `since` and `until` are the answers to each edge, oldest first. On a night of common dates two answers fit where
    they are of one moment; else where the inner edge's date is not newer than the outer one's. An edge without a date
    contradicts none, but where copies a day apart answer: there a zero at the `end` may be the older copy's.
    """
    first, last = since[-1], until[-1]
    if not (isinstance(first, Summary) and isinstance(last, Summary)):
        return combine([first, last])  # what failed has nothing to subtract
    pairs = [
        _Pair(
            outer, inner, moment(outer.resource_updated_on), moment(inner.resource_updated_on), outer_turn, inner_turn
        )
        for outer_turn, outer in enumerate(since)
        for inner_turn, inner in enumerate(until)
        if isinstance(outer, Summary) and isinstance(inner, Summary)
    ]
    fitting = [pair for pair in pairs if pair.fits(are_common=dates.are_common)]
    newest = dates.newest_copy if dates.are_common else None
    if newest and not (end and end > newest.date()):  # what is released later, no copy has
        # A zero of either copy is one of the older; of the newer too, where it has no more since the beginning.
        counts = {pair.outer.record_count for pair in pairs if pair.outer_at and newest - pair.outer_at >= LONGEST_LAG}
        fitting = [
            pair for pair in fitting
            if pair.inner_at or pair.inner.record_count or not pair.outer_at or pair.outer.record_count in counts
        ]  # fmt: skip
    if fitting:
        best = max(fitting, key=_Pair.order)
        return combine([best.outer, best.inner])
    begins, ends = (one.resource_updated_on or "no date" for one in (first, last))
    words = f"the window's edges are of different states of NCBI's data ({begins} at its beginning, {ends} at its end)"
    return subtract(first, last)._replace(contradiction=words)


class _Pair(NamedTuple):
    """An answer to each edge of a window, when its data are of, and which of the answers to that edge it is."""

    outer: Summary
    inner: Summary
    outer_at: datetime | None
    inner_at: datetime | None
    outer_turn: int
    inner_turn: int

    def fits(self, *, are_common: bool) -> bool:
        if self.outer_at is None or self.inner_at is None or self.outer_at == self.inner_at:
            return True
        return not are_common and self.inner_at < self.outer_at

    def order(self) -> tuple[float, int, int]:
        """Where it stands among those that fit: two of one moment first, the latest of them; else two that were asked
        together, since an edge may have been asked again for the sake of the window on its other side."""
        latest = self.outer_at.timestamp() if self.outer_at and self.outer_at == self.inner_at else -math.inf
        return latest, -abs(self.outer_turn - self.inner_turn), self.outer_turn


# Asking again


def edges_to_ask_again(night: Night, queries: Iterable[Query]) -> list[dict[Request, int]]:
    """The edges of each window among `queries` that has no two answers of one moment, each with its turn, from 1; those
    of windows side by side are together. On a night of moments a day apart, a zero without a date is no such answer at
    its end.

    What is together is to be asked one right behind the other. A window that was asked again as often as may be is
    left out, and so is every edge that had its turn before the run was cut off. On nights on which rows have dates of
    their own there are none.
    """
    dates = dates_of(night)
    # Where data of another day answer too, an edge without a date may be that day's zero.
    moments = [at for text in night.store.count_dates(night.run) if (at := moment(text))]
    are_mixed = bool(moments) and max(moments) - min(moments) >= LONGEST_LAG
    chains: list[dict[Request, int]] = []
    for query, known in _windows(night, queries) if dates.are_common else ():
        edges = {request: request_key(request) for request in query.requests()}
        if (answer := answer_of_row(known, query, [*edges.values()], dates)) is None:
            continue  # what was counted in a file was not asked
        is_apart = isinstance(answer, Summary) and answer.contradiction
        is_doubtful = are_mixed and _has_undated_end(known, [*edges.values()])
        if not (is_apart or is_doubtful):
            continue
        turns = {request: len(known[key]) for request, key in edges.items()}
        if min(turns.values()) <= MOST_PAIRS:  # the answer of the first round is counted, too
            if not chains or turns.keys().isdisjoint(chains[-1]):  # windows side by side share an edge
                chains.append({})
            chains[-1].update(turns)
    return [{edge: turn for edge, turn in chain.items() if turn == min(chain.values())} for chain in chains]


def _has_undated_end(known: Mapping[str, Sequence[Answer]], keys: Sequence[str]) -> bool:
    """Whether the end of a window was answered by a zero without a date, and by none with that of its beginning."""
    answers = ([one for one in known.get(key, ()) if isinstance(one, Summary)] for key in keys)
    since, until = ({moment(one.resource_updated_on): not one.record_count for one in of_edge} for of_edge in answers)
    dates = since.keys() - {None}
    return until.get(None, False) and bool(dates) and dates.isdisjoint(until)


def _windows(night: Night, queries: Iterable[Query]) -> Iterator[tuple[Query, Mapping[str, Sequence[Answer]]]]:
    """Every window, with all that its edges were answered."""
    for group in in_groups(query for query in queries if query.filters.released_before is not None):
        keys = {request_key(request) for query in group for request in query.requests()}
        known = night.store.every_answer(night.run, keys)
        for query in group:
            yield query, known
