"""One night, in order. Nothing else knows the order.

Killed at any point, the same call goes on where it was: an answer that was got is not asked for again, and a
publication that was begun is finished.
"""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from batchsum import changes, publish, table
from batchsum.asking import Asking
from batchsum.client import DatasetsClient
from batchsum.errors import Locked, NothingUsable, OutputError
from batchsum.history import History
from batchsum.job import BASE_URL, Job
from batchsum.judging import Judgement
from batchsum.lock import locked
from batchsum.manifest import build_manifest
from batchsum.model import Failure
from batchsum.plan import build_plan
from batchsum.resume import begin_run, close_run, resume_run
from batchsum.signals import Signals
from batchsum.store import Run, Store

log = logging.getLogger("batchsum")

STATE = "state.sqlite3"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a published night came to."""

    run_id: str
    directory: Path
    counts: dict[str, int]
    """Rows by status."""
    changes: int
    """Rows of changes.csv."""

    @property
    def exit_code(self) -> int:
        return 3 if any(self.counts[status] for status in ("suspect", "rejected", "failed", "skipped")) else 0


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

    Raises a `BatchsumError` where no table could be published; its `exit_code` is the command's.
    """
    directory = job.output.dir
    base_url = base_url or job.api.base_url or BASE_URL
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with Signals() as signals, locked(directory, wait=wait_for_lock), Store(directory / STATE) as store:
            _finish_publication(store, job)
            run = _open_run(store, job, base_url, today, fresh=fresh)
            plan = build_plan(job, run.today)
            judgement = Judgement(plan, store, run, History(store, run), accept)
            log.info(
                "run %s: %d queries, %d requests to %s", run.run_id, plan.query_count, plan.request_count, base_url
            )
            asking = asyncio.run(_ask(judgement, api_key, signals, deadline, on_asking))
            judgement.pass_all(asking.unasked)
            return _publish(judgement, asking.client.pacer.rate)
    except sqlite3.Error as error:
        raise OutputError(f"{directory / STATE}: {error}") from error
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror or error}") from error


def _open_run(store: Store, job: Job, base_url: str, today: date | None, *, fresh: bool) -> Run:
    now = datetime.now(UTC)
    publish.sweep(job.output.dir)
    run = resume_run(store, base_url=base_url, now=now, fresh=fresh)
    if run is not None:
        return run
    today = today or now.date()
    return begin_run(
        store,
        base_url=base_url,
        now=now,
        today=today,
        job_hash=build_plan(job, today).job_hash(),
        generation=publish.read_manifest(job.output.dir).get("generation", 0),
    )


async def _ask(
    judgement: Judgement,
    api_key: str | None,
    signals: Signals,
    deadline: timedelta | None,
    on_asking: Callable[[Asking], None],
) -> Asking:
    api = judgement.plan.job.api
    client = DatasetsClient(
        judgement.run.base_url,
        api_key=api_key,
        contact=api.contact,
        requests_per_second=api.requests_per_second,
        workers=api.workers,
        timeout=api.timeout.total_seconds(),
        attempts=api.attempts,
        max_outage=api.max_outage.total_seconds(),
    )
    asking = Asking(judgement, client, api.workers)
    on_asking(asking)
    task = asyncio.current_task()
    assert task is not None
    with signals.cancelling(task):
        try:
            async with asyncio.timeout(deadline.total_seconds() if deadline else None), client:
                await asking.both_rounds()
        except TimeoutError:
            asking.unasked = Failure("skipped", "deadline", f"not asked within {deadline}")
            log.warning("deadline of %s reached: what was not asked is skipped", deadline)
    return asking


def _publish(judgement: Judgement, rate: float | None) -> Outcome:
    run, job, store = judgement.run, judgement.plan.job, judgement.store
    directory, counts = job.output.dir, judgement.counts()
    if not any(counts[status] for status in ("ok", "empty", "rejected")):
        close_run(store, run)
        told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        raise NothingUsable(f"nothing usable ({told}); the files of the last night were left alone")
    changed = list(_changes(judgement))
    writers: dict[str, publish.Writer] = {
        f"summary.{name}": partial(_write_table, judgement, table.WRITERS[name]) for name in job.output.formats
    }
    writers["changes.csv"] = lambda path: table.write_delimited(path, changed, columns=changes.COLUMNS)
    files = publish.write_all(directory, run.run_id, writers)
    manifest = build_manifest(judgement, rate=rate, change_count=len(changed), files=files)
    publish.write_manifest(directory, run.run_id, manifest)
    if publish.read_manifest(directory).get("generation", 0) != run.generation:
        raise Locked(f"{directory}: another run published meanwhile; its table stays, this run's was not published")
    accepted = [
        (query.taxon, query.filter_set, verdict.previous_record_count, verdict.record_count)
        for query, verdict in judgement.accepted()
    ]
    store.set_state(run, "publishing", json.dumps({"files": files, "accepted": accepted}))
    _put_in_place(store, run, job, files, accepted)
    log.info("run %s: published in %s: %s", run.run_id, directory, counts)
    return Outcome(run.run_id, directory, counts, len(changed))


def _write_table(judgement: Judgement, write: Callable[..., None], path: Path) -> None:
    write(path, (table.row(query, verdict) for query, verdict in judgement.verdicts()))


def _changes(judgement: Judgement) -> Iterator[table.Row]:
    if judgement.history.is_first:
        return
    told = set()
    for query, verdict in judgement.verdicts():
        past = judgement.history.past(query)
        change = changes.kind_of_change(verdict, past)
        if change and (key := (query.taxon, query.filter_set)) not in told:
            told.add(key)
            yield changes.change_row(query, verdict, change)
    yield from changes.removed_rows(judgement.history)


def _finish_publication(store: Store, job: Job) -> None:
    """What a killed run was putting in place is put in place first."""
    run = store.last_run("publishing")
    if run is not None:
        log.warning("run %s: it was cut off while publishing; finishing that", run.run_id)
        kept: dict[str, Any] = json.loads(run.manifest or "{}")
        _put_in_place(store, run, job, kept["files"], kept["accepted"])


def _put_in_place(store: Store, run: Run, job: Job, files: dict[str, str], accepted: list[Any]) -> None:
    publish.put_in_place(job.output.dir, run.run_id, files)
    with store.transaction():
        store.set_state(run, "published")
        History(store, run).settle(job.output.keep_nights, accepted)
