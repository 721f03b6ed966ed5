"""Counting in what the user holds, before anything is asked: which rows which file covers, and how many records.

A row is covered by the nearest file whose taxon is its own or stands above it. What was counted is kept in the store,
so that a night has one state of each file, however long it takes and whoever judges it again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from batchsum.config.taxa_lock import TaxaLock
from batchsum.errors import UsageError
from batchsum.model.job import Holding, Job
from batchsum.model.queries import Failure, Summary
from batchsum.run.holdings.count import Held, count_held
from batchsum.run.holdings.package import HoldingError
from batchsum.run.holdings.sums import Wanted
from batchsum.run.plan import Plan
from batchsum.run.resume import Night
from batchsum.store.held import CountedFile, HeldRow, counted_files, keep_held
from batchsum.text import counted, install_extra

log = logging.getLogger("batchsum")

OnReading = Callable[[str], None]
"""Is told, in words, what is read and how far."""


def require_reader(job: Job) -> None:
    """UsageError where the job has files to count in, and what reads them is not installed."""
    try:
        if job.holdings.files:
            import msgspec  # noqa: F401  imported here, since it is an extra
    except ImportError as error:
        raise UsageError(f"holdings: to read the files, {install_extra('holdings')} ({error})") from None


def count_holdings(night: Night, on_reading: OnReading) -> Night:
    """Count in the files of the job and keep what they hold. The night, with the plan of what is still to be asked."""
    files, rows = count_files(night.plan, night.taxa, on_reading)
    for one in files:
        log.info("%s", one.problem or f"{one.file}: {counted(one.record_count or 0, 'record')} of taxon {one.taxon}")
    with night.store.transaction():
        keep_held(night.store, night.run, files, rows)
    return replace(night, plan=asked_plan(night.plan, rows))


def asked_plan(plan: Plan, rows: Iterable[HeldRow]) -> Plan:
    """The same rows, without the requests that only `rows` need, where the job counts them in a file."""
    if plan.job.holdings.use != "count":
        return plan
    covered = {row.position for row in rows}
    rest = (query for position, query in enumerate(plan.queries()) if position not in covered)
    return plan.part(request for query in rest for request in query.requests())


def files_counted_in(night: Night) -> dict[str, CountedFile]:
    """The files by name, where rows are counted in them and not asked."""
    files = counted_files(night.store, night.run) if night.job.holdings.use == "count" else ()
    return {one.file: one for one in files}


def answer_in_file(file: CountedFile, record_count: int | None) -> Summary | Failure:
    """What is said of a row that is counted in a file and not asked."""
    if record_count is None:
        return Failure("skipped", "holding", file.problem)
    return Summary(record_count, messages=(f"counted in {file.file}",))


def count_files(plan: Plan, taxa: TaxaLock, on_reading: OnReading) -> tuple[list[CountedFile], list[HeldRow]]:
    """The files of the job of `plan`, and what they hold of its rows.

    Nothing is raised for a file that cannot be read: it has a `problem`, and where the job counts in it, the rows that
    it is known to cover have no count.
    """
    if not plan.job.holdings.files:
        return [], []
    wanted = [Wanted(taxa.tax_id(query.taxon), query.taxon, query.filters) for query in plan.queries()]
    read = [(holding, *_read(holding, wanted, plan, taxa, on_reading)) for holding in plan.job.holdings.files]
    found = dict[int, HeldRow]()
    # The widest file first, so that what a narrower one says takes its place.
    widest_first = sorted(read, key=lambda one: sum(one[1].taxon in other.covers for *_, other in read if other))
    for holding, file, held in widest_first:
        if plan.job.holdings.use == "count" and file.problem:
            rows = _known_below(holding, plan, taxa)
            found.update((position, HeldRow(position, file.file, None)) for position in rows)
        elif held:
            counts = enumerate(held.counts)
            found.update((place, HeldRow(place, file.file, count)) for place, count in counts if count is not None)
    return [file for _, file, _ in read], [found[position] for position in sorted(found)]


def _read(
    holding: Holding, wanted: list[Wanted], plan: Plan, taxa: TaxaLock, on_reading: OnReading
) -> tuple[CountedFile, Held | None]:
    """The file as it was counted, and what it holds of `wanted`; None where it cannot be read."""

    def tell(records: int) -> None:
        on_reading(f"reading {holding.file}, {counted(records, 'record')}")

    tell(0)
    tax_id = taxa.tax_id(holding.taxon)
    try:
        held = count_held(holding.path, tax_id or holding.taxon, wanted, lock=taxa, progress=tell)
    except HoldingError as error:
        why = str(error).replace(str(holding.path), holding.file, 1)  # as the job names it, wherever that lies
        return CountedFile(holding.file, tax_id, why), None
    remarks, problem, age = list[str](), "", plan.today - held.day
    if age > plan.job.holdings.max_age:
        old = f"{holding.file} is of {held.day}, {counted(age.days, 'day')} before this night: download it again"
        if plan.job.holdings.use == "count":
            problem = old
        else:
            remarks.append(old)
    if held.day > plan.today:
        remarks.append(f"{holding.file} is of {held.day}, which is still to come: look at the clock of its machine")
    if held.unreadable[0]:
        lines, first = counted(held.unreadable[0], "line"), f"the first is line {held.unreadable[1]:,}"
        remarks.append(f"{holding.file}: {lines} cannot be read and do not count; {first}")
    numbers = held.total, held.day, held.newest, held.released
    return CountedFile(holding.file, held.taxon, problem, tuple(remarks), *numbers), held


def _known_below(holding: Holding, plan: Plan, taxa: TaxaLock) -> Iterator[int]:
    """The positions of the rows whose taxon is known to be that of the file, or below it."""
    top = taxa.tax_id(holding.taxon) or holding.taxon
    for position, query in enumerate(plan.queries()):
        if top in (query.taxon, taxa.tax_id(query.taxon), *taxa.ancestors(query.taxon)):
            yield position
