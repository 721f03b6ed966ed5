"""`batchsum explain`: everything known of one row, for whoever asks why its count is what it is."""

import argparse
import sys
from collections.abc import Iterator

from batchsum.cli.history import shown_count
from batchsum.errors import UsageError
from batchsum.model.queries import Summary
from batchsum.run.row_names import RowName, named_rows
from batchsum.store.directory import output_errors, state_of
from batchsum.store.history import Nights
from batchsum.store.rows import KeptRow, together
from batchsum.store.store import Run, Store
from batchsum.text import counted


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
    """The row of the last night that is meant, by taxon, label or scientific name, in any case."""
    if not kept.runs:
        raise UsageError("no night was published yet")

    def rows() -> Iterator[RowName]:
        for row in kept.rows(kept.runs[-1]):
            yield RowName(row.taxon, row.label, row.scientific_name, row.filter_set)

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
    yield "nights"
    told = [(one.today, f"{shown_count(row):>12}  {row.status:<8}  {row.error}") for one, row in kept.series(row.query)]
    told += [(one.today, f"{'-':>12}  no table  {one.failure}") for one in kept.failed()]
    for day, what in sorted(told, reverse=True):  # the latest night first
        yield f"  {day}  {what}".rstrip()
    for level in kept.accepted(row.query):
        yield f"  {level.night}  {level}"


def _at_ncbi(store: Store, run: Run, row: KeptRow) -> str:
    answer = together(store.answers(run, row.request_keys), row.request_keys)
    if not isinstance(answer, Summary) or answer.record_count is None:
        return "NCBI gave no count"
    return f"NCBI has {answer.record_count:,}"


def _asked(store: Store, run: Run, row: KeptRow) -> Iterator[str]:
    """Each request of the row, and each attempt at it."""
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
