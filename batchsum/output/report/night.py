"""Everything the page needs to know of a night, as plain values.

Null is never zero: a count that nobody gave is None, and stays an empty cell.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from batchsum.model.queries import BELIEVED, Package, Summary
from batchsum.store.history import History, KeptRow, answered_rows, together
from batchsum.store.store import Run, Store, load_download


class ReportRow(NamedTuple):
    """One row of the table, with what the earlier nights say of it."""

    taxon: str
    """As the user wrote it."""
    filter_set: str
    status: str
    """One of `model.STATUSES`."""
    record_count: int | None = None
    previous_record_count: int | None = None
    """The last believed count before tonight."""
    label: str = ""
    filters: str = ""
    """As sent: `FilterSet.text()`; empty for no filters."""
    change: str = ""
    """The word of changes.csv; empty where nothing differs and on a job's first night."""
    error: str = ""
    """As in the table, beginning with the reason and a colon: `fell: 12 is 40.0 % below 20; ...`."""
    messages: tuple[str, ...] = ()
    """NCBI's own messages beside the answer."""
    resource_updated_on: str = ""
    """As NCBI wrote it; a date or a date-time, empty where missing."""
    size_mb: int | None = None
    """hydrated_estimated_file_size_mb."""
    download_command: str = ""
    """hydrated_cli_download_command_line; empty where NCBI gave none (windows, unanswered rows). Not shown where it
    holds characters that cannot be seen."""
    phids: tuple[str, ...] = ()
    """NCBI-PHID of tonight's attempts, oldest first; shown, and needed, for rows without a believed answer only."""
    nightly_counts: tuple[int | None, ...] = ()
    """record_count of each of `Night.dates`; None where there was no count or no such row. May be empty."""
    nightly_statuses: tuple[str, ...] = ()
    """Status on each of `Night.dates`; empty text where the row was not in the job. As long as the counts."""

    @property
    def is_believed(self) -> bool:
        return self.status in BELIEVED

    @property
    def record_count_change(self) -> int | None:
        if self.record_count is None or self.previous_record_count is None:
            return None
        return self.record_count - self.previous_record_count

    @property
    def reason(self) -> str:
        """The word before the colon of `error`."""
        return self.error.partition(":")[0].strip()


@dataclass(frozen=True, slots=True)
class RemovedRow:
    """A row of last night's job that is not in tonight's."""

    taxon: str
    filter_set: str
    label: str = ""
    previous_record_count: int | None = None


@dataclass(frozen=True, slots=True)
class Night:
    """One published run, and the nights that led to it."""

    job: str
    date: str
    """YYYY-MM-DD: the day of the run that relative dates count back from."""
    run_id: str
    started_at: str
    """UTC, ISO 8601."""
    finished_at: str
    base_url: str
    rows: Iterable[ReportRow]
    """In job order; need not be in memory."""
    previous_date: str | None = None
    """The last published night before this one; None on a job's first."""
    dates: Sequence[str] = ()
    """YYYY-MM-DD of the nights in the rows' histories, oldest first, tonight last; up to about sixty."""
    removed: Sequence[RemovedRow] = ()
    requests: int | None = None
    """Different requests in the plan, after sharing."""
    requests_per_second: float | None = None
    """The pace at the end of the run; None for unlimited."""
    http_statuses: Mapping[str, int] = field(default_factory=dict)
    """Sends by HTTP status as text; `none` for those that got no answer."""
    notes: tuple[str, ...] = ()
    """What a person should know of the run: moved names, staleness, filters without effect."""
    stale: tuple[str, ...] = ()
    """What has not moved for too long: sentences, for one grey line."""
    versions: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Names of the files beside the page, to link to: `summary.csv`, `changes.csv`, ..."""


# A published night as the page wants it, from the store alone: while it is published, and again whenever
# asked.


PAGE = "report.html"
NIGHTS_SHOWN = 60
MOST_SERIES = 50_000
"""Rows up to which each is shown with its earlier nights."""
_PIECE = 500
_NO_DOWNLOAD = Package()

_SERIES = """
SELECT wanted.key, run, record_count, status
FROM json_each(?1) AS wanted JOIN rows INDEXED BY rows_of_a_query ON query = wanted.value
WHERE night BETWEEN ?2 AND ?3
"""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a night, made anew each time they are walked: none of them stays in memory."""

    store: Store
    run: Run
    nights: Sequence[Run]

    def __iter__(self) -> Iterator[ReportRow]:
        rows = answered_rows(self.store, self.run)
        with_series = self.store.query("SELECT count(*) FROM rows WHERE run = ?", self.run.run)[0][0] <= MOST_SERIES
        while piece := list(islice(rows, _PIECE)):
            series = self._series([row for row, _ in piece]) if with_series else [{}] * len(piece)
            for (row, answer), of_row in zip(piece, series, strict=True):
                yield self._row(row, answer, of_row)

    def _series(self, piece: Sequence[KeptRow]) -> list[dict[int, tuple[int | None, str]]]:
        """For each row its count and status, by run."""
        series: list[dict[int, tuple[int | None, str]]] = [{} for _ in piece]
        wanted = json.dumps([row.query for row in piece])
        first, last = self.nights[0].today.isoformat(), self.run.today.isoformat()
        for number, run, count, status in self.store.query(_SERIES, wanted, first, last):
            series[number][run] = count, status
        return series

    def _row(self, row: KeptRow, answer: str | None, series: Mapping[int, tuple[int | None, str]]) -> ReportRow:
        package, messages = load_download(answer) if answer else (_NO_DOWNLOAD, self._messages(row))
        nightly = [series.get(night.run, (None, "")) for night in self.nights] if series else []
        return ReportRow(
            taxon=row.taxon,
            filter_set=row.filter_set,
            status=row.status,
            record_count=row.record_count,
            previous_record_count=row.previous_record_count,
            label=row.label,
            filters=row.filters,
            change=row.change,
            error=row.error,
            messages=messages,
            resource_updated_on=row.resource_updated_on or "",
            size_mb=package.estimated_file_size_mb,
            download_command=package.cli_download_command_line or "",
            phids=() if row.is_believed else self._phids(row),
            nightly_counts=tuple([count for count, _ in nightly]),
            nightly_statuses=tuple([status for _, status in nightly]),
        )

    def _messages(self, row: KeptRow) -> tuple[str, ...]:
        """What NCBI said of the two edges of a window. The window itself is nothing that could be downloaded."""
        keys = row.requests.split("\n")
        answer = together(self.store.answers(self.run, keys), keys) if len(keys) > 1 else None
        return answer.messages if isinstance(answer, Summary) else ()

    def _phids(self, row: KeptRow) -> tuple[str, ...]:
        keys = row.requests.split("\n")
        known = self.store.replies(self.run, keys)
        replies = [known[key] for key in keys if key in known]
        return tuple(attempt.phid for reply in replies for attempt in reply.attempts if attempt.phid)


def retell(store: Store, run: Run, manifest: Mapping[str, Any]) -> Night:
    """The night of `run`, published or about to be; of `files` in its manifest only the names count."""
    before = [night for night in store.runs("published", limit=NIGHTS_SHOWN) if night.today < run.today]
    nights = [*before[: NIGHTS_SHOWN - 1][::-1], run]
    return Night(
        job=manifest["job"],
        date=run.today.isoformat(),
        run_id=run.run_id,
        started_at=manifest["started_at"],
        finished_at=manifest["finished_at"],
        base_url=run.base_url,
        rows=_Rows(store, run, nights),
        previous_date=before[0].today.isoformat() if before else None,
        dates=tuple(night.today.isoformat() for night in nights),
        removed=_removed(store, run),
        requests=manifest["requests"],
        requests_per_second=manifest["requests_per_second"],
        http_statuses=manifest["http_statuses"],
        notes=tuple(manifest["warnings"]),
        stale=tuple(manifest["stale"]),
        versions=manifest["versions"],
        files=tuple(name for name in manifest["files"] if name != PAGE),
    )


def _removed(store: Store, run: Run) -> tuple[RemovedRow, ...]:
    return tuple(
        RemovedRow(row.taxon, row.filter_set, row.label, row.last_believed)
        for word, row in History(store, run).removed()
        if word == "removed"
    )
