"""`batchsum explain`: everything known of one row, for whoever asks why its count is what it is."""

import argparse
import sys
from collections.abc import Iterator

from batchsum.cli.history import shown_count
from batchsum.errors import UsageError
from batchsum.store.directory import output_errors, state_of
from batchsum.store.history import KeptRow
from batchsum.store.nights import Nights
from batchsum.store.store import Run, Store


def explain_command(arguments: argparse.Namespace) -> int:
    """`batchsum explain OUT TAXON [FILTER_SET]`.

    UsageError where the last night has no such row, or several filter sets of the taxon and none is named.
    """
    with output_errors(arguments.out), Store(state_of(arguments.out)) as store:
        kept = Nights(store, arguments.nights)
        lines = list(_explained(store, kept, find_row(kept, arguments.taxon, arguments.filter_set)))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def find_row(kept: Nights, taxon: str, filter_set: str | None) -> KeptRow:
    """The row of the last night that is meant. A taxon's own spelling wins over the same word as a label."""
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


def _explained(store: Store, kept: Nights, row: KeptRow) -> Iterator[str]:
    run = kept.runs[-1]
    yield f"{row.taxon}{f' ({row.label})' if row.label else ''}, filter set {row.filter_set}"
    yield f"  filters    {row.filters or 'none'}"
    yield f"  last night {run.today}, run {run.run_id}, begun {run.started_at}, {run.base_url}"
    yield f"  verdict    {row.status}" + (f", {row.record_count:,} records" if row.record_count is not None else "")
    if row.error:
        yield f"  because    {row.error}"
    yield from _asked(store, run, row)
    yield ""
    yield "nights"
    told = [(one.today, f"{shown_count(row):>12}  {row.status:<8}  {row.error}") for one, row in kept.series(row.query)]
    told += [(one.today, f"{'-':>12}  no table  {one.failure}") for one in kept.failed()]
    for day, what in sorted(told, reverse=True):
        yield f"  {day}  {what}".rstrip()
    for level in kept.accepted(row.query):
        yield f"  {level.night}  {level}"


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
