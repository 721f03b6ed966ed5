"""One run of a job at a time: a kernel lock on the output directory, which goes with its process."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from batchsum.errors import Locked

_NAME = ".lock"


@contextmanager
def locked(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of `directory`; Locked says who has it, or waits for as long as it takes."""
    holder = directory / f"{_NAME}.json"
    lock = FileLock(directory / _NAME, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise Locked(f"{directory}: another run of this job holds the lock{_describe(holder)}") from None
    try:
        holder.write_text(json.dumps(_self()), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _self() -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _describe(holder: Path) -> str:
    try:
        value = json.loads(holder.read_text(encoding="utf-8"))
        return f" (host {value['host']}, process {value['pid']}, since {value['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
