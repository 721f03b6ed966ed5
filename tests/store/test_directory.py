"""The lock of an output directory: one holder, whose words are believed only while it lives."""

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path

import pytest

from batchsum.errors import Locked
from batchsum.store.directory import locked, log

HOLDER = {"host": socket.gethostname(), "pid": os.getpid(), "since": "2026-11-23T03:00:00Z"}


def refusal(directory: Path) -> str:
    with pytest.raises(Locked) as told, locked(directory):
        pass
    return str(told.value)


def test_one_at_a_time_and_the_other_hears_who(tmp_path: Path) -> None:
    with locked(tmp_path):
        said = refusal(tmp_path)
        assert f"host {socket.gethostname()}, process {os.getpid()}, since 20" in said
        assert str(tmp_path) in said
    with locked(tmp_path):
        pass


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", '"text"', "no JSON", '{"host": 1}', json.dumps({**HOLDER, "pid": "x"}), "\udcff",
        json.dumps({**HOLDER, "pid": 2**22 + 1}),  # larger than any process has
        json.dumps({**HOLDER, "pid": 10**30}),
    ],
)  # fmt: skip
def test_words_that_cannot_be_true_are_left_out(tmp_path: Path, text: str) -> None:
    with (tmp_path / ".lock").open("w+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(text.encode("utf-8", "surrogateescape"))
        file.flush()
        assert refusal(tmp_path) == f"{tmp_path}: another run of this job is under way"


def test_a_holder_on_another_host_cannot_be_looked_after(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({**HOLDER, "host": "node17", "pid": 2**22 + 1}, file)
        file.flush()
        assert "host node17, process " in refusal(tmp_path)


def test_waiting_ends_when_the_lock_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = (tmp_path / ".lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            file.close()

    monkeypatch.setattr(time, "sleep", sleep)
    with locked(tmp_path, wait=True):
        assert len(waited) == 3


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    warned = []
    monkeypatch.setattr(log, "warning", lambda text, *values: warned.append(text % values))
    with locked(tmp_path), locked(tmp_path):
        assert len(warned) == 2
        assert "has no locks" in warned[0]


def test_other_errors_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path):
        pass
