"""The nights that were: `batchsum history`, the counts of the last ones, as a table for people or as CSV for
programs; `batchsum explain`, everything known of one row, for whoever asks why its count is what it is.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from batchsum.errors import UsageError
from batchsum.model.queries import Summary
from batchsum.output.table import cell
from batchsum.run.row_names import RowName, named_rows
from batchsum.store.directory import output_errors, state_of
from batchsum.store.history import Nights
from batchsum.store.rows import KeptRow, answer_of
from batchsum.store.store import Run, Store
from batchsum.text import counted

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
        yield from {"table": _table, "csv": _csv}[form](Nights(store, nights))


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
    cells = {cell for line in lines[1:] for cell in line[3:]}
    for sign, what in (("?", "a count that was not believed"), (".", "not in the job on that night")):
        if any(cell.endswith(sign) for cell in cells):
            yield f"{sign}  {what}\n"
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
    for run in kept.runs:
        for row in kept.rows(run):
            values = (getattr(row, name) for name in HISTORY_COLUMNS[2:])
            # As in the table, safe for spreadsheets.
            yield writer.writerow([run.today.isoformat(), run.run_id, *map(cell, values)])


def explain_command(arguments: argparse.Namespace) -> int:
    """`batchsum explain OUT TAXON [FILTER_SET]`.

    UsageError where the last night has no such row, or several filter sets of the taxon and none is named.
    """
    with output_errors(arguments.out), Store(state_of(arguments.out)) as store:
        # A list, written outside: standard output that fails is not the directory's error.
        kept = Nights(store, arguments.nights)
        lines = list(_explained(store, kept, find_row(kept, arguments.taxon, arguments.filter_set)))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def find_row(kept: Nights, taxon: str, filter_set: str | None) -> KeptRow:
    """The row of the last night that is meant, by taxon, id, label or scientific name, in any case."""
    if not kept.runs:
        raise UsageError("no night was published yet")

    def rows() -> Iterator[RowName]:
        for row in kept.rows(kept.runs[-1]):
            yield RowName(row.taxon, row.label, row.scientific_name, row.filter_set, row.tax_id)

    found = named_rows([taxon if filter_set is None else f"{taxon}/{filter_set}"], rows)
    if len(found) > 1:
        names = ", ".join(dict.fromkeys(row.filter_set for row in rows() if (row.taxon, row.filter_set) in found))
        raise UsageError(f"{taxon} has several filter sets; name one of {names}")
    return next(row for row in kept.rows(kept.runs[-1]) if (row.taxon, row.filter_set) in found)


def _explained(store: Store, kept: Nights, row: KeptRow) -> Iterator[str]:
    run = kept.runs[-1]
    yield f"{row.name_and_id}, filter set {row.filter_set}"
    yield f"  filters    {row.filters or 'none'}"
    yield f"  last night {run.today}, run {run.run_id}, begun {run.started_at}, {run.base_url}"
    count = "" if row.record_count is None else f", {counted(row.record_count, 'record')}"
    yield f"  verdict    {row.status}{count}"
    if row.error:
        yield f"  because    {row.error}"
    if row.held_record_count is not None:
        yield f"  held       {counted(row.held_record_count, 'record')} in {row.held_in}; {_at_ncbi(store, run, row)}"
    yield from _asked(store, run, row)
    yield ""
    yield "nights (?: a count that was not believed)"
    told = [(one.today, f"{shown_count(row):>12}  {row.status:<8}  {row.error}") for one, row in kept.series(row.query)]
    told += [(one.today, f"{'-':>12}  no table  {one.failure}") for one in kept.failed()]
    for day, what in sorted(told, reverse=True):  # the latest night first
        yield f"  {day}  {what}".rstrip()
    for level in kept.accepted(row.query):
        yield f"  {level.night}  {level}"


def _at_ncbi(store: Store, run: Run, row: KeptRow) -> str:
    answer = answer_of(store, run, row)
    if not isinstance(answer, Summary) or answer.record_count is None:
        return "NCBI gave no count"
    return f"NCBI has {answer.record_count:,}"


def _asked(store: Store, run: Run, row: KeptRow) -> Iterator[str]:
    """Each request of the row, and each attempt at it."""
    if not row.requests:
        yield "  asked      nobody knows what, nor when: state.sqlite3 was lost, and only the table was left"
        return
    for key in row.request_keys:
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
