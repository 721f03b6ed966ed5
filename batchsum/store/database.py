"""One SQLite file: its tables, its longer statements, and what its errors mean to a user.

A rollback journal with full sync, not WAL: homes of clusters are network file systems.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

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


def connect(path: Path) -> sqlite3.Connection:
    """The file at `path`, with its tables, which are made in a new or empty one. OutputError where it is of no use."""
    with suppress(OSError):  # what is wrong with the place, SQLite says below
        # Of its own accord SQLite makes files that only their owner can write, whatever the umask.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    try:
        # No isolation level: the module would begin and end transactions by itself.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = TRUNCATE")  # cheaper than a new journal for each commit
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")  # KiB: the indexes of a large job fit
    if _is_empty(connection):
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):  # nobody else was first
            for statement in _SCHEMA.read_text("utf-8").split(";\n"):  # executescript() would commit first
                connection.execute(statement)
        connection.execute("COMMIT")
    if connection.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
        raise OutputError(f"{path} is somebody else's database; move it away, or name another directory")
    if connection.execute("PRAGMA user_version").fetchone() > (_SCHEMA_VERSION,):
        raise OutputError(f"{path} was written by a newer batchsum; update this one")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


def unusable(path: Path, error: sqlite3.Error) -> OutputError:
    """What an error of SQLite means to whoever owns the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # an extended code has the plain one in its low byte
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return OutputError(f"{path} is damaged ({error}); move it away to begin anew, without the nights before")
    if code == sqlite3.SQLITE_BUSY:
        return OutputError(f"{path}: another process kept it locked for more than {_BUSY} s")
    return OutputError(f"{path}: {error}")
