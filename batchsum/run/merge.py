"""Merging: the answers of all shards become one run of the table's own directory, which is then judged and published.

What no shard could know (the nights before, and neighbours in other shards) is judged here, and what that makes
doubtful is asked once more, as one run would. Merging the same shards again changes nothing.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from batchsum.config.taxa_lock import FILE as LOCK
from batchsum.config.taxa_lock import read_lock
from batchsum.errors import UsageError
from batchsum.model.job import Job
from batchsum.notify.notifier import Notifier
from batchsum.output import files
from batchsum.output.formats import require_formats
from batchsum.run.ask import Fetcher
from batchsum.run.collect import FinishedShard, copy_answers
from batchsum.run.coverage import asked_plan
from batchsum.run.job_copy import JOB_COPY, read_copy
from batchsum.run.judge import judge_and_find_retries
from batchsum.run.lost_store import remember_table
from batchsum.run.night import announce, carry_out, job_client
from batchsum.run.outcome import Outcome, outcome_of
from batchsum.run.plan import Plan, build_plan
from batchsum.run.publish import file_names, finish_publication
from batchsum.run.resume import Night, close_run
from batchsum.run.signals import Signals
from batchsum.store.directory import held, output_errors
from batchsum.store.held import held_rows
from batchsum.store.store import Run, Store

log = logging.getLogger("batchsum")

LONGEST_OUTAGE = timedelta(seconds=10)
"""Shards have waited for the end of an outage already; merging does not."""


def merged_job(out: Path, shards: Sequence[FinishedShard]) -> Job:
    """The job that these shards asked, its table in `out`."""
    job = read_copy(shards[0].directory / JOB_COPY)
    api = replace(job.api, base_url=shards[0].base_url, max_outage=min(job.api.max_outage, LONGEST_OUTAGE))
    return replace(job, api=api, output=replace(job.output, dir=out))


def merge_shards(
    job: Job,
    shards: Sequence[FinishedShard],
    *,
    api_key: str | None = None,
    on_asking: Callable[[Fetcher], None] = lambda fetcher: None,
) -> Outcome:
    """The table that one run of `job` would have published. Raises as `run_job`.

    `shards` are those that `collect` found, `job` is theirs as `merged_job` makes it.
    """
    directory, first = job.output.dir, shards[0]
    files.require_own_directory(job)
    with Signals() as signals, Notifier(job) as notifier, output_errors(directory):
        require_formats(job)
        plan = build_plan(job, first.today, read_lock(first.directory / LOCK))
        client = job_client(job, first.base_url, api_key)
        with held(directory) as store:
            finish_publication(store, job)  # first: it may put another run.json there
            manifest = files.read_manifest(directory)
            is_theirs = manifest.get("run_id") == _run_id(shards)  # then no other night takes the table's place
            lost = remember_table(store, job, manifest, date.max if is_theirs else first.today)
            if (done := _merged_before(store, job, manifest, _run_id(shards))) is not None:
                return announce(notifier, outcome_of(store, done, job, manifest))
            files.check_targets(directory, file_names(job))
            run = _open_run(store, plan, shards, manifest)
            plan = asked_plan(plan, held_rows(store, run))
            night = Night(job, plan, store, run, warnings=(lost,) if lost else ())
            night = night.accepting(list(dict.fromkeys(name for one in shards for name in one.accept)))
            fetcher = Fetcher(night, client, partial(judge_and_find_retries, night))
            return carry_out(
                fetcher, fetcher.steps()[1:], signals, notifier, lambda: _rate(shards), on_asking=on_asking
            )


def _merged_before(store: Store, job: Job, manifest: Mapping[str, Any], run_id: str) -> Run | None:
    done = next(iter(store.runs_where("run_id = ? AND state IN ('published', 'replaced')", run_id)), None)
    if done is not None and manifest.get("run_id") != run_id:
        raise UsageError(
            f"{job.output.dir}: these shards were merged already, as run {run_id}, "
            "and a later run stands there; run the shards again"
        )
    return done


def _open_run(store: Store, plan: Plan, shards: Sequence[FinishedShard], manifest: Mapping[str, Any]) -> Run:
    """A run with the answers of all shards: that of a merge that was cut off, or a new one."""
    run_id, job_hash, owner = _run_id(shards), plan.job_hash(), secrets.token_hex(4)
    generation = manifest.get("generation", 0)
    with store.transaction():
        found = store.last_run("open")
        if found is not None and found.run_id == run_id:
            return store.take_over(found, owner=owner, job_hash=job_hash, generation=generation)
        if found is not None:
            close_run(store, found)
            log.warning("run %s was not finished, and gives way to the shards", found.run_id)
        # The same shards were merged before, and nothing of them was usable.
        store.query("DELETE FROM runs WHERE run_id = ? AND state IN ('closed', 'failed')", run_id)
        run = store.begin_run(
            run_id, started_at=min(one.started_at for one in shards), today=plan.today, base_url=shards[0].base_url,
            job_hash=job_hash, generation=generation, owner=owner,
        )  # fmt: skip
        copy_answers(store, run, shards, plan)  # in here: a kill leaves no run with a part of the answers
    log.info("run %s: %d shards of %s merged", run_id, len(shards), plan.job.name)
    return run


def _rate(shards: Sequence[FinishedShard]) -> float | None:
    """The pace of all of them together; None where one had no limit."""
    rates = [one.rate for one in shards]
    return None if None in rates else sum(rate for rate in rates if rate is not None)


def _run_id(shards: Sequence[FinishedShard]) -> str:
    """The same for the same shards."""
    digest = hashlib.sha256("\n".join(one.run_id for one in shards).encode()).hexdigest()
    started = datetime.fromisoformat(min(one.started_at for one in shards))
    return f"{started:%Y%m%dT%H%M%SZ}-{digest[:6]}"
