"""Merging: the answers of all shards become one run of the table's own directory, which is then judged and published.

What no shard could know (the nights before, and neighbours in other shards) is judged here, and what that makes
doubtful is asked once more, as one run would. Merging the same shards again changes nothing.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batchsum.config.taxa_lock import TaxaLock
from batchsum.errors import UsageError
from batchsum.model.job import Job
from batchsum.model.queries import Reply, request_key
from batchsum.notify.notifier import Notifier
from batchsum.output import files
from batchsum.output.formats import require_formats
from batchsum.run.coverage import asked_plan
from batchsum.run.job_copy import kept_job
from batchsum.run.lost_store import remember_table
from batchsum.run.night import announce, carry_out, job_client
from batchsum.run.outcome import Outcome, outcome_of
from batchsum.run.plan import Plan
from batchsum.run.publish import file_names, finish_publication
from batchsum.run.resume import Night, close_run
from batchsum.run.shard import MANIFEST, FinishedShard, Shard, owner
from batchsum.run.signals import Signals
from batchsum.store.directory import STATE, held, output_errors
from batchsum.store.held import HELD_TABLES, held_rows
from batchsum.store.store import Run, Store, dump_reply

log = logging.getLogger("batchsum")

LONGEST_OUTAGE = timedelta(seconds=10)
"""Shards have waited for the end of an outage already; merging does not."""
_SAME = {
    "job": "job",
    "job_hash": "the rows of the job, or how they are judged",
    "lock_digest": "the content of taxa.lock",
    "holdings_digest": "what its holdings hold; give all of them the same files",
    "today": "the day; set BATCHSUM_TODAY for all of them",
    "base_url": "the server asked",
    "batchsum": "the version of batchsum",
}
"""What shards must agree in, by the fields of FinishedShard, and how that is called."""

_INTO = "INTO answers (run, request, round, status, answer, attempts, earlier) VALUES (?, ?, ?, ?, ?, ?, ?)"


def collect(out: Path, directories: Sequence[Path]) -> list[FinishedShard]:
    """The shards in these directories, by number. UsageError names every one that does not belong to the others."""
    shards, problems = [], []
    for directory in directories:
        try:
            shards.append(FinishedShard.of(directory))
        except UsageError as error:
            problems.append(str(error))
    if shards:
        problems += _disagreements(shards)
    if any(directory.resolve() == out.resolve() for directory in directories):
        problems.append(f"{out}: the table needs a directory of its own, beside its shards")
    if problems:
        raise UsageError("these shards make no table:\n  " + "\n  ".join(problems))
    return sorted(shards, key=lambda one: one.shard.index)


def merged_job(out: Path, shards: Sequence[FinishedShard]) -> tuple[Job, TaxaLock]:
    """The job that these shards asked, its table in `out`, and the lock that it had."""
    first = shards[0].directory
    try:
        ((copy, lock),) = _rows(shards[0], "SELECT copy, lock FROM job, runs WHERE run_id = ?")
        job, taxa = kept_job(copy, lock)
    except ValueError as error:
        raise UsageError(f"{first}: its job cannot be read ({error}); run the shard again with this version") from None
    api = replace(job.api, base_url=shards[0].base_url, max_outage=min(job.api.max_outage, LONGEST_OUTAGE))
    return replace(job, api=api, output=replace(job.output, dir=out)), taxa


def merge_shards(job: Job, lock: TaxaLock, shards: Sequence[FinishedShard], api_key: str | None) -> Outcome:
    """The table that one run of `job` would have published. Raises as `run_job`.

    `shards` are those that `collect` found, `job` and `lock` are theirs as `merged_job` makes them.
    """
    directory, first = job.output.dir, shards[0]
    with Signals() as signals, Notifier(job) as notifier, output_errors(directory):
        require_formats(job)
        plan = Plan(job, first.today, lock)
        client = job_client(job, first.base_url, api_key)
        with held(directory) as store:
            finish_publication(store, job)  # first: it may put another run.json there
            manifest = files.read_manifest(directory)
            is_theirs = manifest.get("run_id") == _run_id(shards)  # then no other night takes the table's place
            lost = remember_table(store, job, manifest, date.max if is_theirs else first.today)
            if (done := _merged_before(store, job, manifest, _run_id(shards))) is not None:
                return announce(store, notifier, outcome_of(store, done, job, manifest))
            files.check_targets(directory, file_names(job))
            run = _open_run(store, plan, shards, manifest)
            plan = asked_plan(plan, held_rows(store, run))
            night = Night(job, plan, store, run, warnings=(lost,) if lost else ())
            night = night.accepting([name for one in shards for name in one.accept])
            return carry_out(night, client, signals, notifier, lambda: _rate(shards), is_merged=True)


def _disagreements(shards: Sequence[FinishedShard]) -> Iterator[str]:
    first, seen = shards[0], dict[Shard, Path]()
    for one in shards:
        if one.shard.count != first.shard.count:
            yield f"{one.directory} is shard {one.shard}, but {first.directory} is shard {first.shard}"
            continue  # its number belongs to another division
        if one.shard in seen:
            yield f"{one.directory} and {seen[one.shard]} are both shard {one.shard}"
        seen[one.shard] = one.directory
        for name, called in _SAME.items():
            if getattr(one, name) != getattr(first, name):
                short = slice(8) if name.endswith(("digest", "hash")) else slice(None)
                values = ", ".join(str(getattr(this, name))[short] for this in (one, first))
                yield f"{one.directory} and {first.directory} differ in {called}: {values}"
    count = first.shard.count
    missing = [str(Shard(index, count)) for index in range(1, count + 1) if Shard(index, count) not in seen]
    if missing:
        yield f"missing: {', '.join(missing)}"


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
    run_id, job_hash, generation = _run_id(shards), plan.job_hash(), manifest.get("generation", 0)
    with store.transaction():
        found = store.last_run("open")
        if found is not None and found.run_id == run_id:
            return store.take_over(found, job_hash=job_hash, generation=generation)
        if found is not None:
            close_run(store, found)
            log.warning("run %s was not finished, and gives way to the shards", found.run_id)
        # The same shards were merged before, and nothing of them was usable.
        store.query("DELETE FROM runs WHERE run_id = ? AND state IN ('closed', 'failed')", run_id)
        run = store.begin_run(
            run_id, started_at=min(one.started_at for one in shards), today=plan.today, base_url=shards[0].base_url,
            job_hash=job_hash, generation=generation,
        )  # fmt: skip
        _copy_answers(store, run, shards, plan)  # in here: a kill leaves no run with a part of the answers
    log.info("run %s: %d shards of %s merged", run_id, len(shards), plan.job.name)
    return run


def _rate(shards: Sequence[FinishedShard]) -> float | None:
    """The pace of all of them together; None where one had no limit."""
    rates = [one.requests_per_second for one in shards]
    return None if None in rates else sum(rate for rate in rates if rate is not None)


def _run_id(shards: Sequence[FinishedShard]) -> str:
    """The same for the same shards."""
    digest = hashlib.sha256("\n".join(one.run_id for one in shards).encode()).hexdigest()
    started = datetime.fromisoformat(min(one.started_at for one in shards))
    return f"{started:%Y%m%dT%H%M%SZ}-{digest[:6]}"


# The answers on their way into one store


def _copy_answers(store: Store, run: Run, shards: Sequence[FinishedShard], plan: Plan) -> None:
    """All answers into `run`, inside a transaction of the caller; what was never asked as its shard says.

    An answer that is none is final: its shard has asked twice, or was told to stop.
    """
    for one in shards:
        store.write(f"INSERT {_INTO}", _answers(one, run))
    for table, columns in HELD_TABLES.items():  # all shards hold the same
        marks = ", ".join("?" * len(columns))
        rows = _rows(shards[0], f"SELECT {', '.join(columns)} FROM {table} JOIN runs USING (run) WHERE run_id = ?")
        store.write(f"INSERT INTO {table} VALUES (?, {marks})", ((run.run, *row) for row in rows))
    plan = asked_plan(plan, held_rows(store, run))
    answered, missing = store.answered(run), [list[str]() for _ in shards]
    for request in plan.requests():
        if (key := request_key(request)) not in answered:
            missing[owner(key, len(shards)) - 1].append(key)
    for one, keys in zip(shards, missing, strict=True):
        if len(keys) != one.unanswered:  # state and manifest are of different times
            raise UsageError(f"{one.directory}: its answers are not those that its {MANIFEST} tells of; run it again")
        unasked = dump_reply(Reply(one.unasked))
        # What an outage skipped stands there already, with its attempts.
        store.write(f"INSERT OR IGNORE {_INTO}", ((run.run, key, 2, *unasked, "") for key in keys))


def _answers(one: FinishedShard, run: Run) -> Iterator[tuple[Any, ...]]:
    # Round 2 is the last: nobody asks again for what a shard has given up.
    rows = _rows(
        one,
        "SELECT request, CASE WHEN status IN ('failed', 'skipped') THEN 2 ELSE round END, status, answer,"
        " attempts, earlier FROM answers JOIN runs USING (run) WHERE run_id = ?",
    )
    for request, *answer in rows:
        if not one.shard.owns(request):
            raise UsageError(f"{one.directory}: shard {one.shard} holds {request}, which is another shard's")
        yield run.run, request, *answer


def _rows(one: FinishedShard, sql: str) -> Iterator[tuple[Any, ...]]:
    """What a shard kept for its run. Read only: the directory may be somebody else's."""
    path = one.directory / STATE
    try:
        with closing(sqlite3.connect(f"file:{quote(bytes(path.absolute()))}?mode=ro", uri=True)) as state:
            yield from state.execute(sql, (one.run_id,))
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
