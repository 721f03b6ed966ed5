"""One SQLite file: its tables, its transactions, and what its errors mean to a user.

A rollback journal with full sync, not WAL: homes of clusters are network file systems.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from batchsum.errors import OutputError

_SCHEMA_VERSION = 1
_APPLICATION_ID = 0x62737570
"""Stands in the header of the file, as schema.sql writes it: nobody else's database is ever written to."""
_BUSY = 60
"""Seconds for which somebody else may hold the file: `batchsum history` while a night runs, or the reverse."""

_SCHEMA = Path(__file__).with_name("schema.sql")
_NAMED = Path(__file__).with_name("statements.sql").read_text("utf-8").split("-- name: ")[1:]
STATEMENTS = {name: sql for name, _, sql in (one.partition("\n") for one in _NAMED)}
"""The longer statements by their names."""


class Database:
    """A file with these tables. Safe to use from several threads; closes as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()  # a transaction holds it, and its statements take it again
        self._opened_by = threading.get_ident()
        self._is_abandoned = False
        """Whether the thread that opened the file goes on alone."""
        with suppress(OSError):  # what is wrong with the place, SQLite says below
            # Of its own accord SQLite makes files that only their owner can write, whatever the umask.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        try:
            # No isolation level: the module would begin and end transactions by itself.
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise unusable(path, error) from None

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = TRUNCATE")  # cheaper than a new journal for each commit
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA cache_size = -65536")  # KiB: the indexes of a large job fit
        if self._is_empty():
            with Database.transaction(self):
                if self._is_empty():  # nobody else was first
                    for statement in _SCHEMA.read_text("utf-8").split(";\n"):  # executescript() would commit first
                        self._connection.execute(statement)
        if self._pragma("application_id") != _APPLICATION_ID:
            raise OutputError(f"{self.path} is somebody else's database; move it away, or name another directory")
        if self._pragma("user_version") > _SCHEMA_VERSION:
            raise OutputError(f"{self.path} was written by a newer batchsum; update this one")

    def _is_empty(self) -> bool:
        return not self.query("SELECT 1 FROM sqlite_master LIMIT 1")

    def _pragma(self, name: str) -> int:
        return int(self.query(f"PRAGMA {name}")[0][0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on the disk when the block is left. Inside another one it is a part of that."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            # IMMEDIATE: a transaction that begins to write later cannot wait for somebody else's, and fails.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
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


def _bound(sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | dict[str, Any]:
    """The values as Python takes them: to its module `?1` is a parameter called 1."""
    return {str(number): value for number, value in enumerate(values, start=1)} if "?1" in sql else values


def unusable(path: Path, error: sqlite3.Error) -> OutputError:
    """What an error of SQLite means to whoever owns the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # an extended code has the plain one in its low byte
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return OutputError(f"{path} is damaged ({error}); move it away to begin anew, without the nights before")
    if code == sqlite3.SQLITE_BUSY:
        return OutputError(f"{path}: another process kept it locked for more than {_BUSY} s")
    return OutputError(f"{path}: {error}")
