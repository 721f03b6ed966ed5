"""Answers on their way to the disk: soon, in groups, and never without an error being heard of."""

import sqlite3
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from batchsum.model.queries import Reply, Summary
from batchsum.store.journal import LONGEST_WAIT, Journal
from tests.store.test_store import REPLY

MANY = 100


class SlowDisk:
    """A store whose commits take until the test lets them end; it notes what came in each."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.groups: list[list[str]] = []
        self.began, self.kept = threading.Semaphore(0), threading.Semaphore(0)
        self.may_end = threading.Event()
        self.may_end.set()

    def keep_answers(self, _run: Any, replies: Sequence[tuple[str, int, Reply]]) -> None:
        self.began.release()
        if self.error:
            raise self.error
        assert self.may_end.wait(10)
        self.groups.append([key for key, _, _ in replies])
        self.kept.release()


def journal(disk: SlowDisk) -> Journal:
    return Journal(disk, None)  # type: ignore[arg-type]


def test_an_answer_that_comes_alone_is_kept_without_another() -> None:
    """The contract gives a quarter of a second; what a commit takes comes on top."""
    assert LONGEST_WAIT <= 0.15
    disk = SlowDisk()
    with journal(disk) as one:
        one.put("/a", 1, REPLY)
        assert disk.kept.acquire(timeout=10)
        assert disk.groups == [["/a"]]


def test_what_came_during_a_slow_commit_waits_for_no_other() -> None:
    """However many came meanwhile, they are all in the next group, in their order."""
    disk = SlowDisk()
    disk.may_end.clear()
    with journal(disk) as one:
        one.put("/first", 1, REPLY)
        assert disk.began.acquire(timeout=10)
        for number in range(MANY):
            one.put(f"/{number}", 1, REPLY)
        disk.may_end.set()
    assert disk.groups == [["/first"], [f"/{number}" for number in range(MANY)]]


def test_leaving_keeps_what_is_left() -> None:
    disk = SlowDisk()

    def put_and_fail() -> None:
        with journal(disk) as one:
            one.put("/a", 2, Reply(Summary(1)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_fail()
    assert disk.groups == [["/a"]]


def test_an_error_is_raised_where_the_answers_come_from() -> None:
    disk = SlowDisk(error=sqlite3.OperationalError("database or disk is full"))

    def put_until_told() -> None:
        with journal(disk) as one:
            for _ in range(10_000):
                one.put("/a", 1, REPLY)
                time.sleep(0.001)

    with pytest.raises(sqlite3.OperationalError, match="full"):
        put_until_told()
    assert disk.began.acquire(blocking=False)
    assert not disk.began.acquire(blocking=False), "nothing is tried again"


def test_an_error_of_the_last_group_is_raised_on_leaving() -> None:
    disk = SlowDisk(error=sqlite3.OperationalError("database or disk is full"))

    def put_once() -> None:
        with journal(disk) as one:
            one.put("/a", 1, REPLY)

    with pytest.raises(sqlite3.OperationalError, match="full"):
        put_once()


def test_whoever_leaves_while_the_thread_falls_asleep_is_not_forgotten() -> None:
    """Leaving may come at any moment of the thread's rounds: each time all is kept, and it ends."""
    for puts in (0, 1, 2) * 100:
        disk = SlowDisk()
        with journal(disk) as one:
            for number in range(puts):
                one.put(f"/{number}", 1, REPLY)
        assert not one._thread.is_alive()
        assert [key for group in disk.groups for key in group] == [f"/{number}" for number in range(puts)]
