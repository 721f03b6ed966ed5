"""One night, in order. Nothing else knows the order.

Killed at any point, the same call goes on where it was: an answer that was got is not asked for again, and a
publication that was begun is finished.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from batchsum.config.taxa_lock import lock_file, read_lock
from batchsum.errors import NotDue
from batchsum.model.job import Job
from batchsum.model.queries import Failure, exit_code_of
from batchsum.ncbi.client import DatasetsClient
from batchsum.ncbi.urls import BASE_URL
from batchsum.notify.notifier import Telling
from batchsum.output import files
from batchsum.output.formats import require_formats
from batchsum.run.ask import Asking
from batchsum.run.judge import Judgement
from batchsum.run.plan import build_plan
from batchsum.run.publish import file_names, finish_publication, publish_night
from batchsum.run.resume import about_run, is_recent, open_run
from batchsum.run.signals import Signals
from batchsum.store.directory import held, output_errors
from batchsum.store.history import History, Trouble, troubles
from batchsum.store.store import Run, Store
from batchsum.text import spoken

log = logging.getLogger("batchsum")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a published night came to."""

    run_id: str
    directory: Path
    counts: dict[str, int]
    """Rows by status."""
    changes: int
    """Rows of changes.csv."""
    troubles: tuple[Trouble, ...] = ()
    closed: str = ""
    """What is to be said of an older run that was dropped; mostly empty."""
    warnings: tuple[str, ...] = ()
    """What a person should know beside the rows: moved names, staleness, filters without effect."""

    @property
    def exit_code(self) -> int:
        return exit_code_of(self.counts)


def run_job(
    job: Job,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    fresh: bool = False,
    deadline: timedelta | None = None,
    accept: tuple[str, ...] = (),
    wait_for_lock: bool = False,
    today: date | None = None,
    on_asking: Callable[[Asking], None] = lambda asking: None,
) -> Outcome:
    """Ask for every query of `job` and publish its table in `job.output.dir`.

    `base_url` is the job's unless given, else NCBI's. `fresh` drops an unfinished run. After `deadline` what
    was not asked is `skipped`. `accept` names rows (TAXON or TAXON/FILTER_SET) to be believed whatever NCBI
    says. `today` is the day relative dates count back from, by default that of the clock, UTC.

    Raises a `BatchsumError` where no table could be published; its `exit_code` is the command's. `NotDue` where
    the last one is younger than the job's `min_interval`; `fresh` and `accept` override that.
    """
    directory = job.output.dir
    base_url = base_url or job.api.base_url or BASE_URL
    with Signals() as signals, Telling(job) as telling, output_errors(directory):
        require_formats(job)
        lock = read_lock(lock_file(job.path))
        client = job_client(job, base_url, api_key)
        with held(directory, wait=wait_for_lock) as store:
            finished = finish_publication(store, job)
            if not (fresh or accept):
                if finished and _is_tonights(finished, job, base_url, today):
                    return published(store, finished, job)
                _check_due(store, job)
            files.check_targets(directory, file_names(job))
            opened = open_run(
                store, job, lock, base_url=base_url, generation=files.read_generation(directory),
                now=datetime.now(UTC), today=today, fresh=fresh, accept=accept,
            )  # fmt: skip
            run, plan = opened.run, opened.plan
            telling.begin(run)
            files.sweep(directory, file_names(job), living={run.owner})
            with about_run(run.run_id), output_errors(directory):
                log.info(
                    "run %s: %d queries, %d requests to %s", run.run_id, plan.query_count, plan.request_count, base_url
                )
                judgement = Judgement(plan, store, run, History(store, run), accept)
                asking = Asking(plan, store, run, client, job.api.workers, judgement.doubtful)
                asyncio.run(ask(asking, (asking.look_up_names, asking.both_rounds), signals, deadline, on_asking))
                conclude(judgement, asking, client.pacer.rate)
                return published(store, run, job, opened.closed)


def job_client(job: Job, base_url: str | None, api_key: str | None, *, parts: int = 1) -> DatasetsClient:
    """A client as the job wants it, for `base_url`, else the job's, else NCBI's; one of `parts` at work."""
    api = job.api
    return DatasetsClient(
        base_url or api.base_url or BASE_URL,
        api_key=api_key,
        contact=api.contact,
        requests_per_second=api.requests_per_second,
        workers=api.workers,
        timeout=api.timeout.total_seconds(),
        attempts=api.attempts,
        max_outage=api.max_outage.total_seconds(),
        shared_limit=api.shared_limit,
        parts=parts,
    )


async def ask(
    asking: Asking,
    steps: Iterable[Callable[[], Awaitable[None]]],
    signals: Signals,
    deadline: timedelta | None,
    on_asking: Callable[[Asking], None],
) -> None:
    """Take the steps of `asking`, until they are done, `deadline` is over, or a signal comes (Interrupted)."""
    on_asking(asking)
    task = asyncio.current_task()
    assert task is not None
    with signals.cancelling(task):
        try:
            async with asyncio.timeout(deadline.total_seconds() if deadline else None), asking.client:
                for step in steps:
                    await step()
        except TimeoutError:
            limit = spoken(deadline.total_seconds()) if deadline else ""
            log.warning("deadline of %s reached: what was not asked is skipped", limit)
            asking.cut_off(Failure("skipped", "deadline", f"not asked within {limit}"))


def conclude(judgement: Judgement, asking: Asking, rate: float | None) -> None:
    """Publish what was asked, judged once more where answers may have come since it was."""
    if not asking.is_settled:
        judgement.pass_all(asking.unasked)
    publish_night(judgement, rate, asking.warnings)


def _check_due(store: Store, job: Job) -> None:
    """NotDue where the last table is younger than the job's `min_interval`, and no run waits to be finished."""
    finished = files.read_manifest(job.output.dir).get("finished_at")
    if job.min_interval is None or store.last_run("open") is not None:
        return
    try:
        due = is_due(datetime.fromisoformat(str(finished)), job.min_interval, datetime.now(UTC))
    except (TypeError, ValueError):  # none yet, or no time of ours
        return
    if not due:
        interval = spoken(job.min_interval.total_seconds())
        raise NotDue(f"{job.output.dir}: published at {finished}; nothing to do, as min_interval is {interval}")


def _is_tonights(run: Run, job: Job, base_url: str, today: date | None) -> bool:
    """Whether this command is the one that was cut off, and has nothing left to ask."""
    if run.base_url != base_url or today not in (None, run.today) or not is_recent(run, datetime.now(UTC)):
        return False
    return run.job_hash == build_plan(job, run.today).job_hash()


def published(store: Store, run: Run, job: Job, closed: str = "") -> Outcome:
    """The outcome of a run whose files are in place."""
    manifest = files.read_manifest(job.output.dir)
    found = tuple(troubles(store, run))
    for trouble in found:
        log.warning("%s: %s", trouble, "; ".join(map(str, trouble.examples)))
    log.info("run %s: %s; %d changed", run.run_id, manifest["statuses"], manifest["changes"])
    warnings = tuple(manifest.get("warnings", ()))
    return Outcome(run.run_id, job.output.dir, manifest["statuses"], manifest["changes"], found, closed, warnings)


def is_due(last_published: datetime | None, min_interval: timedelta | None, now: datetime) -> bool:
    """Whether a new run should begin, `min_interval` after the last published one.

    A time slightly in the future is taken for now: the clock was set back. One that lies further ahead than
    the interval was written under a wrong clock and would stop the job for as long; it is not believed.
    """
    if last_published is None or min_interval is None:
        return True
    return abs(now - last_published) >= min_interval
