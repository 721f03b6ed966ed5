"""Everything that can stop a command, and the exit code of each branch.

    BatchsumError
    ├── UsageError          2   the command line cannot be obeyed
    │   └── JobFileError    2   the job file has problems; nothing was sent
    ├── NothingUsable       4   no row is ok, empty or rejected; last night's files were left alone
    ├── Refused             5   the server refused us: key, TLS, redirect
    ├── OutputError         6   output or state cannot be written
    ├── Locked             75   another run of this job holds the lock
    ├── NotDue              0   the last run is not long enough ago: nothing was done, nothing is wrong
    └── Interrupted  130, 143   SIGINT, SIGTERM; the same command resumes

A query that NCBI rejects or does not answer is none of these: it is a Failure, a value of the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


class BatchsumError(Exception):
    """Said to the user in one line, without a traceback."""

    exit_code = 1


class UsageError(BatchsumError):
    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a job file: where it stands, what it is, and what to write instead."""

    file: str
    line: int
    """0 where it stands at no line of the file."""
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class JobFileError(UsageError):
    """Every problem of a job file at once, in the order of the file, and then what is odd in it."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        self.problems, self.warnings = tuple(problems), tuple(warnings)
        self.told = (*problems, *(replace(one, message=f"warning: {one.message}") for one in warnings))
        super().__init__("\n".join(map(str, self.told)))


class NothingUsable(BatchsumError):
    exit_code = 4
    row_count = 0
    """The rows that have no answer,"""
    doubtful: Sequence[Any] = ()
    """and the first of them, as `store.failures` has them."""


class Refused(BatchsumError):
    exit_code = 5


class OutputError(BatchsumError):
    exit_code = 6


class Locked(BatchsumError):
    exit_code = 75


class NotDue(BatchsumError):
    exit_code = 0


class Interrupted(BatchsumError):
    """Stopped by a signal; the exit code is 128 plus its number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("interrupted; the same command resumes")
        self.exit_code = 128 + signal_number
