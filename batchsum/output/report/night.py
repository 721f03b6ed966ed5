"""A published night as the page shows it, read from the store alone: when it is published, and again by `report`.

Null is never zero: a count that nobody gave is None, and stays an empty cell.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from batchsum.model.queries import Package, Summary
from batchsum.store.failures import doubtful_since
from batchsum.store.history import History, Nights
from batchsum.store.rows import KeptRow, answer_of, answered_rows
from batchsum.store.store import Run, Store, in_groups, load_answer

NIGHTS_SHOWN = 60
MOST_ROWS = 5_000
"""Rows the page carries, a size that a phone opens at once; of a longer table those in doubt and those that changed
come before the quiet ones."""

# INDEXED BY makes SQLite refuse the query rather than walk through every night of the table.
_SERIES = """
SELECT query, run, record_count, status
FROM json_each(?1) AS wanted JOIN rows INDEXED BY rows_of_a_query
ON query = wanted.value
WHERE night BETWEEN ?2 AND ?3
"""
_CARRIED = """
SELECT position FROM rows WHERE run = ?
ORDER BY change = '' AND status IN ('ok', 'empty'), position LIMIT ?
"""

_Series = dict[int, tuple[int | None, str]]
"""Count and status of a row, by run."""


class ReportRow(NamedTuple):
    """A row of the table as the store keeps it, and what the page shows beside it."""

    kept: KeptRow
    is_carried: bool = True
    """Whether the page carries the row; what follows is known of no other."""
    messages: tuple[str, ...] = ()
    """NCBI's own messages beside the answer."""
    size_mb: int | None = None
    """hydrated_estimated_file_size_mb."""
    download_command: str = ""
    """hydrated_cli_download_command_line; empty where NCBI gave none (windows, unanswered rows)."""
    since: str = ""
    """YYYY-MM-DD: from which night on it has no count to rely on; empty where it has one."""
    phids: tuple[str, ...] = ()
    """NCBI-PHID of tonight's attempts, oldest first; needed for rows without a believed answer only."""
    nightly_counts: tuple[int | None, ...] = ()
    """record_count of each of `ReportNight.dates`; None where there was no count or no such row. May be empty."""
    nightly_statuses: tuple[str, ...] = ()
    """Status on each of `ReportNight.dates`; empty text where the row was not in the job. As long as the counts."""


@dataclass(frozen=True, slots=True)
class ReportNight:
    """One published run, and the nights that led to it."""

    manifest: Mapping[str, Any]
    """run.json of the run; of its `files` only the names count."""
    date: str
    """YYYY-MM-DD: the day of the run that relative dates count back from."""
    rows: Iterable[ReportRow]
    """In job order; walked once, and need not be in memory."""
    directory: str = ""
    """The output directory, for the commands on the page."""
    previous_date: str | None = None
    """The last published night before this one; None on a job's first."""
    dates: Sequence[str] = ()
    """YYYY-MM-DD of the nights in the rows' histories, oldest first, those without a table included; up to
    NIGHTS_SHOWN. Of a job that runs nightly it is every day."""
    in_doubt: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """How many rows the tables had, and how many of them no count to rely on, by date."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Why there is no table, by date; those behind `date` are what whoever opens the page today must know first."""
    failed_again: Run | None = None
    """The run that was to replace this table on its day, and left none."""
    removed: Sequence[KeptRow] = ()
    """Rows of last night whose query is not in tonight's job."""

    @property
    def tonight(self) -> str:
        """What a reader of today calls this night."""
        return "that night" if self.failed_since else "tonight"

    @property
    def failed_since(self) -> list[str]:
        """The dates behind this night on which there was no table, oldest first."""
        return sorted(day for day in self.failures if day > self.date)

    @property
    def last_date(self) -> str:
        """The last night of all, with a table or without."""
        return max([self.date, *self.failures])


def night_from_store(store: Store, run: Run, manifest: Mapping[str, Any]) -> ReportNight:
    """The night of `run`, published or about to be; of `files` in its manifest only the names count."""
    kept = Nights(store, NIGHTS_SHOWN)
    # The run may be published already, or replace one of its own day, so only earlier days are taken.
    before = [night for night in kept.runs if night.today < run.today]
    nights = {night.today: night for night in [*before[1 - NIGHTS_SHOWN :], run]}
    failed = {one.today: one.failure for one in kept.failed() if one.today not in nights}
    days = calendar([*nights, *failed])
    is_counted = manifest.get("holdings", {}).get("use") == "count"
    return ReportNight(
        manifest,
        date=run.today.isoformat(),
        rows=_Rows(store, run, [nights.get(day) for day in days], is_counted=is_counted),
        directory=str(store.path.parent.absolute()),
        previous_date=before[-1].today.isoformat() if before else None,
        dates=tuple(day.isoformat() for day in days),
        in_doubt=kept.in_doubt(run),
        failures={day.isoformat(): why for day, why in failed.items() if day in days},
        failed_again=kept.failed_again(run),
        removed=tuple(row for word, row in History(store, run).removed() if word == "removed"),
    )


def calendar(nights: Iterable[date]) -> list[date]:
    """The days to show, oldest first: of a job that runs nightly those in between too, so that a gap is seen."""
    days = sorted(nights)
    steps = Counter(after - before for before, after in pairwise(days))
    # Only where most steps are of one day: else a weekly job would be shown mostly as gaps.
    if steps and steps.most_common(1)[0][0] == timedelta(days=1):
        days = [days[0] + timedelta(days=more) for more in range((days[-1] - days[0]).days + 1)]
    return days[-NIGHTS_SHOWN:]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a night, made anew each time they are walked: none of them stays in memory."""

    store: Store
    run: Run
    nights: Sequence[Run | None]
    """For each day that is shown its run; None where there was no table."""
    is_counted: bool = False
    """Whether rows are counted in a file where one covers them, and not asked."""

    def __iter__(self) -> Iterator[ReportRow]:
        carried = {position for (position,) in self.store.query(_CARRIED, self.run.run, MOST_ROWS)}
        for piece in in_groups(answered_rows(self.store, self.run)):
            since = doubtful_since(self.store, self.run, (kept.query for kept, _ in piece if not kept.is_believed))
            series = self._series(kept.query for kept, _ in piece if kept.position in carried)
            for kept, answer in piece:
                if kept.position in carried:
                    yield self._row(kept, answer, series[kept.query], since.get(kept.query, ""))
                else:
                    yield ReportRow(kept, is_carried=False, since=since.get(kept.query, ""))

    def _series(self, queries: Iterable[int]) -> dict[int, _Series]:
        """For each query its counts and statuses."""
        series: dict[int, _Series] = {query: {} for query in queries}
        # The run itself is not among the nights where only such without a table came behind it.
        first = min((night.today for night in self.nights if night), default=self.run.today).isoformat()
        # As one JSON text, since SQLite takes a limited number of parameters.
        found = self.store.query(_SERIES, json.dumps(list(series)), first, self.run.today.isoformat())
        for query, run, count, status in found:
            series[query][run] = count, status
        return series

    def _row(self, kept: KeptRow, answer: str | None, series: _Series, since: str) -> ReportRow:
        package, messages = Package(), tuple[str, ...]()
        if self.is_counted and kept.held_in:  # some are asked all the same
            messages = (f"counted in {kept.held_in}",) if kept.is_believed else ()
        else:
            said = load_answer(answer) if answer else answer_of(self.store, self.run, kept)
            if isinstance(said, Summary):
                messages = said.messages
                if answer:  # a window, which has two, is nothing that could be downloaded
                    package = said.hydrated
        # No run has the number -1, so a day without a table finds nothing.
        nightly = [series.get(night.run if night else -1, (None, "")) for night in self.nights]
        phids = () if kept.is_believed else self._phids(kept)
        return ReportRow(
            kept, True, messages, package.estimated_file_size_mb, package.cli_download_command_line or "", since, phids,
            tuple([count for count, _ in nightly]), tuple([status for _, status in nightly]),
        )  # fmt: skip

    def _phids(self, kept: KeptRow) -> tuple[str, ...]:
        found = filter(None, (self.store.answer(self.run, key) for key in kept.request_keys))
        return tuple(attempt.phid for _, reply in found for attempt in reply.attempts if attempt.phid)
