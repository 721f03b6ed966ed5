"""The finished shards of one job: whether they belong together, and their answers on the way into one store."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from batchsum.errors import UsageError
from batchsum.model.queries import Failure, Reply, request_key
from batchsum.output import files
from batchsum.run.coverage import asked_plan
from batchsum.run.plan import Plan
from batchsum.run.shard import MANIFEST, Shard, owner
from batchsum.store.directory import STATE
from batchsum.store.held import HELD_TABLES, held_rows
from batchsum.store.store import Run, Store, dump_reply

_SAME = {
    "job": "job",
    "job_digest": "the content of the job",
    "lock_digest": "the content of taxa.lock",
    "holdings_digest": "what its holdings hold; give all of them the same files",
    "today": "the day; set BATCHSUM_TODAY for all of them",
    "base_url": "the server asked",
    "batchsum": "the version of batchsum",
}
"""What shards must agree in, and how that is called."""


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """A shard's output directory, and what its manifest says."""

    directory: Path
    shard: Shard
    run_id: str
    started_at: str
    today: date
    base_url: str
    requests: int
    unanswered: int
    """Requests without an answer."""
    unasked: Failure
    """What to say of them."""
    rate: float | None
    """Its pace at the end, None for unlimited."""
    accept: tuple[str, ...]
    same: dict[str, str]
    """What it must have in common with the others, by the keys of _SAME."""

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
        except FileNotFoundError:  # written last
            if (directory / files.MANIFEST).is_file():
                raise UsageError(f"{directory}: this is the table of a run, and no shard") from None
            raise UsageError(f"{directory}: this shard is not finished; the same run command goes on") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{directory / MANIFEST} is not what a shard leaves; run the shard again") from None
        except OSError as error:
            raise UsageError(f"{directory / MANIFEST}: {error.strerror}") from None


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
            if one.same[name] != first.same[name]:
                yield f"{one.directory} and {first.directory} differ in {called}: {_values(name, one, first)}"
    count = first.shard.count
    missing = [str(Shard(index, count)) for index in range(1, count + 1) if Shard(index, count) not in seen]
    if missing:
        yield f"missing: {', '.join(missing)}"


def _values(name: str, one: FinishedShard, other: FinishedShard) -> str:
    short = slice(8) if name.endswith("digest") else slice(None)
    return f"{one.same[name][short]}, {other.same[name][short]}"


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
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as state:
            yield from state.execute(sql, (one.run_id,))
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
