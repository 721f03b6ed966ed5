"""A night, and which run it is: the one that was cut off, or a new one.

Answers belong to questions, not to the job file: whatever of them still fits a job that was changed is kept.
"""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from batchsum.config.taxa_lock import TaxaLock
from batchsum.errors import BatchsumError, Locked, NotDue, UsageError
from batchsum.model.job import Job
from batchsum.model.queries import Query
from batchsum.ncbi.taxonomy import Name
from batchsum.output.files import read_manifest
from batchsum.run.learn import known_taxa, learn
from batchsum.run.plan import Plan
from batchsum.run.row_names import RowName, RowSet, named_rows
from batchsum.store.history import History
from batchsum.store.rows import KeptRow, Level
from batchsum.store.store import Run, Store
from batchsum.text import utc_text

log = logging.getLogger("batchsum")

OLDEST = timedelta(hours=12)
"""An unfinished run is resumed up to this age; an older one would mix two nights."""
OLDEST_RETRY = timedelta(hours=24)
"""From its beginning so long can a published night be asked again."""


@dataclass(frozen=True)
class Night:
    """One run of a job that this process has: all that asking, judging and publishing need to know."""

    job: Job
    plan: Plan
    """What is asked on the night of `run`."""
    store: Store
    run: Run
    accept: RowSet = frozenset()
    """Rows that the user wants believed, whatever NCBI says."""
    note: str = ""
    """Why, in the user's words."""
    dropped: str = ""
    """What is to be said of an unfinished run that was dropped for this one; mostly empty."""
    warnings: tuple[str, ...] = ()
    """What run.json is to say of the start: a store that was lost."""

    @cached_property
    def history(self) -> History:
        """The nights before, and what this one leaves."""
        return History(self.store, self.run)

    @cached_property
    def taxa(self) -> TaxaLock:
        """What is known of the taxa: id, scientific name and lineage, as they are locked or were learnt."""
        return known_taxa(self.store, self.plan.lock)

    def learn(self, names: Mapping[str, Name]) -> None:
        """Keep what NCBI's taxonomy said of these names tonight."""
        learn(self.store, self.run.today, self.plan.lock, names)
        vars(self).pop("taxa", None)  # is made anew, from what is known now

    def accepts(self, row: Query | KeptRow | Level) -> bool:
        return (row.taxon, row.filter_set) in self.accept

    def not_accepted(self) -> list[str]:
        """Of the rows that are to be believed those about which NCBI said nothing that could be."""
        accepted = {(row.taxon, row.filter_set) for row in self.history.accepted()}
        return [f"{taxon}/{filter_set}" for taxon, filter_set in sorted(self.accept - accepted)]

    def accepting(self, names: Sequence[str]) -> "Night":
        """The same night, in which the rows of these names are believed. UsageError as `named_rows`."""

        def rows() -> Iterator[RowName]:
            for query in self.plan.queries():
                heard, tax_id = self.taxa.get(query.taxon), self.taxa.tax_id(query.taxon)
                name = heard.node.scientific_name if heard else ""
                yield RowName(query.taxon, query.label, name, query.filter_set, tax_id)

        return replace(self, accept=named_rows(names, rows))


def open_night(
    store: Store, job: Job, lock: TaxaLock, *, base_url: str, begun: datetime, today: date | None = None,
    fresh: bool = False, accept: Sequence[str] = (),
) -> Night:  # fmt: skip
    """Go on with the open run, or begin one.

    A new night has the local date of `begun`, unless it is given `today`. UsageError, before anything is kept,
    where `accept` names a row that is not in the job.
    """
    found = store.last_run("open")
    why_not = ""
    if found is not None:
        why_not = "--fresh was given" if fresh else why_not_resumed(found, base_url, begun, today)
    resumed = None if why_not else found
    plan = Plan(job, resumed.today if resumed else today or begun.astimezone().date(), lock)
    dropped = ""
    with store.transaction():
        # Looked at again: where the file system has no locks, somebody else may be here too.
        if store.last_run("open") != found:
            raise Locked(f"{job.output.dir}: another run of this job began at the same moment")
        if found is not None and why_not:
            count = store.count_answers(found)
            close_run(store, found)
            dropped = f"run {found.run_id} was not finished, and is dropped with {count:,} answers: {why_not}"
            log.warning("%s", dropped)
        run = _take(store, plan, resumed, base_url=base_url)
        return Night(job, plan, store, run, dropped=dropped).accepting(accept)  # a wrong name undoes all this


def open_retry(
    store: Store, job: Job, lock: TaxaLock, *, base_url: str, begun: datetime, accept: Sequence[str] = ()
) -> Night:
    """Begin the last night again, or go on with that: with its answers, but for those of doubtful rows.

    UsageError where that night began over a day ago, asked another server, or a later one is under way. NotDue
    where all its rows have an answer that can be believed, or were rejected.
    """
    directory, last, found = job.output.dir, next(iter(store.runs("published", limit=1)), None), store.last_run("open")
    if last is None:
        raise UsageError(f"{directory}: no night was published here; run the job without --retry")
    if found is not None and found.today != last.today:
        raise UsageError(f"{directory}: the night of {found.today} is unfinished; go on with it, without --retry")
    if last.base_url != base_url:
        raise UsageError(f"{directory}: the night of {last.today} asked {last.base_url}; ask that server again")
    if found is not None and found.base_url != base_url:  # its answers are those of that server
        unfinished = f"the night of {found.today} is unfinished, and asks {found.base_url}"
        raise UsageError(f"{directory}: {unfinished}; go on with it there, without --retry")
    # Counted from the first run of that night: else each retry would make room for another.
    ((began,),) = store.query("SELECT min(started_at) FROM runs WHERE today = ?", last.today.isoformat())
    if begun - datetime.fromisoformat(began) > OLDEST_RETRY:
        raise UsageError(f"{directory}: the night of {last.today} began over 24 h ago; run the job without --retry")
    plan = Plan(job, last.today, lock)
    with store.transaction():
        if found is None and not store.copy_believed_answers(last, store.newest() + 1):  # the number of the next run
            raise NotDue(f"{directory}: no row of {last.today} is suspect, failed or skipped; nothing to ask again")
        run = _take(store, plan, found, base_url=base_url)
        return Night(job, plan, store, run).accepting(accept)


def _take(store: Store, plan: Plan, found: Run | None, *, base_url: str) -> Run:
    """Take an open run over, or begin one; inside a transaction of the caller."""
    job_hash, generation = plan.job_hash(), read_manifest(plan.job.output.dir).get("generation", 0)
    if found is not None:
        log.info("run %s: resumed; %d answers are here already", found.run_id, store.count_answers(found))
        if found.job_hash != job_hash:
            log.info("run %s: the job was changed; answers that still fit are kept", found.run_id)
        return store.take_over(found, job_hash=job_hash, generation=generation)
    now = datetime.now(UTC)
    return store.begin_run(
        f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        started_at=utc_text(now), today=plan.today, base_url=base_url,
        job_hash=job_hash, generation=generation,
    )  # fmt: skip


def why_not_resumed(run: Run, base_url: str, now: datetime, today: date | None) -> str:
    """Why a run is not the one that this command goes on with; empty where it is."""
    if run.base_url != base_url:
        return f"it asked {run.base_url}"
    if today is not None and run.today != today:
        return f"its day is {run.today}"
    # Either way: a clock that was set back a little does not matter.
    is_recent = abs(now - datetime.fromisoformat(run.started_at)) <= OLDEST
    return "" if is_recent else f"it is from {run.started_at}"


def close_run(store: Store, run: Run, failure: str = "") -> None:
    """End a run that leaves no table; its answers are forgotten. Inside a transaction of the caller.

    `failure` says in a sentence why, where it is not that another run takes its place.
    """
    if failure:
        store.note_failure(run, failure)
    store.move(run, "open", "failed" if failure or run.failure else "closed")
    store.drop_answers(run)


@contextmanager
def about_run(run_id: str) -> Iterator[None]:
    """Every event in the block, and an error that ends it, says which run it is about."""

    def mark(record: logging.LogRecord) -> bool:
        record.run_id = run_id
        return True

    log.addFilter(mark)
    try:
        yield
    except (BatchsumError, KeyboardInterrupt) as error:  # Signals makes an Interrupted of the latter, with this note
        error.add_note(f"run: {run_id}")
        raise
    finally:
        log.removeFilter(mark)
