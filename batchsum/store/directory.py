"""The output directory of a job: the state in it, who has it, and what its errors mean to whoever owns it.

One run of a job at a time: a kernel lock on the directory, which goes with its process. Some network mounts have no
locks, and there this one only warns. What keeps tables unmixed even so is the claim that each process has on its run
(see `store`).
"""

import errno
import fcntl
import json
import logging
import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from batchsum.errors import Locked, OutputError, UsageError
from batchsum.store.database import unusable
from batchsum.store.store import Store
from batchsum.text import utc_text

log = logging.getLogger("batchsum")

STATE = "state.sqlite3"
_LOCK = ".lock"
_POLL = 0.2
"""Seconds between two looks whether the lock is free."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What a file system says that has no locks."""


@contextmanager
def held(directory: Path, *, wait: bool = False) -> Iterator[Store]:
    """The store of `directory`, made where there is none, while nobody else runs the job. Raises as `locked`."""
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory, wait=wait), Store(directory / STATE) as store:
        yield store


def state_of(directory: Path) -> Path:
    """The state file of an output directory that has one."""
    path = directory / STATE
    if not path.exists() or not path.stat().st_size:  # to open an empty one would make it look like a new job's
        if (directory / "run.json").is_file():
            raise UsageError(f"{path} is missing, and with it the nights that were; the next run begins from the table")
        raise UsageError(f"{directory}: no night was run here; name the output directory of a job (DIR of run --out)")
    return path


@contextmanager
def output_errors(directory: Path) -> Iterator[None]:
    """Errors of the disk and the store as OutputError; what only a bug can cause stays as it is."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.NotSupportedError):
        raise
    except sqlite3.Error as error:
        raise unusable(directory / STATE, error) from error
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror or error}") from error


@contextmanager
def locked(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of `directory`; Locked says who has it, or waits for as long as it takes."""
    # It is not truncated: whoever holds the lock has written there who it is.
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _acquire(descriptor, directory):
            holder = f"{directory}: another run of this job is under way{_describe(descriptor)}"
            if not wait:
                raise Locked(holder)
            log.info("waiting: %s", holder)
            while not _acquire(descriptor, directory):
                time.sleep(_POLL)
        # Who holds it is a courtesy: a disk that is full will say so where it matters.
        with suppress(OSError):
            since = utc_text(datetime.now(UTC))
            _write(descriptor, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since}) + "\n")
        yield
        with suppress(OSError):
            _write(descriptor, "")
    finally:
        os.close(descriptor)  # frees the lock; were the file removed, two runs could lock an old and a new one


def _acquire(descriptor: int, directory: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("%s: this file system has no locks; see to it that a job runs once at a time", directory)
    return True


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _describe(descriptor: int) -> str:
    """Who wrote itself into the file, unless it cannot be the holder: a crash leaves the words behind."""
    try:
        value = json.loads(os.pread(descriptor, 4096, 0))
        host, pid, since = str(value["host"]), int(value["pid"]), str(value["since"])
        if host == socket.gethostname():
            with suppress(PermissionError):  # it is there, and somebody else's
                os.kill(pid, 0)  # signal 0 is never sent: it only asks whether the process is there
    except (OSError, OverflowError, ValueError, KeyError, TypeError):
        return ""
    return f" (host {host}, process {pid}, since {since})"
