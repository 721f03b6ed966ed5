"""What `batchsum history` and `batchsum explain` say of the nights that were."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from batchsum.errors import UsageError
from batchsum.output.files import prepare, put_in_place, read_manifest
from batchsum.output.table import cell
from batchsum.store.directory import held, output_errors, state_of
from batchsum.store.history import KeptRow
from batchsum.store.nights import Nights
from batchsum.store.store import Run, Store

HISTORY_COLUMNS = (
    "night", "run_id", "taxon", "label", "filter_set", "filters", "status", "record_count", "resource_updated_on",
    "previous_record_count", "error",
)  # fmt: skip


def history(directory: Path, *, nights: int, form: str) -> Iterator[str]:
    """The counts of the last nights, in pieces of text: `table` for people, `csv`, or `json` (an array)."""
    with output_errors(directory), Store(state_of(directory)) as store:
        kept = Nights(store, nights)
        if form == "table":
            yield from _history_table(kept)
        elif form == "csv":
            yield from _history_csv(kept)
        else:
            yield from _history_json(kept)


def _records(kept: Nights) -> Iterator[tuple[object, ...]]:
    for run in kept.runs:
        for row in kept.rows(run):
            yield (
                run.today.isoformat(), run.run_id, row.taxon, row.label, row.filter_set, row.filters, row.status,
                row.record_count, row.resource_updated_on, row.previous_record_count, row.error,
            )  # fmt: skip


def _history_csv(kept: Nights) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HISTORY_COLUMNS)
    for record in _records(kept):
        writer.writerow([cell(value) for value in record])  # type: ignore[arg-type]
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _history_json(kept: Nights) -> Iterator[str]:
    start = "["
    for record in _records(kept):
        yield f"{start}\n{json.dumps(dict(zip(HISTORY_COLUMNS, record, strict=True)), ensure_ascii=False)}"
        start = ","
    yield "[]\n" if start == "[" else "\n]\n"


_MARKS = {"suspect": "?", "rejected": "rejected", "failed": "failed", "skipped": "skipped"}


def _history_table(kept: Nights) -> Iterator[str]:
    """A line for each query of the last night, a column for each night; a count that was not believed has a ?."""
    if not kept.runs:
        yield "no night was published yet\n"
        return
    failed = kept.failed()
    nights = sorted([*kept.runs, *failed], key=lambda run: run.today)
    before = [{row.query: _shown(row) for row in kept.rows(run)} for run in nights]
    lines = [["taxon", "label", "filter_set", *(f"{run.today:%m-%d}" for run in nights)]]
    for row in kept.rows(kept.runs[-1]):
        of_nights = (
            "-" if run.failure else night.get(row.query, ".") for run, night in zip(nights, before, strict=True)
        )
        lines.append([row.taxon, row.label, row.filter_set, *of_nights])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        words = [cell.ljust(width) for cell, width in zip(line[:3], widths, strict=False)]
        counts = [cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True)]
        yield "  ".join(words + counts).rstrip() + "\n"
    for run in failed:
        yield f"{run.today} left no table: {run.failure}\n"


def _shown(row: KeptRow) -> str:
    if row.record_count is None:
        return _MARKS[row.status]
    return f"{row.record_count:,}" + ("?" if row.status == "suspect" else "")


def explain(directory: Path, taxon: str, filter_set: str | None, *, nights: int) -> str:
    """Everything known of one row: how it was asked, what came back and when, and the nights before.

    UsageError where the last night has no such row, or several filter sets of the taxon and none is named.
    """
    with output_errors(directory), Store(state_of(directory)) as store:
        kept = Nights(store, nights)
        row = _find(kept, taxon, filter_set)
        run = kept.runs[-1]
        lines = [
            f"{row.taxon}{f' ({row.label})' if row.label else ''}, filter set {row.filter_set}",
            f"  filters    {row.filters or 'none'}",
            f"  last night {run.today}, run {run.run_id}, begun {run.started_at}, {run.base_url}",
            f"  verdict    {row.status}" + (f", {row.record_count:,} records" if row.record_count is not None else ""),
        ]
        if row.error:
            lines.append(f"  because    {row.error}")
        lines += _asked(store, run, row)
        lines += ["", "nights"]
        told = [
            (night.today, f"{_shown(one):>12}  {one.status:<8}  {one.error}") for night, one in kept.series(row.query)
        ]
        told += [(night.today, f"{'-':>12}  no table  {night.failure}") for night in kept.failed()]
        lines += [f"  {day}  {what}".rstrip() for day, what in sorted(told, reverse=True)]
        lines += [f"  {level.night}  {level}" for level in kept.accepted(row.query)]
    return "\n".join(lines) + "\n"


def report(directory: Path) -> Path:
    """Make the page of the last published night again; where it is. UsageError where none was published."""
    from batchsum.output.report.night import PAGE, retell
    from batchsum.output.report.page import write_report

    with output_errors(directory):
        state_of(directory)
    with output_errors(directory), held(directory) as store:
        kept, manifest = Nights(store, 1), read_manifest(directory)
        if not kept.runs or manifest.get("run_id") != kept.runs[-1].run_id:
            raise UsageError(f"{directory}: no night was published here, or run.json is not of the last one")
        night = retell(store, kept.runs[-1], manifest)
        publication = prepare(
            directory,
            "report",
            {PAGE: lambda path: write_report(path, night)},
            lambda files: {**manifest, "files": {**manifest["files"], **files}},
        )
        put_in_place(directory, replace(publication, stale=[]))
    return directory / PAGE


def _find(kept: Nights, taxon: str, filter_set: str | None) -> KeptRow:
    if not kept.runs:
        raise UsageError("no night was published yet")
    named = [row for row in kept.rows(kept.runs[-1]) if taxon in (row.taxon, row.label)]
    of_taxon = [row for row in named if row.taxon == taxon] or named
    if not of_taxon:
        raise UsageError(f"the last night has no taxon {taxon!r}; write it as in the column taxon or label")
    if len(taxa := dict.fromkeys(row.taxon for row in of_taxon)) > 1:
        raise UsageError(f"{taxon!r} is the label of several taxa; name one of {', '.join(taxa)}")
    found = [row for row in of_taxon if filter_set in (None, row.filter_set)]
    names = ", ".join(dict.fromkeys(row.filter_set for row in of_taxon))
    if not found:
        raise UsageError(f"{taxon} has no filter set {filter_set!r}; it has {names}")
    if len({row.filter_set for row in found}) > 1:
        raise UsageError(f"{taxon} has several filter sets; name one of {names}")
    return found[0]


def _asked(store: Store, run: Run, row: KeptRow) -> Iterator[str]:
    for key in row.requests.split("\n"):
        kept = store.answer(run, key)
        yield f"  asked      {key}"
        if kept is None:
            yield "             no answer is kept"
            continue
        for number, attempt in enumerate(kept[1].attempts, start=1):
            http = f"HTTP {attempt.http_status}" if attempt.http_status else "no HTTP answer"
            yield (
                f"  attempt {number:<2} {attempt.sent_at}  {attempt.seconds:.3f} s  {http}  {attempt.outcome}"
                f"  NCBI-PHID {attempt.phid}"
            )
