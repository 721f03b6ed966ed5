"""Merging: the answers of all shards become one run of the table's own directory, which is then judged and published.

What no shard could know (the nights before, and neighbours in other shards) is judged here, and what that makes
doubtful is asked once more, as one run would. Merging the same shards again changes nothing.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from batchsum.cli.log import about_run
from batchsum.config.taxa_lock import FILE as LOCK
from batchsum.config.taxa_lock import read_lock
from batchsum.errors import UsageError
from batchsum.model.job import Job
from batchsum.notify.notifier import Telling
from batchsum.output import files
from batchsum.output.formats import require_formats
from batchsum.run.ask import Asking
from batchsum.run.judge import Judgement
from batchsum.run.night import Outcome, ask, conclude, job_client, published
from batchsum.run.plan import build_plan
from batchsum.run.publish import file_names, finish_publication
from batchsum.run.resume import close_run
from batchsum.run.signals import Signals
from batchsum.shards.gathering import Finished, copy_answers, gather
from batchsum.shards.jobcopy import FILE as JOB_COPY
from batchsum.shards.jobcopy import read_copy
from batchsum.store.directory import held, output_errors
from batchsum.store.history import History
from batchsum.store.store import Run, Store

log = logging.getLogger("batchsum")

LONGEST_OUTAGE = timedelta(seconds=10)
"""Shards have waited for the end of an outage already; merging does not."""


class Merging:
    """The shards in `directories` on their way to a table in `out`.

    Raises UsageError, naming them, where they are missing, unfinished, doubled or not of one job and day.
    """

    def __init__(self, out: Path, directories: Sequence[Path]) -> None:
        self._shards = gather(out, directories)
        first = self._shards[0]
        job = read_copy(first.directory / JOB_COPY)
        api = replace(job.api, base_url=first.base_url, max_outage=min(job.api.max_outage, LONGEST_OUTAGE))
        self.job: Job = replace(job, api=api, output=replace(job.output, dir=out))
        self._plan = build_plan(self.job, first.today, read_lock(first.directory / LOCK))
        self.run_id = _run_id(self._shards)

    def publish(
        self, api_key: str | None = None, *, on_asking: Callable[[Asking], None] = lambda asking: None
    ) -> Outcome:
        """The table that one run would have published. Raises as `run_job`."""
        job, directory = self.job, self.job.output.dir
        with Signals() as signals, Telling(job) as telling, output_errors(directory):
            require_formats(job)
            client = job_client(job, job.api.base_url, api_key)
            with held(directory) as store:
                finish_publication(store, job)
                if (done := self._merged_before(store)) is not None:
                    return published(store, done, job)
                files.check_targets(directory, file_names(job))
                run = self._open(store)
                telling.begin(run)
                files.sweep(directory, file_names(job), living={run.owner})
                with about_run(run.run_id), output_errors(directory):
                    judgement = Judgement(self._plan, store, run, History(store, run), self._accept())
                    log.info("run %s: %d shards of %s merged", run.run_id, len(self._shards), job.name)
                    asking = Asking(self._plan, store, run, client, job.api.workers, judgement.doubtful)
                    steps = (asking.look_up_names, asking.second_round)
                    asyncio.run(ask(asking, steps, signals, None, on_asking))
                    conclude(judgement, asking, self._rate())
                    return published(store, run, job)

    def _merged_before(self, store: Store) -> Run | None:
        done = next((run for run in store.runs("published", limit=10_000) if run.run_id == self.run_id), None)
        if done is not None and files.read_manifest(self.job.output.dir).get("run_id") != self.run_id:
            raise UsageError(
                f"{self.job.output.dir}: these shards were merged already, as run {self.run_id}, "
                "and a later night stands there; run the shards again"
            )
        return done

    def _open(self, store: Store) -> Run:
        """A run with the answers of all shards: that of a merge that was cut off, or a new one."""
        directory, first = self.job.output.dir, self._shards[0]
        job_hash, owner = self._plan.job_hash(), secrets.token_hex(4)
        generation = files.read_generation(directory)
        with store.transaction():
            found = store.last_run("open")
            if found is not None and found.run_id == self.run_id:
                return store.take_over(found, owner=owner, job_hash=job_hash, generation=generation)
            if found is not None:
                close_run(store, found)
                log.warning("run %s was not finished, and gives way to the shards", found.run_id)
            store.query("DELETE FROM runs WHERE run_id = ? AND state = 'closed'", self.run_id)
            run = store.begin_run(
                self.run_id,
                started_at=min(one.started_at for one in self._shards),
                today=self._plan.today,
                base_url=first.base_url,
                job_hash=job_hash,
                generation=generation,
                owner=owner,
            )
            copy_answers(store, run, self._shards, self._plan)
        return run

    def _accept(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self._shards for name in one.accept))

    def _rate(self) -> float | None:
        rates = [one.rate for one in self._shards]
        return None if None in rates else sum(rate for rate in rates if rate is not None)


def _run_id(shards: Sequence[Finished]) -> str:
    """The same for the same shards."""
    digest = hashlib.sha256("\n".join(one.run_id for one in shards).encode()).hexdigest()
    started = datetime.fromisoformat(min(one.started_at for one in shards))
    return f"{started:%Y%m%dT%H%M%SZ}-{digest[:6]}"
