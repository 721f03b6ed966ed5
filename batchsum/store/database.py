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
"""Stands in the file's header: nobody else's database is ever written to."""
_BUSY = 60
"""Seconds for which somebody else may hold the file: `batchsum history` while a night runs, or the reverse."""

_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    started_at TEXT NOT NULL,
    today TEXT NOT NULL,
    base_url TEXT NOT NULL,
    job_hash TEXT NOT NULL,
    generation INTEGER NOT NULL,  -- of the manifest that this run will replace
    owner TEXT NOT NULL,  -- the process that has the run: whoever resumes it takes it over
    state TEXT NOT NULL CHECK (state IN ('open', 'publishing', 'published', 'replaced', 'failed', 'closed')),
    publication TEXT,  -- while publishing: what is to be put in place; then UNTOLD for a while
    failure TEXT NOT NULL DEFAULT ''  -- in a sentence, why it left no table
);
CREATE TABLE answers (
    run INTEGER NOT NULL,
    request TEXT NOT NULL,  -- path and query below the base URL
    round INTEGER NOT NULL,  -- 1, or 2 where it was asked again at the end of the run
    status TEXT NOT NULL,  -- answered, rejected, failed; skipped where an outage had the last word
    answer TEXT NOT NULL,
    attempts TEXT NOT NULL,
    earlier TEXT NOT NULL DEFAULT '',  -- the answers that this one replaced, the oldest first, each ending its line
    PRIMARY KEY (run, request)
) WITHOUT ROWID;
CREATE TABLE rows (
    run INTEGER NOT NULL,
    night TEXT NOT NULL,
    position INTEGER NOT NULL,
    taxon TEXT NOT NULL,
    label TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    filters TEXT NOT NULL,  -- as sent
    status TEXT NOT NULL,
    record_count INTEGER,
    resource_updated_on TEXT,
    previous_record_count INTEGER,
    error TEXT NOT NULL,
    requests TEXT NOT NULL,  -- the keys of its answers, one a line
    change TEXT NOT NULL,  -- the word of changes.csv
    query INTEGER NOT NULL,  -- the same on all nights on which the same is asked
    asks TEXT NOT NULL,  -- the filters in the job's words: a relative date is not resolved
    series TEXT NOT NULL,  -- of a window: what its whole series asks
    tax_id INTEGER,
    scientific_name TEXT NOT NULL,
    is_accepted INTEGER NOT NULL,
    held_in TEXT NOT NULL,  -- the file that holds it, as the job names it
    held_record_count INTEGER,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
CREATE INDEX rows_of_a_query ON rows (query, night);
CREATE TABLE queries (  -- the number of each query, by the spellings of its taxon and what it asks
    taxon TEXT NOT NULL,
    asks TEXT NOT NULL,
    query INTEGER NOT NULL,
    tax_id INTEGER,
    PRIMARY KEY (taxon, asks)
) WITHOUT ROWID;
CREATE INDEX queries_of_a_taxon ON queries (tax_id, asks);
CREATE TABLE believed (  -- the last believed night of each query of which no row is kept any more
    query INTEGER PRIMARY KEY,
    night TEXT NOT NULL,
    filters TEXT NOT NULL,
    record_count INTEGER NOT NULL,
    resource_updated_on TEXT
);
CREATE TABLE holdings (  -- the files that a run counted in, before it asked
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,  -- its place in the job
    facts TEXT NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE held (  -- what such a file holds of a row
    run INTEGER NOT NULL,
    position INTEGER NOT NULL,
    file TEXT NOT NULL,  -- as the job names it
    record_count INTEGER,  -- NULL: nothing could be counted in the file
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
CREATE TABLE taxa (  -- what each taxon stood for in NCBI's taxonomy, from one night on
    taxon TEXT NOT NULL,  -- as the job writes it
    learnt_on TEXT NOT NULL,
    tax_id INTEGER NOT NULL,
    scientific_name TEXT NOT NULL,
    rank TEXT NOT NULL,
    lineage TEXT NOT NULL,  -- the ids of the taxa above it, from the root down
    PRIMARY KEY (taxon, learnt_on)
) WITHOUT ROWID;
CREATE TABLE changed_taxa (  -- the nights on which a count of a taxon changed, or was heard for the first time
    taxon TEXT NOT NULL,
    night TEXT NOT NULL,
    PRIMARY KEY (taxon, night)
) WITHOUT ROWID;
CREATE TABLE nights (  -- the table of each night
    night TEXT PRIMARY KEY,
    rows INTEGER NOT NULL,
    doubtful INTEGER NOT NULL  -- of them those without a count to rely on
) WITHOUT ROWID;
CREATE TABLE data_dates (  -- of which moment NCBI's data were on each night
    night TEXT PRIMARY KEY,
    data_date TEXT  -- as NCBI wrote it; NULL where each row has its own
) WITHOUT ROWID;
CREATE TABLE accepted (  -- levels that a user told us to believe
    query INTEGER NOT NULL,
    night TEXT NOT NULL,
    taxon TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    previous_record_count INTEGER,
    record_count INTEGER,
    accepted_at TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (query, night)
) WITHOUT ROWID;
CREATE TABLE told (  -- what hooks and messages have said of a night, in case that it is replaced
    night TEXT NOT NULL,
    taxon TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    said TEXT NOT NULL,  -- a word of changes.csv, or the status of a row that cannot be relied on; a blank; the count
    PRIMARY KEY (night, taxon, filter_set, said)
) WITHOUT ROWID;
CREATE TABLE job (  -- as one row: the job of the last published run, and the taxa.lock that it had, compressed
    copy BLOB NOT NULL,
    lock BLOB NOT NULL
);
CREATE TABLE outbox (  -- what somebody is to be told, until it is delivered
    note INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    facts TEXT NOT NULL,
    tries INTEGER NOT NULL
);
"""


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
        if self._is_empty():
            with Database.transaction(self):
                if self._is_empty():  # nobody else was first
                    for statement in _SCHEMA.split(";\n"):  # executescript() would commit first
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
            if self._is_inside():
                yield
                return
            # IMMEDIATE: a transaction that begins to write later cannot wait for somebody else's, and fails.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._is_inside():
                        self._connection.execute("ROLLBACK")
                raise

    def _is_inside(self) -> bool:
        return self._connection.in_transaction

    def abandon(self) -> None:
        """End what other threads than the one that opened the file do here, at their next statement.

        Nothing of their transactions stays.
        """
        self._is_abandoned = True

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with self._lock:
            self._go_on()
            return self._connection.execute(sql, values).fetchall()

    def walk(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of one statement, fetched in pieces; the database must not be written to meanwhile."""
        cursor = self._connection.cursor()
        with self._lock:
            cursor.execute(sql, values)
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
            return self._connection.executemany(sql, rows).rowcount

    def _go_on(self) -> None:
        if self._is_abandoned and threading.get_ident() != self._opened_by:
            raise sqlite3.OperationalError("abandoned")


def unusable(path: Path, error: sqlite3.Error) -> OutputError:
    """What an error of SQLite means to whoever owns the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # an extended code has the plain one in its low byte
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return OutputError(f"{path} is damaged ({error}); move it away to begin anew, without the nights before")
    if code == sqlite3.SQLITE_BUSY:
        return OutputError(f"{path}: another process kept it locked for more than {_BUSY} s")
    return OutputError(f"{path}: {error}")
