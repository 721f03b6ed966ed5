"""A night, and which run it is: the one that was cut off, or a new one.

Answers belong to questions, not to the job file: whatever of them still fits a job that was changed is kept.
"""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

from batchsum.config.taxa_lock import TaxaLock
from batchsum.errors import BatchsumError, Locked
from batchsum.model.job import Job
from batchsum.model.queries import Query
from batchsum.run.plan import Plan, build_plan
from batchsum.store.history import History, KeptRow
from batchsum.store.store import Run, Store
from batchsum.text import utc_text

log = logging.getLogger("batchsum")

OLDEST = timedelta(hours=12)
"""An unfinished run is resumed up to this age; an older one would mix two nights."""


@dataclass(frozen=True)
class Night:
    """One run of a job that this process has: all that asking, judging and publishing need to know."""

    job: Job
    plan: Plan
    """What is asked on the night of `run`."""
    store: Store
    run: Run
    accept: tuple[str, ...] = ()
    """Rows (TAXON or TAXON/FILTER_SET) that the user wants believed, whatever NCBI says."""
    dropped: str = ""
    """What is to be said of an unfinished run that was dropped for this one; mostly empty."""

    @cached_property
    def history(self) -> History:
        """The nights before, and what this one leaves."""
        return History(self.store, self.run)

    def accepts(self, row: Query | KeptRow) -> bool:
        return bool(self.accept) and not {row.taxon, f"{row.taxon}/{row.filter_set}"}.isdisjoint(self.accept)


def open_night(
    store: Store, job: Job, lock: TaxaLock, *, base_url: str, generation: int, now: datetime,
    today: date | None = None, fresh: bool = False, accept: tuple[str, ...] = (),
) -> Night:  # fmt: skip
    """Go on with the open run, or begin one. `generation` is that of the manifest which it will replace.

    UsageError, before anything is kept, where `accept` names a row that is not in the job.
    """
    found = store.last_run("open")
    why_not = _why_not(found, base_url, now, today, fresh=fresh) if found else ""
    resumed = None if why_not else found
    plan = build_plan(job, resumed.today if resumed else today or now.date(), lock)
    plan.require_rows(accept)
    # Not the process id: another host may have the same, and share the directory.
    job_hash, owner, dropped = plan.job_hash(), secrets.token_hex(4), ""
    with store.transaction():
        # Looked at again: where the file system has no locks, somebody else may be here too.
        if store.last_run("open") != found:
            raise Locked(f"{job.output.dir}: another run of this job began at the same moment")
        if resumed is not None:
            log.info("run %s: resumed; %d answers are here already", resumed.run_id, store.count_answers(resumed))
            if resumed.job_hash != job_hash:
                log.info("run %s: the job was changed; answers that still fit are kept", resumed.run_id)
            run = store.take_over(resumed, owner=owner, job_hash=job_hash, generation=generation)
            return Night(job, plan, store, run, accept)
        if found is not None:
            count = store.count_answers(found)
            close_run(store, found)
            dropped = f"run {found.run_id} was not finished, and is dropped with {count:,} answers: {why_not}"
            log.warning("%s", dropped)
        run = store.begin_run(
            f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            started_at=utc_text(now), today=plan.today, base_url=base_url,
            job_hash=job_hash, generation=generation, owner=owner,
        )  # fmt: skip
    return Night(job, plan, store, run, accept, dropped)


def _why_not(run: Run, base_url: str, now: datetime, today: date | None, *, fresh: bool) -> str:
    """Why an open run is not gone on with; empty where it is."""
    if fresh:
        return "--fresh was given"
    if run.base_url != base_url:
        return f"it asked {run.base_url}"
    if today is not None and run.today != today:
        return f"its day is {run.today}"
    return "" if is_recent(run, now) else f"it is from {run.started_at}"


def is_recent(run: Run, now: datetime) -> bool:
    """Whether it can be tonight's; a clock that was set back a little does not matter."""
    return abs(now - datetime.fromisoformat(run.started_at)) <= OLDEST


def close_run(store: Store, run: Run) -> None:
    """End a run that leaves no table; its answers are forgotten. Inside a transaction of the caller."""
    store.move(run, "open", "closed")
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
    except (BatchsumError, KeyboardInterrupt) as error:
        error.add_note(f"run: {run_id}")
        raise
    finally:
        log.removeFilter(mark)
