"""A shard: one of N processes that ask a job's requests together, each its own part, for `merge` to put together.

Which requests are whose depends on the requests alone: a shard that is killed, moved or run twice has the same
part. It leaves answers and no table: `shard.json` is written last, and says that the part is finished.
"""

import asyncio
import gzip
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from batchsum.atomic import replace_file
from batchsum.config.taxa_lock import FILE as LOCK
from batchsum.config.taxa_lock import TaxaLock, lock_file, read_lock, write_lock
from batchsum.config.taxon_list import TaxonList
from batchsum.errors import NothingUsable, UsageError
from batchsum.model.filters import FilterSet
from batchsum.model.job import ApiSettings, Job, NamedSet, NotifySettings, OutputSettings, Windows
from batchsum.model.queries import Failure, Guards, Query, Request, request_key
from batchsum.ncbi.urls import BASE_URL
from batchsum.output import files
from batchsum.run.ask import Asking
from batchsum.run.guards import judge
from batchsum.run.night import ask, job_client
from batchsum.run.plan import Plan
from batchsum.run.resume import about_run, close_run, open_run
from batchsum.run.signals import Signals
from batchsum.store.directory import held, output_errors
from batchsum.store.store import Run, Store
from batchsum.text import utc_text
from batchsum.version import __version__

# A job as one file and back: what a shard leaves, so that merging needs neither the job file nor its lists.
# The file is gzipped JSON lines: what the job says, then one line a taxon. Sets and bounds that many taxa
# share stay shared.


JOB_COPY = "job.jsonl.gz"

_CLASSES = {
    one.__name__: one
    for one in (ApiSettings, FilterSet, Guards, Job, NamedSet, NotifySettings, OutputSettings, Windows)
}
_NOWHERE = Path()


def write_copy(path: Path, job: Job) -> None:
    """Replaces nothing atomically: whoever reads it has been told by another file that it is whole."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1, newline="\n") as file:
        file.writelines(line + "\n" for line in _lines(job))


def read_copy(path: Path) -> Job:
    """The job that was copied. UsageError where this is no copy, or one of another version."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head, kinds = (_value(json.loads(file.readline())) for _ in range(2))
            taxa = TaxonList()
            taxa.begin(str(path))
            numbers = [taxa.kind(sets, guards) for sets, guards in kinds]
            for line, text in enumerate(file, start=3):
                taxon, label, kind = json.loads(text)
                taxa.add(taxon, label, numbers[kind], line)
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise UsageError(f"{path} cannot be read: {error}; run the shard again with this version") from None
    if not isinstance(head, Job):
        raise UsageError(f"{path} is no copy of a job")
    return replace(head, taxa=taxa)


def job_digest(job: Job) -> str:
    """The same for jobs that come to the same table, wherever it goes and whatever server is asked how fast."""
    output = replace(job.output, dir=_NOWHERE)
    same = replace(job, path=_NOWHERE, output=output, api=ApiSettings(), warnings=())
    digest = hashlib.sha256()
    for line in _lines(same):
        digest.update(line.encode())
    return digest.hexdigest()


def _lines(job: Job) -> Iterator[str]:
    kinds: dict[tuple[int, int], int] = {}
    shared = []
    for listed in job.taxa:
        if (key := (id(listed.sets), id(listed.guards))) not in kinds:
            kinds[key] = len(kinds)
            shared.append((listed.sets, listed.guards))
    yield _json(_plain(replace(job, taxa=(), warnings=())))
    yield _json(_plain(tuple(shared)))
    for listed in job.taxa:
        yield _json([listed.taxon, listed.label, kinds[id(listed.sets), id(listed.guards)]])


def _plain(value: Any) -> Any:
    """As JSON can say it: what JSON has no word for is an object with one key, its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {one.name: _plain(getattr(value, one.name)) for one in fields(value)}}
    match value:
        case date():
            return {"date": value.isoformat()}
        case timedelta():
            return {"seconds": value.total_seconds()}
        case Path():
            return {"path": str(value)}
        case Mapping():
            return {"mapping": {name: _plain(one) for name, one in value.items()}}
        case tuple() | list():
            return [_plain(one) for one in value]
    return value


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(one) for one in plain)
    if not isinstance(plain, dict):
        return plain
    ((kind, said),) = plain.items()
    match kind:
        case "date":
            return date.fromisoformat(said)
        case "seconds":
            return timedelta(seconds=said)
        case "path":
            return Path(said)
    named = {name: _value(one) for name, one in said.items()}
    return named if kind == "mapping" else _CLASSES[kind](**named)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % count + 1


@dataclass(frozen=True, slots=True)
class ShardOutcome:
    """A finished part."""

    shard: Shard
    run_id: str
    directory: Path
    requests: int
    unanswered: int
    """Requests that have no answer, and will be `skipped`."""

    def summary(self) -> str:
        missing = f", {self.unanswered:,} without an answer" if self.unanswered else ""
        head = f"shard {self.shard}: {self.requests:,} requests{missing}; batchsum merge makes the table"
        return f"{head}\n{self.directory}"


def run_shard(
    job: Job,
    shard: Shard,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    fresh: bool = False,
    deadline: timedelta | None = None,
    accept: tuple[str, ...] = (),
    wait_for_lock: bool = False,
    today: date | None = None,
    on_asking: Callable[[Asking], None] = lambda asking: None,
) -> ShardOutcome:
    """Ask the requests of `job` that are `shard`'s, and leave the answers in `job.output.dir`, a directory of its own.

    As `run_job`, but nobody is told, and `accept` is kept for the merge. NothingUsable where an outage left
    the whole part without an answer: the same call asks again.
    """
    directory = job.output.dir
    base_url = base_url or job.api.base_url or BASE_URL
    lock = read_lock(lock_file(job.path))
    client = job_client(job, base_url, api_key, parts=shard.count)
    with Signals() as signals, output_errors(directory), held(directory, wait=wait_for_lock) as store:
        _check_directory(store, directory)
        opened = open_run(
            store, job, lock, base_url=base_url, generation=0,
            now=datetime.now(UTC), today=today, fresh=fresh, accept=accept,
        )  # fmt: skip
        run, plan = opened.run, opened.plan.part(lambda request: shard.owns(request_key(request)))
        _forget_others(store, run, directory)
        with about_run(run.run_id):
            log.info(
                "run %s: shard %s, %d of %d requests to %s",
                run.run_id, shard, plan.request_count, opened.plan.request_count, base_url,
            )  # fmt: skip
            asking = Asking(plan, store, run, client, job.api.workers, partial(_doubtful, plan, store, run))
            asyncio.run(ask(asking, [asking.both_rounds], signals, deadline, on_asking))
            return _finish(asking, shard, lock, accept)


def _doubtful(plan: Plan, store: Store, run: Run, unasked: Failure) -> list[Request]:
    """What one shard can say of its answers: each by itself. Past and neighbours are known after merging only."""
    found, requests = list[Request](), plan.requests()
    while group := {request_key(request): request for request in islice(requests, 500)}:
        answers = store.answers(run, group)
        for key, request in group.items():
            verdict = judge(Query(request.taxon, "", request.filters), answers.get(key, unasked))
            if verdict.status in ("suspect", "failed", "skipped"):
                found.append(request)
    return found


def _check_directory(store: Store, directory: Path) -> None:
    if store.runs("published", limit=1) or (directory / files.MANIFEST).exists():
        raise UsageError(f"{directory} holds the table of a job; give each shard a directory of its own with --out")


def _forget_others(store: Store, run: Run, directory: Path) -> None:
    """The part is not finished from here on, and what was answered on other nights is of no use."""
    (directory / MANIFEST).unlink(missing_ok=True)
    with store.transaction():
        store.query("DELETE FROM answers WHERE run != ?", run.run)


def _finish(asking: Asking, shard: Shard, lock: TaxaLock, accept: Sequence[str]) -> ShardOutcome:
    plan, store, run, directory = asking.plan, asking.store, asking.run, asking.plan.job.output.dir
    unanswered = sum(1 for _ in _unanswered(asking))
    if (outage := asking.client.outage.given_up) and not _count_usable(store, run):
        with store.transaction():
            close_run(store, run)
        raise NothingUsable(f"{directory}: nothing was answered, the same command asks again; {outage}")
    api = plan.job.api
    kept = api.api_key_file and api.api_key_file.absolute()
    job = replace(plan.job, path=plan.job.path.absolute(), api=replace(api, api_key_file=kept))
    write_copy(directory / JOB_COPY, job)
    if len(lock):
        write_lock(directory / LOCK, lock)
    else:
        (directory / LOCK).unlink(missing_ok=True)
    manifest = {
        "shard": str(shard),
        "run_id": run.run_id,
        "job": job.name,
        "job_digest": job_digest(job),
        "lock_digest": hashlib.sha256(lock.text().encode()).hexdigest(),
        "today": run.today.isoformat(),
        "base_url": run.base_url,
        "started_at": run.started_at,
        "finished_at": utc_text(datetime.now(UTC)),
        "requests": plan.request_count,
        "unanswered": unanswered,
        "unasked": asdict(asking.unasked),
        "requests_per_second": asking.client.pacer.rate,
        "accept": list(accept),
        "batchsum": __version__,
    }
    # Last, and in one piece: everything it speaks of is on the disk already.
    replace_file(directory / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    with store.transaction():
        store.move(run, "open", "closed")
    log.info("run %s: shard %s is finished; %d requests unanswered", run.run_id, shard, unanswered)
    return ShardOutcome(shard, run.run_id, directory, plan.request_count, unanswered)


def _count_usable(store: Store, run: Run) -> int:
    rows = store.query("SELECT count(*) FROM answers WHERE run = ? AND status IN ('answered', 'rejected')", run.run)
    return int(rows[0][0])


def _unanswered(asking: Asking) -> Iterator[str]:
    requests = asking.plan.requests()
    while group := [request_key(request) for request in islice(requests, 500)]:
        yield from asking.store.unanswered(asking.run, group)
