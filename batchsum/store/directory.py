"""The output directory of a job: the state in it, who has it, and what its errors mean to whoever owns it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchsum.errors import OutputError, UsageError
from batchsum.lock import locked
from batchsum.store.database import unusable
from batchsum.store.store import Store

STATE = "state.sqlite3"


@contextmanager
def held(directory: Path, *, wait: bool = False) -> Iterator[Store]:
    """The store of `directory`, made where there is none, while nobody else runs the job. Raises as `locked`."""
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory, wait=wait), Store(directory / STATE) as store:
        yield store


def state_of(directory: Path) -> Path:
    """The state file of an output directory that has one."""
    path = directory / STATE
    if not path.is_file():
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
