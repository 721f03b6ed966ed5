"""The answers as they come, and the runs they belong to. Resume and history are the same tables.

A process has the run that it began or took over. Whoever takes a run over, or closes it, is obeyed: the next
transaction of the process that had it before raises Locked.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from batchsum.errors import Locked
from batchsum.model.queries import Answer, Attempt, Failure, FileSummary, Package, Reply, Summary
from batchsum.store.database import SCHEMA_VERSION, Database

# An answer as JSON and back: what the store keeps. Fields by their place, a failure by their names.


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Record(NamedTuple):
    """What a request ended in, ready for the store: text takes a tenth of the memory of what it tells."""

    request: str
    """Its key: path and query below the base URL."""
    round: int
    status: str
    """`answered`, or the Failure's."""
    answer: str
    attempts: str

    @classmethod
    def of(cls, key: str, round_: int, reply: Reply) -> "Record":
        status = reply.answer.status if isinstance(reply.answer, Failure) else "answered"
        return cls(key, round_, status, dump_answer(reply.answer), _json(reply.attempts))


def dump_answer(answer: Answer) -> str:
    if isinstance(answer, Failure):
        return _json({"status": answer.status, "reason": answer.reason, "detail": answer.detail})
    # Named tuples are arrays.
    return _json((
        answer.record_count, answer.assembly_count, answer.resource_updated_on,
        answer.hydrated, answer.dehydrated, answer.available_files, answer.messages, answer.errors,
    ))  # fmt: skip


def load_answer(text: str) -> Answer:
    value = json.loads(text)
    if isinstance(value, dict):
        return Failure(**value) if "reason" in value else _named(value)
    record_count, assembly_count, updated, hydrated, dehydrated, files, messages, errors = value
    return Summary(
        record_count,
        assembly_count,
        updated,
        Package(*hydrated),
        Package(*dehydrated),
        {kind: FileSummary(*one) for kind, one in files.items()},
        tuple(messages),
        tuple(errors),
    )


def _named(value: dict[str, Any]) -> Summary:
    """As it was kept before 2026-11-26: fields by their names, those at their default left out."""
    return Summary(
        value["record_count"],
        value.get("assembly_count"),
        value.get("resource_updated_on"),
        Package(**value.get("hydrated", {})),
        Package(**value.get("dehydrated", {})),
        {kind: FileSummary(*one) for kind, one in value.get("available_files", {}).items()},
        tuple(value.get("messages", ())),
        tuple(value.get("errors", ())),
    )


def load_download(text: str) -> tuple[Package, tuple[str, ...]]:
    """Of an answer only its hydrated package and NCBI's messages, in half the time."""
    value = json.loads(text)
    if isinstance(value, dict):
        answer = load_answer(text)
        return (answer.hydrated, answer.messages) if isinstance(answer, Summary) else (Package(), ())
    _, _, _, hydrated, _, _, messages, _ = value
    return Package(*hydrated), tuple(messages)


def load_attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(map(Attempt._make, json.loads(text)))


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job, as the store knows it."""

    run: int
    run_id: str
    started_at: str
    today: date
    base_url: str
    job_hash: str
    generation: int
    owner: str
    state: str
    publication: str | None = None


UNTOLD = "untold"
"""In place of the publication of a run that is published, until whoever is to know of it has been told."""

_SIZES = (100, 10, 1)
"""Answers kept by one statement: SQLite may admit no more than 999 values, and each statement keeps its last ones."""
_ANSWERS = "SELECT request, answer FROM answers WHERE run = ? AND request IN (SELECT value FROM json_each(?))"

_RUN = ", ".join(field.name for field in fields(Run))


class Store(Database):
    """`state.sqlite3` of an output directory."""

    def __init__(self, path: Path) -> None:
        self._claim: Run | None = None
        super().__init__(path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and only while the run is still this process's."""
        with super().transaction():
            self.check_claim()
            yield

    def check_claim(self) -> None:
        """Locked where another process has taken this one's run over."""
        run = self._claim
        if run is not None and not self.query(
            "SELECT 1 FROM runs WHERE run = ? AND owner = ? AND state IN ('open', 'publishing')", run.run, run.owner
        ):
            raise Locked(f"{self.path.parent}: another process has taken over run {run.run_id}; this one stops")

    # Runs: what changes them stands inside a transaction of the caller.

    def begin_run(
        self, run_id: str, *, started_at: str, today: date, base_url: str, job_hash: str, generation: int, owner: str
    ) -> Run:
        values = (run_id, started_at, today.isoformat(), base_url, job_hash, generation, owner)
        self.query(
            "INSERT INTO runs (run_id, started_at, today, base_url, job_hash, generation, owner, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'open')",
            *values,
        )
        return self._claimed()

    def take_over(self, run: Run, *, owner: str, job_hash: str, generation: int) -> Run:
        """Go on with an open run, whoever had it."""
        values = (owner, job_hash, generation, run.run)
        self.query("UPDATE runs SET owner = ?, job_hash = ?, generation = ? WHERE run = ?", *values)
        return self._claimed()

    def _claimed(self) -> Run:
        self.query(f"PRAGMA user_version = {SCHEMA_VERSION}")  # from here on answers are written as this version does
        self._claim = self.last_run("open")
        assert self._claim is not None
        return self._claim

    def last_run(self, state: str) -> Run | None:
        """The latest run in a state: at most one is open or publishing."""
        return next(iter(self.runs(state, limit=1)), None)

    def newest(self) -> int:
        """The number of the run that was begun last, whatever became of it; 0 before the first."""
        return int(self.query("SELECT coalesce(max(run), 0) FROM runs")[0][0])

    def runs(self, state: str, *, limit: int) -> list[Run]:
        """The runs in a state, latest first."""
        rows = self.query(f"SELECT {_RUN} FROM runs WHERE state = ? ORDER BY run DESC LIMIT ?", state, limit)
        runs = (dict(zip(Run.__slots__, row, strict=True)) for row in rows)
        return [Run(**{**run, "today": date.fromisoformat(run["today"])}) for run in runs]

    def move(self, run: Run, old: str, new: str, publication: str | None = None) -> bool:
        """Bring a run from one state into another; False where it is not in the old one any more."""
        values = (new, publication, run.run, old)
        return self.write("UPDATE runs SET state = ?, publication = ? WHERE run = ? AND state = ?", [values]) == 1

    def mark_told(self) -> None:
        """Whoever is to know of the published runs has been told, as far as that could be done."""
        self.write("UPDATE runs SET publication = NULL WHERE state = 'published' AND publication = ?", [(UNTOLD,)])

    # Answers

    def drop_answers(self, run: Run) -> None:
        """Forget what a closed run was told; inside a transaction of the caller."""
        self.query("DELETE FROM answers WHERE run = ?", run.run)

    def keep_answers(self, run: Run, records: Sequence[Record]) -> None:
        """Commit answers; one of round 2 takes the place of the first."""
        first = 0
        with self.transaction():
            # Many by one statement: between statements the interpreter's lock would change hands each time.
            for size in _SIZES:
                marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * size)
                while first + size <= len(records):
                    values = [value for record in records[first : first + size] for value in (run.run, *record)]
                    self.query(f"INSERT OR REPLACE INTO answers VALUES {marks}", *values)
                    first += size

    def unanswered(self, run: Run, keys: list[str]) -> set[str]:
        """Those of `keys` that still must be asked."""
        marks = ", ".join("?" * len(keys))
        rows = self.query(
            f"SELECT request FROM answers WHERE run = ? AND status != 'skipped' AND request IN ({marks})",
            run.run,
            *keys,
        )
        return set(keys) - {request for (request,) in rows}

    def answer(self, run: Run, key: str) -> tuple[int, Reply] | None:
        """The round and the reply of a request, or None while there is none."""
        rows = self.query("SELECT round, answer, attempts FROM answers WHERE run = ? AND request = ?", run.run, key)
        if not rows:
            return None
        round_, answer, attempts = rows[0]
        return round_, Reply(load_answer(answer), load_attempts(attempts))

    def answers(self, run: Run, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers of many requests at once, of those that have one."""
        return {request: load_answer(answer) for request, answer in self.query(_ANSWERS, run.run, json.dumps([*keys]))}

    def replies(self, run: Run, keys: Iterable[str]) -> dict[str, Reply]:
        """The same with their attempts."""
        rows = self.query(_ANSWERS.replace("answer", "answer, attempts", 1), run.run, json.dumps([*keys]))
        return {request: Reply(load_answer(answer), load_attempts(attempts)) for request, answer, attempts in rows}

    def count_answers(self, run: Run) -> int:
        return int(self.query("SELECT count(*) FROM answers WHERE run = ? AND status != 'skipped'", run.run)[0][0])

    def count_http_statuses(self, run: Run) -> dict[str, int]:
        """How many sends of a run ended in each HTTP status; `none` where no answer came."""
        rows = self.query(
            "SELECT coalesce(json_extract(value, '$[3]'), 'none') AS code, count(*) FROM answers, json_each(attempts)"
            " WHERE run = ? GROUP BY code ORDER BY code",
            run.run,
        )
        return {str(code): count for code, count in rows}
