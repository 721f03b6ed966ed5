"""A shard: one of N processes that ask a job's requests together, each its own part, for `merge` to put together.

Which requests are whose depends on the requests alone: a shard that is killed, moved or run twice has the same
part. It leaves answers and no table: `shard.json` is written last, and says that the part is finished.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from batchsum.atomic import replace_file
from batchsum.config.taxa_lock import lock_file, read_lock
from batchsum.errors import NothingUsable, UsageError
from batchsum.model.job import Job
from batchsum.model.queries import Failure, Query, Request, request_key
from batchsum.ncbi.urls import default_base_url
from batchsum.output import files
from batchsum.run.ask import Fetcher, ask
from batchsum.run.coverage import OnReading, count_holdings, require_reader
from batchsum.run.guards import judge
from batchsum.run.job_copy import keep_job
from batchsum.run.night import job_client
from batchsum.run.resume import Night, about_run, close_run, open_night
from batchsum.run.signals import Signals
from batchsum.store.directory import STATE, held, output_errors
from batchsum.store.held import held_digest
from batchsum.store.store import Run, Store, in_groups
from batchsum.text import utc_text
from batchsum.version import __version__

log = logging.getLogger("batchsum")

MANIFEST = "shard.json"


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def owns(self, key: str) -> bool:
        """Whether the request of this key is this shard's."""
        return owner(key, self.count) == self.index

    def directory(self, out: Path) -> Path:
        """Where it goes unless it is told: below the directory of the table."""
        return out / "shards" / f"{self.index}-of-{self.count}"


def owner(key: str, count: int) -> int:
    """The index of the one of `count` shards that asks the request of this key."""
    # Not hash(): it differs from process to process.
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % count + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedShard:
    """A finished part: its output directory, and what `shard.json` says of it."""

    directory: Path
    shard: Shard
    run_id: str
    job: str
    job_hash: str
    lock_digest: str
    holdings_digest: str
    today: date
    base_url: str
    started_at: str
    finished_at: str
    requests: int
    unanswered: int
    """Requests without an answer."""
    unasked: Failure
    """What to say of them."""
    requests_per_second: float | None
    """The pace at the end, None for unlimited."""
    accept: tuple[str, ...]
    batchsum: str
    """The version."""

    @classmethod
    def of(cls, directory: Path) -> Self:
        """UsageError where no finished shard is there."""
        if not (directory / STATE).is_file():
            raise UsageError(f"{directory}: no shard was run here; name the directories of run --shard I/N --out DIR")
        try:
            told: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            index, _, count = told["shard"].partition("/")
            told |= {
                "directory": directory,
                "shard": Shard(int(index), int(count)),
                "today": date.fromisoformat(told["today"]),
                "unasked": Failure(**told["unasked"]),
                "accept": tuple(told["accept"]),
            }
            known = {one.name for one in fields(cls)}  # of another version there may be more, and the version is told
            return cls(**{name: value for name, value in told.items() if name in known})
        except FileNotFoundError:  # written last
            if (directory / files.MANIFEST).is_file():
                raise UsageError(f"{directory}: this is the table of a run, and no shard") from None
            raise UsageError(f"{directory}: this shard is not finished; the same run command goes on") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{directory / MANIFEST} is not what a shard leaves; run the shard again") from None
        except OSError as error:
            raise UsageError(f"{directory / MANIFEST}: {error.strerror}") from None

    def text(self) -> str:
        """As it stands in `shard.json`."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "directory"}
        told["unasked"] = asdict(self.unasked)
        return json.dumps(told, indent=2, ensure_ascii=False, default=str) + "\n"


def run_shard(
    job: Job,
    shard: Shard,
    *,
    api_key: str | None,
    fresh: bool,
    deadline: timedelta | None,
    accept: tuple[str, ...],
    wait_for_lock: bool,
    today: date | None,
    begun: datetime,
    on_asking: Callable[[Fetcher], None],
    on_reading: OnReading,
) -> FinishedShard:
    """Ask the requests of `job` that are `shard`'s, and leave the answers in `job.output.dir`, a directory of its own.

    As `run_job`, but nobody is told, and `accept` is kept for the merge. NothingUsable where an outage left
    the whole part without an answer: the same call asks again.
    """
    directory = job.output.dir
    base_url = job.api.base_url or default_base_url()
    require_reader(job)
    lock = read_lock(lock_file(job.path))
    client = job_client(job, base_url, api_key, parts=shard.count)
    with Signals() as signals, output_errors(directory), held(directory, wait=wait_for_lock) as store:
        if store.runs("published", limit=1) or (directory / files.MANIFEST).exists():
            raise UsageError(f"{directory} holds the table of a job; give each shard a directory of its own with --out")
        night = open_night(store, job, lock, base_url=base_url, begun=begun, today=today, fresh=fresh, accept=accept)
        night = count_holdings(night, on_reading)
        of_all = night.plan.request_count
        mine = (request for request in night.plan.requests() if shard.owns(request_key(request)))
        night = replace(night, plan=night.plan.part(mine))
        _forget_others(store, night.run, directory)
        with about_run(night.run.run_id):
            log.info(
                "run %s: shard %s, %d of %d requests to %s",
                night.run.run_id, shard, night.plan.request_count, of_all, base_url,
            )  # fmt: skip
            fetcher = Fetcher(night, client, _find_retries)
            ask(fetcher, (fetcher.first_round, fetcher.second_round), signals, deadline, on_asking)
            return _finish(fetcher, shard)


def _forget_others(store: Store, run: Run, directory: Path) -> None:
    """The part is not finished from here on, and what was answered on other nights is of no use."""
    (directory / MANIFEST).unlink(missing_ok=True)  # first: while it lies there, merge finds the part finished
    with store.transaction():
        for table in ("answers", "holdings", "held"):
            store.query(f"DELETE FROM {table} WHERE run != ?", run.run)


def _find_retries(night: Night, unasked: Failure) -> list[Request]:
    """What one shard can say of its answers: each by itself. Past and neighbours are known after merging only."""
    found = list[Request]()
    for group in in_groups(night.plan.requests()):
        answers = night.store.answers(night.run, map(request_key, group))
        for request in group:
            answer = answers.get(request_key(request), unasked)
            verdict = judge(Query(request.taxon, "", request.filters), answer)
            if verdict.status in ("suspect", "failed", "skipped"):
                found.append(request)
    return found


def _finish(fetcher: Fetcher, shard: Shard) -> FinishedShard:
    night, directory = fetcher.night, fetcher.night.job.output.dir
    store, run, plan = night.store, night.run, night.plan
    usable = "SELECT 1 FROM answers WHERE run = ? AND status IN ('answered', 'rejected') LIMIT 1"
    if (outage := fetcher.client.outage.given_up) and not store.query(usable, run.run):
        with store.transaction():
            close_run(store, run)
        raise NothingUsable(f"{directory}: nothing was answered, the same command asks again; {outage}")
    answered = store.answered(run)
    unanswered = sum(request_key(request) not in answered for request in plan.requests())
    with store.transaction():  # for merging, which needs neither the job file nor its lists
        keep_job(store, night.job, plan.lock)
    finished = FinishedShard(
        directory=directory,
        shard=shard,
        run_id=run.run_id,
        job=night.job.name,
        job_hash=run.job_hash,
        lock_digest=hashlib.sha256(plan.lock.text().encode()).hexdigest(),
        holdings_digest=held_digest(store, run),
        today=run.today,
        base_url=run.base_url,
        started_at=run.started_at,
        finished_at=utc_text(datetime.now(UTC)),
        requests=plan.request_count,
        unanswered=unanswered,
        unasked=fetcher.unasked,
        requests_per_second=fetcher.client.pacer.rate,
        accept=tuple(sorted("/".join(row) for row in night.accept)),
        batchsum=__version__,
    )
    # Last, and in one piece: everything it speaks of is on the disk already.
    replace_file(directory / MANIFEST, finished.text())
    with store.transaction():
        store.move(run, "open", "closed")  # its answers stay: they are what `merge` reads
    log.info("run %s: shard %s is finished; %d requests unanswered", run.run_id, shard, unanswered)
    return finished
