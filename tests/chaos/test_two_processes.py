"""Two runs of one job at the same time: one at a time where the kernel has locks, and never a mixed table."""

import fcntl
import hashlib
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.disturbance import assert_goes_on, assert_never_half, watched
from tests.chaos.programs import Started, until
from tests.chaos.stage import Stage, contents


@pytest.fixture
def slow(stage: Stage) -> Iterator[Stage]:
    stage.begin()
    stage.ncbi.delay = 0.03
    yield stage
    stage.ncbi.delay = 0.0


def begun(stage: Stage, **order: object) -> Started:
    """A run that has asked some of its questions."""
    started = stage.programs.start(*stage.command, **order)
    until(lambda: len(stage.ncbi.server.arrivals) > 10)
    return started


def test_the_second_is_told_who_has_the_lock(slow: Stage) -> None:
    first = begun(slow)
    assert slow.run() == 75
    said = slow.programs.stderr
    assert said.count("\n") == 1
    assert f"host {socket.gethostname()}, process {first.pid}, since 20" in said
    assert slow.programs.run(*slow.command, "--if-locked", "skip") == 0
    assert slow.programs.stderr == ""  # cron would mail it
    assert "is under way (host" in (slow.out / "batchsum.log").read_text()
    assert first.wait() == slow.code
    assert contents(slow.out) == slow.new


def test_the_second_may_wait(slow: Stage) -> None:
    first = begun(slow)
    second = slow.programs.start(*slow.command, "--if-locked", "wait")
    assert first.wait() == slow.code
    assert second.wait() == slow.code
    assert json.loads((slow.out / "run.json").read_bytes())["generation"] == 3


def test_a_lock_goes_with_its_process(slow: Stage) -> None:
    first = begun(slow)
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert str(first.pid) in (slow.out / ".lock").read_text()
    assert_goes_on(slow)


def test_words_of_a_dead_holder_are_not_believed(slow: Stage) -> None:
    dead = begun(slow)
    dead.signal(signal.SIGKILL)
    dead.wait()
    with (slow.out / ".lock").open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert slow.run() == 75
    assert "process" not in slow.programs.stderr
    assert "another run of this job is under way" in slow.programs.stderr


def test_without_locks_the_later_one_has_the_run(slow: Stage) -> None:
    """The first stops at its next commit, and only what it had not committed is asked again."""
    with watched(slow):
        first = begun(slow, unlocked=True)
        second = slow.programs.start(*slow.command, unlocked=True)
        assert first.wait() == 75
        assert "has taken over run" in first.stderr
        assert second.wait() == slow.code, second.stderr
    assert contents(slow.out) == slow.new
    # Once by each at most, and once more where it was in doubt.
    assert max(count for key, count in slow.ncbi.counts.items() if "2697049" not in key) <= 3


def test_a_lock_file_that_was_removed_lets_nobody_mix(slow: Stage) -> None:
    first = begun(slow)
    (slow.out / ".lock").unlink()
    second = slow.programs.start(*slow.command)
    assert {first.wait(), second.wait()} == {75, slow.code}
    assert contents(slow.out) == slow.new


@pytest.mark.parametrize("attempt", range(4))
def test_without_locks_and_at_the_same_moment(stage: Stage, attempt: int) -> None:
    stage.begin()
    both = [stage.programs.start(*stage.command, unlocked=True) for _ in range(2)]
    codes = {one.wait() for one in both}
    assert codes <= {stage.code, 75, 6}, [one.stderr for one in both]
    assert_consistent(stage.out)
    if codes != {stage.code}:  # else one came after the other, and that was a night of its own
        assert_never_half(stage)
        assert_goes_on(stage)


def assert_consistent(out: Path) -> None:
    for name, digest in json.loads((out / "run.json").read_bytes())["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert list(out.glob(".summary*")) == []
