"""Merging: the answers of all shards become one run of the table's own directory, which is then judged and published.

What no shard could know (the nights before, and neighbours in other shards) is judged here, and what that makes
doubtful is asked once more, as one run would. Merging the same shards again changes nothing.
"""

import asyncio
import hashlib
import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from batchsum.config.taxa_lock import FILE as LOCK
from batchsum.config.taxa_lock import read_lock
from batchsum.errors import UsageError
from batchsum.model.job import Job
from batchsum.model.queries import Failure, Reply, request_key
from batchsum.notify.notifier import Telling
from batchsum.output import files
from batchsum.output.formats import require_formats
from batchsum.run.ask import Asking
from batchsum.run.job_copy import JOB_COPY, read_copy
from batchsum.run.judge import Judgement
from batchsum.run.night import Outcome, ask, conclude, job_client, published
from batchsum.run.plan import Plan, build_plan
from batchsum.run.publish import file_names, finish_publication
from batchsum.run.resume import about_run, close_run
from batchsum.run.shard import MANIFEST, Shard, owner
from batchsum.run.signals import Signals
from batchsum.store.directory import STATE, held, output_errors
from batchsum.store.history import History
from batchsum.store.store import Run, Store, dump_reply

# The finished shards of one job: whether they belong together, and their answers on the way into one store.


_SAME = {
    "job": "job",
    "job_digest": "the content of the job",
    "lock_digest": "the content of taxa.lock",
    "today": "the day; set BATCHSUM_TODAY for all of them",
    "base_url": "the server asked",
    "batchsum": "the version of batchsum",
}
"""What shards must agree in, and how that is called."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard's output directory, and what its manifest says."""

    directory: Path
    shard: Shard
    run_id: str
    started_at: str
    today: date
    base_url: str
    requests: int
    unanswered: int
    unasked: Failure
    rate: float | None
    accept: tuple[str, ...]
    same: dict[str, str]

    @classmethod
    def of(cls, directory: Path) -> Self:
        """UsageError where no finished shard is there."""
        if not (directory / STATE).is_file():
            raise UsageError(f"{directory}: no shard was run here; name the directories of run --shard I/N --out DIR")
        try:
            told: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            index, _, count = told["shard"].partition("/")
            return cls(
                directory,
                Shard(int(index), int(count)),
                str(told["run_id"]),
                str(told["started_at"]),
                date.fromisoformat(told["today"]),
                str(told["base_url"]),
                int(told["requests"]),
                int(told["unanswered"]),
                Failure(**told["unasked"]),
                told["requests_per_second"],
                tuple(told["accept"]),
                {name: str(told[name]) for name in _SAME},
            )
        except FileNotFoundError:
            if (directory / files.MANIFEST).is_file():
                raise UsageError(f"{directory}: this is the table of a run, and no shard") from None
            raise UsageError(f"{directory}: this shard is not finished; the same run command goes on") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{directory / MANIFEST} is not what a shard leaves; run the shard again") from None
        except OSError as error:
            raise UsageError(f"{directory / MANIFEST}: {error.strerror}") from None


def gather(out: Path, directories: Sequence[Path]) -> list[Finished]:
    """The shards in these directories, by number. UsageError names every one that does not belong to the others."""
    shards, problems = [], []
    for directory in directories:
        try:
            shards.append(Finished.of(directory))
        except UsageError as error:
            problems.append(str(error))
    if shards:
        problems += _disagreements(shards)
    if any(directory.resolve() == out.resolve() for directory in directories):
        problems.append(f"{out}: the table needs a directory of its own, beside its shards")
    if problems:
        raise UsageError("these shards make no table:\n  " + "\n  ".join(problems))
    return sorted(shards, key=lambda one: one.shard.index)


def _disagreements(shards: list[Finished]) -> Iterator[str]:
    first, seen = shards[0], dict[Shard, Path]()
    for one in shards:
        if one.shard.count != first.shard.count:
            yield f"{one.directory} is shard {one.shard}, but {first.directory} is shard {first.shard}"
            continue
        if one.shard in seen:
            yield f"{one.directory} and {seen[one.shard]} are both shard {one.shard}"
        seen[one.shard] = one.directory
        for name, called in _SAME.items():
            if one.same[name] != first.same[name]:
                yield f"{one.directory} and {first.directory} differ in {called}: {_values(name, one, first)}"
    count = first.shard.count
    missing = [str(Shard(index, count)) for index in range(1, count + 1) if Shard(index, count) not in seen]
    if missing:
        yield f"missing: {', '.join(missing)}"


def _values(name: str, one: Finished, other: Finished) -> str:
    short = slice(8) if name.endswith("digest") else slice(None)
    return f"{one.same[name][short]}, {other.same[name][short]}"


_INTO = "INTO answers VALUES (?, ?, ?, ?, ?, ?)"


def copy_answers(store: Store, run: Run, shards: list[Finished], plan: Plan) -> None:
    """All answers into `run`, inside a transaction of the caller; what was never asked as its shard says.

    An answer that is none is final: its shard has asked twice, or was told to stop.
    """
    for one in shards:
        store.write(f"INSERT {_INTO}", _answers(one, run))
    answered, missing = store.answered(run), [list[str]() for _ in shards]
    for request in plan.requests():
        if (key := request_key(request)) not in answered:
            missing[owner(key, len(shards)) - 1].append(key)
    for one, keys in zip(shards, missing, strict=True):
        if len(keys) != one.unanswered:
            raise UsageError(f"{one.directory}: its answers are not those that its {MANIFEST} tells of; run it again")
        unasked = dump_reply(Reply(one.unasked))
        # What an outage skipped stands there already, with its attempts.
        store.write(f"INSERT OR IGNORE {_INTO}", ((run.run, key, 2, *unasked) for key in keys))


def _answers(one: Finished, run: Run) -> Iterator[tuple[Any, ...]]:
    """Read only: the directory may be somebody else's."""
    path = one.directory / STATE
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as state:
            rows = state.execute(
                "SELECT request, CASE WHEN status IN ('failed', 'skipped') THEN 2 ELSE round END, status, answer,"
                " attempts FROM answers JOIN runs USING (run) WHERE run_id = ?",
                (one.run_id,),
            )
            for request, *answer in rows:
                if not one.shard.owns(request):
                    raise UsageError(f"{one.directory}: shard {one.shard} holds {request}, which is another shard's")
                yield run.run, request, *answer
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


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
