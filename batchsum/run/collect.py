"""The finished shards of one job: whether they belong together, and their answers on the way into one store."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batchsum.errors import UsageError
from batchsum.model.queries import Reply, request_key
from batchsum.run.plan import Plan
from batchsum.run.shard import MANIFEST, FinishedShard, Shard, owner
from batchsum.store.directory import STATE
from batchsum.store.store import Run, Store, dump_reply

_SAME = {
    "job": "job",
    "job_digest": "the content of the job",
    "lock_digest": "the content of taxa.lock",
    "today": "the day; set BATCHSUM_TODAY for all of them",
    "base_url": "the server asked",
    "batchsum": "the version of batchsum",
}
"""What shards must agree in, by the fields of FinishedShard, and how that is called."""


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


_INTO = "INTO answers (run, request, round, status, answer, attempts, earlier) VALUES (?, ?, ?, ?, ?, ?, ?)"


def copy_answers(store: Store, run: Run, shards: Sequence[FinishedShard], plan: Plan) -> None:
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
        if len(keys) != one.unanswered:  # state and manifest are of different times
            raise UsageError(f"{one.directory}: its answers are not those that its {MANIFEST} tells of; run it again")
        unasked = dump_reply(Reply(one.unasked))
        # What an outage skipped stands there already, with its attempts.
        store.write(f"INSERT OR IGNORE {_INTO}", ((run.run, key, 2, *unasked, "") for key in keys))


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
                short = slice(8) if name.endswith("digest") else slice(None)
                values = ", ".join(str(getattr(this, name))[short] for this in (one, first))
                yield f"{one.directory} and {first.directory} differ in {called}: {values}"
    count = first.shard.count
    missing = [str(Shard(index, count)) for index in range(1, count + 1) if Shard(index, count) not in seen]
    if missing:
        yield f"missing: {', '.join(missing)}"


def _answers(one: FinishedShard, run: Run) -> Iterator[tuple[Any, ...]]:
    """Read only: the directory may be somebody else's."""
    path = one.directory / STATE
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as state:
            # Round 2 is the last: nobody asks again for what a shard has given up.
            rows = state.execute(
                "SELECT request, CASE WHEN status IN ('failed', 'skipped') THEN 2 ELSE round END, status, answer,"
                " attempts, earlier FROM answers JOIN runs USING (run) WHERE run_id = ?",
                (one.run_id,),
            )
            for request, *answer in rows:
                if not one.shard.owns(request):
                    raise UsageError(f"{one.directory}: shard {one.shard} holds {request}, which is another shard's")
                yield run.run, request, *answer
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
