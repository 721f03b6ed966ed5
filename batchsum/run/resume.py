"""Which run this is: the one that was cut off, or a new one.

Answers belong to questions, not to the job file: whatever of them still fits a job that was changed is kept.
"""

import logging
import logging.handlers
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from batchsum.config.taxa_lock import TaxaLock
from batchsum.errors import BatchsumError, Locked
from batchsum.model.job import Job
from batchsum.run.plan import Plan, build_plan
from batchsum.store.store import Run, Store
from batchsum.text import utc_text

log = logging.getLogger("batchsum")

OLDEST = timedelta(hours=12)
"""An unfinished run is resumed up to this age; an older one would mix two nights."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The run of this process, and what it asks."""

    run: Run
    plan: Plan
    closed: str
    """What is to be said of a run that was not finished and is not resumed; mostly empty."""


def open_run(
    store: Store, job: Job, lock: TaxaLock, *,
    base_url: str, generation: int, now: datetime, today: date | None, fresh: bool, accept: Sequence[str],
) -> Opened:  # fmt: skip
    """Go on with the open run, or begin one. `generation` is that of the manifest which it will replace.

    UsageError, before anything is kept, where `accept` names a row that is not in the job.
    """
    found = store.last_run("open")
    reason = _why_not(found, base_url, now, today, fresh=fresh) if found else ""
    resumed = None if reason else found
    plan = build_plan(job, resumed.today if resumed else today or now.date(), lock)
    plan.require_rows(accept)
    job_hash, owner = plan.job_hash(), secrets.token_hex(4)
    closed = ""
    with store.transaction():
        if store.last_run("open") != found:
            raise Locked(f"{job.output.dir}: another run of this job began at the same moment")
        if resumed is not None:
            count = store.count_answers(resumed)
            return Opened(_take_over(store, resumed, owner, job_hash, generation, count), plan, "")
        if found is not None:
            count = store.count_answers(found)
            close_run(store, found)
            closed = f"run {found.run_id} was not finished, and is dropped with {count:,} answers: {reason}"
            log.warning("%s", closed)
        run = store.begin_run(
            f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            started_at=utc_text(now),
            today=plan.today,
            base_url=base_url,
            job_hash=job_hash,
            generation=generation,
            owner=owner,
        )
    return Opened(run, plan, closed)


def _take_over(store: Store, run: Run, owner: str, job_hash: str, generation: int, count: int) -> Run:
    log.info("run %s: resumed; %d answers are here already", run.run_id, count)
    if run.job_hash != job_hash:
        log.info("run %s: the job was changed; answers that still fit are kept", run.run_id)
    return store.take_over(run, owner=owner, job_hash=job_hash, generation=generation)


def _why_not(run: Run, base_url: str, now: datetime, today: date | None, *, fresh: bool) -> str:
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
    logger = logging.getLogger("batchsum")

    def mark(record: logging.LogRecord) -> bool:
        record.run_id = run_id
        return True

    logger.addFilter(mark)
    try:
        yield
    except (BatchsumError, KeyboardInterrupt) as error:
        error.add_note(f"run: {run_id}")
        raise
    finally:
        logger.removeFilter(mark)
