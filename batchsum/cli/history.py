"""`batchsum history`: the counts of the last nights, as a table for people or as CSV or JSON for programs."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from batchsum.output.table import cell
from batchsum.store.directory import output_errors, state_of
from batchsum.store.history import Nights
from batchsum.store.rows import KeptRow
from batchsum.store.store import Store

# The columns behind run_id are attributes of a KeptRow.
HISTORY_COLUMNS = (
    "night", "run_id", "taxon", "label", "filter_set", "filters", "status", "record_count", "resource_updated_on",
    "previous_record_count", "error",
)  # fmt: skip


def history_command(arguments: argparse.Namespace) -> int:
    """`batchsum history OUT`."""
    # Written outside of what reads the store: standard output that fails is not the directory's error.
    sys.stdout.writelines(_pieces(arguments.out, arguments.nights, arguments.format))
    return 0


def shown_count(row: KeptRow) -> str:
    """The count of a row, with a ? where it was not believed; its status where there is none."""
    doubt = "?" if row.status == "suspect" else ""
    return doubt or row.status if row.record_count is None else f"{row.record_count:,}{doubt}"


def _pieces(directory: Path, nights: int, form: str) -> Iterator[str]:
    with output_errors(directory), Store(state_of(directory)) as store:
        yield from {"table": _table, "csv": _csv, "json": _json}[form](Nights(store, nights))


def _table(kept: Nights) -> Iterator[str]:
    """A line for each row of the last night, a column for each night, also for those that left no table."""
    if not kept.runs:
        yield "no night was published yet\n"
        return
    failed = kept.failed()
    runs = sorted([*kept.runs, *failed], key=lambda run: run.today)
    nights = [{row.query: shown_count(row) for row in kept.rows(run)} for run in runs]
    lines = [["taxon", "name", "filter_set", *(f"{run.today:%m-%d}" for run in runs)]]
    for row in kept.rows(kept.runs[-1]):
        counts = ("-" if run.failure else night.get(row.query, ".") for run, night in zip(runs, nights, strict=True))
        lines.append([row.taxon, row.name if row.name != row.taxon else "", row.filter_set, *counts])
    yield from aligned(lines)
    for run in failed:
        yield f"{run.today} left no table: {run.failure}\n"


def aligned(lines: list[list[str]]) -> Iterator[str]:
    """Lines of cells as text: three columns of words, then numbers, which stand to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        words = [word.ljust(width) for word, width in zip(line[:3], widths[:3], strict=True)]
        numbers = [number.rjust(width) for number, width in zip(line[3:], widths[3:], strict=True)]
        yield "  ".join(words + numbers).rstrip() + "\n"


def _csv(kept: Nights) -> Iterator[str]:
    # writerow() returns what write() does, here the line itself: all nights together may be more than memory holds.
    writer = csv.writer(SimpleNamespace(write=str), lineterminator="\n")
    yield writer.writerow(HISTORY_COLUMNS)
    for record in _records(kept):
        yield writer.writerow([cell(value) for value in record])  # as in the table, safe for spreadsheets


def _json(kept: Nights) -> Iterator[str]:
    """An array, an object a line."""
    start = "["  # written in pieces, since json.dumps would need all nights in memory
    for record in _records(kept):
        yield f"{start}\n{json.dumps(dict(zip(HISTORY_COLUMNS, record, strict=True)), ensure_ascii=False)}"
        start = ","
    yield "[]\n" if start == "[" else "\n]\n"


def _records(kept: Nights) -> Iterator[tuple[str | int | None, ...]]:
    for run in kept.runs:
        for row in kept.rows(run):
            yield run.today.isoformat(), run.run_id, *(getattr(row, name) for name in HISTORY_COLUMNS[2:])
