"""A published night as the page wants it, from the store alone: while it is published, and again whenever asked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batchsum.model.queries import Package, Summary
from batchsum.output.report.night import Night, RemovedRow, ReportRow
from batchsum.store.history import KeptRow, answered_rows, rows_without, together
from batchsum.store.record import load_download
from batchsum.store.store import Run, Store

PAGE = "report.html"
NIGHTS_SHOWN = 60
MOST_SERIES = 50_000
"""Rows up to which each is shown with its earlier nights."""
_PIECE = 500
_NO_DOWNLOAD = Package()

_SERIES = """
SELECT wanted.key, run, record_count, status
FROM json_each(?1) AS wanted JOIN rows INDEXED BY rows_of_a_query
ON taxon = json_extract(wanted.value, '$[0]') AND filter_set = json_extract(wanted.value, '$[1]')
WHERE run BETWEEN ?2 AND ?3
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
        wanted = json.dumps([(row.taxon, row.filter_set) for row in piece])
        for number, run, count, status in self.store.query(_SERIES, wanted, self.nights[0].run, self.run.run):
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
            stale_days=row.stale_days,
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
    before = [night for night in store.runs("published", limit=NIGHTS_SHOWN) if night.run < run.run]
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
        removed=_removed(store, run, before[0]) if before else (),
        requests=manifest["requests"],
        requests_per_second=manifest["requests_per_second"],
        http_statuses=manifest["http_statuses"],
        notes=tuple(manifest["warnings"]),
        versions=manifest["versions"],
        files=tuple(name for name in manifest["files"] if name != PAGE),
    )


def _removed(store: Store, run: Run, last: Run) -> tuple[RemovedRow, ...]:
    return tuple(
        RemovedRow(row.taxon, row.filter_set, row.label, row.last_believed)
        for row in rows_without(store, last.run, run.run)
    )
