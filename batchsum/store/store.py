"""state.sqlite3: the runs of a job and the answers as they come. Resume and history are the same tables.

A process has the run that it began or took over. Whoever takes a run over, or closes it, is obeyed: the next
transaction of the process that had it before raises Locked.
"""

import json
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self, TypeVar

from batchsum.errors import Locked
from batchsum.model.queries import Answer, Attempt, Failure, FileSummary, Package, Reply, Summary
from batchsum.store.database import STATEMENTS, connect
from batchsum.text import visible


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job, as the store knows it."""

    run: int
    """Its number: a later run has a higher one."""
    run_id: str
    started_at: str
    """UTC, ISO 8601."""
    today: date
    """The night: relative dates count back from it."""
    base_url: str
    job_hash: str
    """What the job asked and how it was judged: `Plan.job_hash()`."""
    generation: int
    """Of the manifest that this run will replace."""
    owner: str
    """Whoever has the run: the store of one process, by a random name."""
    state: str
    """`open`, `publishing`, `published`, `replaced` by another run of the same night, or without a table: `failed`,
    or `closed` where it was dropped."""
    publication: str | None = None
    """While publishing: what is to be put in place, as JSON. Then UNTOLD until people have been told."""
    failure: str = ""
    """In a sentence, why it left no table."""


T = TypeVar("T")

UNTOLD = "untold"
"""In place of the publication of a run that is published, until whoever is to know of it has been told."""

_RUN = ", ".join(field.name for field in fields(Run))


class Store:
    """`state.sqlite3` of an output directory. Safe to use from several threads; closes as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = connect(path)
        self._lock = threading.RLock()  # a transaction holds it, and its statements take it again
        self._opened_by = threading.get_ident()
        self._is_abandoned = False
        """Whether the thread that opened the file goes on alone."""
        self._claim: Run | None = None
        # Not the process id: another host may have the same, and share the directory.
        self._owner = secrets.token_hex(4)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on the disk when the block is left, and only while the run is still this process's.

        Inside another one it is a part of that.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            # IMMEDIATE: a transaction that begins to write later cannot wait for somebody else's, and fails.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self.check_claim()  # inside: from here on nobody else can take the run over
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.rollback()  # nothing, where SQLite has ended the transaction itself
                raise

    def abandon(self) -> None:
        """End what other threads than the one that opened the file do here, at their next statement.

        Nothing of their transactions stays.
        """
        self._is_abandoned = True

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with self._lock:
            self._go_on()
            return self._connection.execute(sql, _bound(sql, values)).fetchall()

    def walk(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of one statement, fetched in pieces; the database must not be written to meanwhile."""
        with self._lock:
            cursor = self._connection.execute(sql, _bound(sql, values))
        while True:
            with self._lock:
                self._go_on()
                rows = cursor.fetchmany(1000)
            if not rows:
                return
            yield from rows

    def write(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """One statement for many rows, inside `transaction()`; how many rows it changed."""
        with self._lock:
            self._go_on()
            return self._connection.executemany(sql, (_bound(sql, row) for row in rows)).rowcount

    def _go_on(self) -> None:
        if self._is_abandoned and threading.get_ident() != self._opened_by:
            raise sqlite3.OperationalError("abandoned")

    def check_claim(self) -> None:
        """Locked where another process has taken this one's run over."""
        run = self._claim
        if run is not None and not self.query(
            "SELECT 1 FROM runs WHERE run = ? AND owner = ? AND state IN ('open', 'publishing')", run.run, run.owner
        ):
            raise Locked(f"{self.path.parent}: another process has taken over run {run.run_id}; this one stops")

    # Runs: what changes them stands inside a transaction of the caller.

    def begin_run(
        self, run_id: str, *, started_at: str, today: date, base_url: str, job_hash: str, generation: int
    ) -> Run:
        self.query(
            "INSERT INTO runs (run_id, started_at, today, base_url, job_hash, generation, owner, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'open')",
            run_id, started_at, today.isoformat(), base_url, job_hash, generation, self._owner,
        )  # fmt: skip
        return self._claimed()

    def take_over(self, run: Run, *, job_hash: str, generation: int) -> Run:
        """Go on with an open run, whoever had it."""
        values = (self._owner, job_hash, generation, run.run)
        self.query("UPDATE runs SET owner = ?, job_hash = ?, generation = ?, failure = '' WHERE run = ?", *values)
        return self._claimed()

    def reopen(self, run: Run) -> Run:
        """Have a published run, in order to publish it again in place of the manifest of its generation."""
        values = (self._owner, run.generation, run.run)
        self.query("UPDATE runs SET owner = ?, generation = ?, state = 'open' WHERE run = ?", *values)
        return self._claimed()

    def _claimed(self) -> Run:
        self._claim = self.last_run("open")
        assert self._claim is not None
        return self._claim

    def release(self) -> None:
        """Have no run any more: what follows is not about the one that was begun."""
        self._claim = None

    def last_run(self, state: str) -> Run | None:
        """The run in a state that was begun last: at most one is open or publishing."""
        return next(iter(self.runs_where("state = ? ORDER BY run DESC LIMIT 1", state)), None)

    def newest(self) -> int:
        """The number of the run that was begun last, whatever became of it; 0 before the first."""
        return int(self.query("SELECT coalesce(max(run), 0) FROM runs")[0][0])

    def runs(self, state: str, *, limit: int) -> list[Run]:
        """The runs in a state, that of the latest night first."""
        return self.runs_where("state = ? ORDER BY today DESC, run DESC LIMIT ?", state, limit)

    def runs_where(self, condition: str, *values: object) -> list[Run]:
        """The runs that a condition finds."""
        rows = self.query(f"SELECT {_RUN} FROM runs WHERE {condition}", *values)
        runs = (dict(zip(Run.__slots__, row, strict=True)) for row in rows)
        return [Run(**{**run, "today": date.fromisoformat(run["today"])}) for run in runs]

    def move(self, run: Run, old: str, new: str, publication: str | None = None) -> bool:
        """Bring a run from one state into another; False where it is not in the old one any more."""
        values = (new, publication, run.run, old)
        # write() and not query(), since it tells how many rows were changed.
        return self.write("UPDATE runs SET state = ?, publication = ? WHERE run = ? AND state = ?", [values]) == 1

    def note_failure(self, run: Run, failure: str) -> None:
        """Note in a sentence why a run left no table; empty where it goes on after all."""
        self.query("UPDATE runs SET failure = ? WHERE run = ?", visible(failure), run.run)

    def mark_told(self) -> None:
        """Whoever is to know of the published runs has been told, as far as that could be done."""
        self.query("UPDATE runs SET publication = NULL WHERE state = 'published' AND publication = ?", UNTOLD)

    # Answers. An answer that was skipped into an outage counts as none: it is asked for again.

    def keep_answers(self, run: Run, replies: Iterable[tuple[str, int, Reply]]) -> None:
        """Commit replies, each with the key of its request and its round; one of round 2 replaces the first."""
        rows = [(run.run, key, round_, *dump_reply(reply)) for key, round_, reply in replies]
        with self.transaction():
            # Many in one (some SQLites take 999 values): between two, this thread and the asking one change places.
            for group in in_groups(rows, 100):
                marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(group))
                self.query(STATEMENTS["keep answers"].replace("ROWS", marks), *chain.from_iterable(group))

    def drop_answers(self, run: Run) -> None:
        """Forget what a closed run was told, and its verdicts; inside a transaction of the caller."""
        for table in ("answers", "rows", "holdings", "held"):
            self.query(f"DELETE FROM {table} WHERE run = ?", run.run)

    def copy_believed_answers(self, run: Run, to: int) -> int:
        """Copy the answers of a published run to the run `to`, but for those that its doubtful rows need; how many
        those are. Inside a transaction of the caller."""
        columns = "request, round, status, answer, attempts, earlier"
        self.query(f"INSERT INTO answers SELECT ?, {columns} FROM answers WHERE run = ?", to, run.run)
        doubtful = "status IN ('suspect', 'failed', 'skipped')"
        again = self.query(f"SELECT requests FROM rows WHERE run = ? AND {doubtful}", run.run)
        keys = {key for (requests,) in again for key in requests.split("\n")}  # a window has two requests
        self.write("DELETE FROM answers WHERE run = ? AND request = ?", ((to, key) for key in keys))
        return len(keys)

    def answered(self, run: Run) -> set[str]:
        """The keys of the requests that have an answer."""
        rows = self.walk("SELECT request FROM answers WHERE run = ? AND status != 'skipped'", run.run)
        return {request for (request,) in rows}

    def count_answers(self, run: Run) -> int:
        return int(self.query("SELECT count(*) FROM answers WHERE run = ? AND status != 'skipped'", run.run)[0][0])

    def answer(self, run: Run, key: str) -> tuple[int, Reply] | None:
        """The round and the reply of a request, or None while there is none."""
        rows = self.query("SELECT round, answer, attempts FROM answers WHERE run = ? AND request = ?", run.run, key)
        for round_, answer, attempts in rows:
            return round_, Reply(load_answer(answer), tuple(map(Attempt._make, json.loads(attempts))))
        return None

    def answers(self, run: Run, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers of many requests, of those that have one."""
        return {request: every[-1] for request, every in self.every_answer(run, keys).items()}

    def every_answer(self, run: Run, keys: Iterable[str]) -> dict[str, list[Answer]]:
        """The answers of many requests, for each that has one all that it was answered, the last one last."""
        rows = self.query(
            "SELECT request, earlier || answer FROM answers"
            " WHERE run = ? AND request IN (SELECT value FROM json_each(?))",
            run.run, json.dumps([*keys]),
        )  # fmt: skip
        return {request: [load_answer(line) for line in lines.split("\n")] for request, lines in rows}

    def has_heard(self, run: Run) -> bool:
        """Whether NCBI said anything since `run` began: what a retry took over was said before."""
        rows = self.query(
            "SELECT 1 FROM answers WHERE run = ? AND status IN ('answered', 'rejected')"
            " AND substr(json_extract(attempts, '$[0][0]'), 1, 19) >= substr(?, 1, 19) LIMIT 1",
            run.run, run.started_at,
        )  # fmt: skip
        return bool(rows)

    def has_only_zeros(self, run: Run) -> bool:
        """Whether there are answers, and each of them is a count of zero."""
        rows = self.query(
            "SELECT max(json_extract(answer, '$[0]')) FROM answers WHERE run = ? AND status = 'answered'", run.run
        )
        return rows == [(0,)]  # without any answer the highest count is None

    def skip_answers(self, run: Run, failure: Failure) -> None:
        """What was answered counts as skipped from here on, for this reason."""
        status, answer, _ = dump_reply(Reply(failure))
        with self.transaction():
            self.query(
                "UPDATE answers SET status = ?, answer = ?, earlier = '' WHERE run = ? AND status = 'answered'",
                status, answer, run.run,
            )  # fmt: skip

    def count_dates(self, run: Run) -> dict[str, int]:
        """The data dates of the answers of a run, as NCBI wrote them, each with how many answers have it."""
        found = self.query(
            "SELECT json_extract(answer, '$[2]') AS date, count(*) FROM answers"
            " WHERE run = ? AND status = 'answered' AND date IS NOT NULL GROUP BY date",
            run.run,
        )
        return dict(found)

    def count_later_dates(self, run: Run) -> dict[str, int]:
        """The same of all that was answered to requests that were asked again, but for their first answers."""
        every = "json_each('[' || replace(earlier, char(10), ',') || answer || ']')"  # each earlier one ends its line
        found = self.query(
            f"SELECT json_extract(value, '$[2]') AS date, count(*) FROM answers, {every}"
            " WHERE run = ? AND earlier != '' AND key > 0 AND date IS NOT NULL GROUP BY date",
            run.run,
        )
        return dict(found)

    def count_http_statuses(self, run: Run) -> dict[str, int]:
        """How many sends of a run ended in each HTTP status; `none` where no answer came."""
        rows = self.query(
            "SELECT coalesce(json_extract(value, '$[3]'), 'none') AS code, count(*) FROM answers, json_each(attempts)"
            " WHERE run = ? GROUP BY code ORDER BY code",
            run.run,
        )
        return {str(code): count for code, count in rows}


def _bound(sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | dict[str, Any]:
    """The values as Python takes them: to its module `?1` is a parameter called 1."""
    return {str(number): value for number, value in enumerate(values, start=1)} if "?1" in sql else values


def in_groups(rows: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """The same in pieces: what one question to the store is asked of at once."""
    remaining = iter(rows)
    while group := list(islice(remaining, size)):
        yield group


# A reply as text and back: the fields of a Summary by their place, those of a Failure by their names.

# An answer was parsed, so that nothing in it can hold itself.
_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
# A million answers are read three times; json.loads() would look for blanks around each, of which there are none.
_value_of = json.JSONDecoder().raw_decode


def dump_reply(reply: Reply) -> tuple[str, str, str]:
    """The columns `status`, `answer` and `attempts`."""
    answer = reply.answer
    if isinstance(answer, Failure):
        status, value = answer.status, {"status": answer.status, "reason": answer.reason, "detail": answer.detail}
        return status, _json(value), _json(reply.attempts)
    return "answered", _json(answer[:-1]), _json(reply.attempts)  # the last is what windows alone have


def load_answer(text: str) -> Answer:
    """An answer from the column `answer`."""
    value, _ = _value_of(text)
    if isinstance(value, dict):
        return Failure(**value)
    record_count, assembly_count, updated, hydrated, dehydrated, files, messages, errors = value
    kinds = {kind: FileSummary(*one) for kind, one in files.items()}
    packages = Package(*hydrated), Package(*dehydrated)
    return Summary(record_count, assembly_count, updated, *packages, kinds, tuple(messages), tuple(errors))
