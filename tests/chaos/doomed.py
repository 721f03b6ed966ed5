"""The program in a process that dies, fails or is stopped at its Nth step towards the disk.

A step is a write, fsync, replace or unlink of a file, or a transaction of the database. `Doom` counts them in
this process; `python -m tests.chaos.doomed` forks one process for each order it reads, a line of JSON, so that
hundreds of runs cost no start of an interpreter each.
"""

import errno
import fcntl
import importlib
import io
import json
import os
import resource
import signal
import socket
import sqlite3
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any

from batchsum.output.report.page import render_page
from tests.builders.sample_nights import sample_night

KINDS = ("kill", "stop", "fail", "full", "count")


class Doom:
    """At step `at`: `kill` is SIGKILL, `stop` SIGTERM, `fail` an error once, `full` an error from there on."""

    def __init__(self, kind: str, at: int, tell: Callable[[str], None]) -> None:
        assert kind in KINDS, kind
        self.kind = kind
        self.at = at
        self.tell = tell
        self.steps = 0
        self._lock = threading.Lock()

    def step(self, name: str, error: Callable[[], Exception] | None = None) -> None:
        """One step is about to be made, or (without `error`) has just been made."""
        if error is None and self.kind in ("fail", "full"):
            return
        with self._lock:
            self.steps += 1
            due = self.steps == self.at or (self.kind == "full" and self.steps >= self.at > 0)
        if not due:
            return
        self.tell(f"{'before' if error else 'after'} {name}")
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.kind == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        elif error is not None and self.kind in ("fail", "full"):
            raise error()


def install(doom: Doom) -> None:
    """Put the steps of this process under the doom."""
    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, _around(doom, name, getattr(os, name)))
    io.open = _opening(doom, io.open)  # type: ignore[assignment]
    sqlite3.connect = _connecting(doom, sqlite3.connect)


def _disk_full() -> Exception:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _database_full() -> Exception:
    return sqlite3.OperationalError("database or disk is full")


def _around(doom: Doom, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def stepping(*args: Any, **named: Any) -> Any:
        doom.step(name, _disk_full)
        result = function(*args, **named)
        doom.step(name)
        return result

    return stepping


def _opening(doom: Doom, really: Callable[..., Any]) -> Callable[..., Any]:
    class File(io.FileIO):
        def write(self, data: Any) -> int:
            doom.step("write", _disk_full)
            written = super().write(data)
            doom.step("write")
            return int(written or 0)

    def opening(file: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
        if mode != "w":
            return really(file, mode, *args, **named)
        buffered = io.BufferedWriter(File(file, "w"), 512)
        return io.TextIOWrapper(buffered, encoding=named.get("encoding"), newline=named.get("newline"))

    return opening


def _connecting(doom: Doom, really: Callable[..., Any]) -> Callable[..., Any]:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> Any:
            word = sql.strip().partition(" ")[0]
            if word not in ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE"):
                return super().execute(sql, *args)
            doom.step(word, _database_full)
            result = super().execute(sql, *args)
            doom.step(word)
            return result

    def connecting(*args: Any, **named: Any) -> Any:
        return really(*args, factory=Connection, **named)

    return connecting


def run(order: dict[str, Any], tell: Callable[[str], None]) -> int:
    """One run in this process, under its doom."""
    from batchsum.cli import main
    from batchsum.ncbi import client
    from batchsum.run import ask, signals

    ask.SHORTEST_PAUSE = 0.02
    client.FIRST_PAUSE = 0.01
    signals.LONGEST_STOP = order.get("longest_stop", signals.LONGEST_STOP)
    doom = Doom(order.get("kind", "count"), order.get("at", 0), tell)
    install(doom)
    if order.get("unlocked"):
        fcntl.flock = lambda *_: None  # type: ignore[assignment]
    if order.get("deaf"):
        socket.getaddrinfo = lambda *_, **__: time.sleep(3600)  # type: ignore[assignment]
    if "largest_file" in order:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"],) * 2)
    code = main(order["argv"])
    tell(f"steps {doom.steps}")
    return code


def _child(order: dict[str, Any], pipe: int) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.environ.update(order.get("env", {}))
    code = 1
    try:
        code = run(order, lambda text: os.write(pipe, f"{text}\n".encode()) and None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _start(order: dict[str, Any]) -> tuple[int, int]:
    """Fork a run; its process id, and the pipe on which it tells."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(order, writing)
    os.close(writing)
    return pid, reading


def serve() -> None:
    """For every order on stdin start a run and answer with its process id; for `wait`, with how it ended."""
    for module in ("batchsum.cli.run", "batchsum.config.load", "batchsum.run.night"):
        importlib.import_module(module)
    # A page is drawn here, so that its templates are compiled once and not in every fork.
    deque(render_page(sample_night(2)), maxlen=0)
    pipes: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            pid = order["wait"]
            with os.fdopen(pipes.pop(pid), "rb") as pipe:
                told = pipe.read().decode().splitlines()
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            print(json.dumps({"code": code, "told": told}), flush=True)
        else:
            pid, reading = _start(order)
            pipes[pid] = reading
            print(json.dumps({"pid": pid}), flush=True)


if __name__ == "__main__":
    serve()
