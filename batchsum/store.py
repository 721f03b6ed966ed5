"""SQLite: the answers as they come, and the nights that were. Resume and history are the same tables.

A rollback journal with full sync, not WAL: homes of clusters are network file systems.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

from batchsum.errors import OutputError
from batchsum.model import Failure, Reply
from batchsum.record import dump_answer, dump_attempts, load_answer, load_attempts

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    started_at TEXT NOT NULL,
    today TEXT NOT NULL,
    base_url TEXT NOT NULL,
    job_hash TEXT NOT NULL,
    generation INTEGER NOT NULL,  -- of the last manifest when this run began
    state TEXT NOT NULL CHECK (state IN ('open', 'publishing', 'published', 'closed')),
    manifest TEXT  -- from 'publishing' on: the files to put in place, then the manifest itself
);
CREATE TABLE answers (
    run INTEGER NOT NULL,
    request TEXT NOT NULL,  -- path and query below the base URL
    round INTEGER NOT NULL,  -- 1, or 2 where it was asked again at the end of the run
    status TEXT NOT NULL,  -- answered, rejected, failed; skipped where it was sent, but into an outage
    answer TEXT NOT NULL,
    attempts TEXT NOT NULL,
    PRIMARY KEY (run, request)
) WITHOUT ROWID;
CREATE TABLE rows (
    run INTEGER NOT NULL,
    position INTEGER NOT NULL,
    taxon TEXT NOT NULL,
    label TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    filters TEXT NOT NULL,  -- as sent; two nights compare only where these are the same
    status TEXT NOT NULL,
    record_count INTEGER,
    resource_updated_on TEXT,
    previous_record_count INTEGER,
    error TEXT NOT NULL,
    requests TEXT NOT NULL,  -- the keys of its answers, one a line
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
CREATE INDEX rows_of_a_query ON rows (taxon, filter_set, run);
CREATE TABLE believed (  -- the last believed night of each query; outlives the rows of that night
    taxon TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    run INTEGER NOT NULL,
    night TEXT NOT NULL,
    filters TEXT NOT NULL,
    record_count INTEGER NOT NULL,
    resource_updated_on TEXT,
    PRIMARY KEY (taxon, filter_set)
) WITHOUT ROWID;
CREATE TABLE accepted (  -- levels that a user told us to believe
    taxon TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    run INTEGER NOT NULL,
    night TEXT NOT NULL,
    previous_record_count INTEGER,
    record_count INTEGER
);
"""


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
    state: str
    manifest: str | None = None


class Store:
    """`state.sqlite3` of an output directory. Safe to use from several threads; closes as a context manager."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.execute("PRAGMA journal_mode = TRUNCATE")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            raise OutputError(f"{path}: {error}; if it is damaged, move it away to start anew") from None

    def _prepare(self, path: Path) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise OutputError(f"{path} was written by a newer batchsum; update this one")
        if version == 0:
            with self.transaction():
                for statement in _SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def walk(self, sql: str, *values: Any, size: int = 1000) -> Iterator[tuple[Any, ...]]:
        """The rows of one statement, fetched in pieces; the database must not be written to meanwhile."""
        cursor = self._connection.cursor()
        with self._lock:
            cursor.execute(sql, values)
        while True:
            with self._lock:
                rows = cursor.fetchmany(size)
            if not rows:
                return
            yield from rows

    def write(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """One statement for many rows; inside `transaction()` it is part of that."""
        with self._lock:
            self._connection.executemany(sql, rows)

    # Runs

    def begin_run(
        self, run_id: str, *, started_at: str, today: date, base_url: str, job_hash: str, generation: int
    ) -> Run:
        values = (run_id, started_at, today.isoformat(), base_url, job_hash, generation)
        self.query(
            "INSERT INTO runs (run_id, started_at, today, base_url, job_hash, generation, state)"
            " VALUES (?, ?, ?, ?, ?, ?, 'open')",
            *values,
        )
        run = self.last_run("open")
        assert run is not None
        return run

    def last_run(self, state: str) -> Run | None:
        """The latest run in a state: at most one is open or publishing."""
        return next(iter(self.runs(state, limit=1)), None)

    def runs(self, state: str, *, limit: int) -> list[Run]:
        """The runs in a state, latest first."""
        rows = self.query(
            "SELECT run, run_id, started_at, today, base_url, job_hash, generation, state, manifest"
            " FROM runs WHERE state = ? ORDER BY run DESC LIMIT ?",
            state,
            limit,
        )
        runs = (dict(zip(Run.__slots__, row, strict=True)) for row in rows)
        return [Run(**{**run, "today": date.fromisoformat(run["today"])}) for run in runs]

    def set_state(self, run: Run, state: str, manifest: str | None = None) -> None:
        self.query("UPDATE runs SET state = ?, manifest = ? WHERE run = ?", state, manifest, run.run)

    def drop_answers(self, run: Run) -> None:
        """Forget what a closed run was told."""
        self.query("DELETE FROM answers WHERE run = ?", run.run)

    # Answers

    def keep_answers(self, run: Run, replies: Iterable[tuple[str, int, Reply]]) -> None:
        """Commit answers by their request's key; an answer of round 2 takes the place of the first."""
        rows = [
            (run.run, key, round_, _status(reply), dump_answer(reply.answer), dump_attempts(reply.attempts))
            for key, round_, reply in replies
        ]
        with self.transaction():
            self.write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", rows)

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


def _status(reply: Reply) -> str:
    return reply.answer.status if isinstance(reply.answer, Failure) else "answered"
