"""Processes of one user share one limit through a file that nobody can spoil, and nobody has to wait for."""

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import sys
import tempfile
from bisect import insort
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsum.ncbi.pacing_file import BUSY, Ledger, Reservation, window

GUARD = 0.008
KEY = "0123456789abcdef0123456789abcdef0123"


@pytest.fixture
def share(tmp_path: Path) -> Callable[[], Reservation]:
    """Makes one reservation a process; all of them have the same file."""
    return lambda: Reservation("host:443", KEY, directory=tmp_path / "place")


def file_of(reservation: Reservation, directory: Path) -> Path:
    """The file that `reservation` keeps, once it has been used."""
    assert reservation.take(0.0, 1000, GUARD) == 0
    (path,) = directory.glob("*.sends")
    return path


def taken(reservation: Reservation, now: float, rate: float) -> int:
    """How many may send in the second from `now` on, each as early as it may."""
    count, end = 0, now + 1.0
    while now < end:
        wait = reservation.take(now, rate, GUARD)
        count += wait == 0
        now += wait + 1e-6
    return count


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.2)), max_size=120), st.sampled_from([0.5, 1, 3, 10]))
def test_no_second_of_all_processes_holds_more_than_the_limit(asks: list[tuple[int, float]], rate: float) -> None:
    """Who asks when."""
    left, now = list[float](), 50.0
    with tempfile.TemporaryDirectory() as directory:
        processes = [Reservation("host", None, directory=Path(directory)) for _ in range(3)]
        for process, pause in asks:
            now += pause
            if processes[process].take(now, rate, GUARD) == 0:
                left.append(now)
        for process in processes:
            process.close()
    count, _ = window(rate, 0)
    assert all(later - first >= 1.0 for first, later in zip(left, left[count:], strict=False))


def test_what_one_takes_the_other_has_not(share: Callable[[], Reservation]) -> None:
    one, other = share(), share()
    assert taken(one, 100.0, 5) == 5
    assert other.take(100.95, 5, GUARD) > 0
    assert taken(other, 102.0, 5) == 5


def test_the_highest_rate_anybody_knows_is_the_limit(share: Callable[[], Reservation]) -> None:
    informed, newcomer = share(), share()
    assert [informed.take(100 + now / 5, 5, GUARD) for now in range(4)] == [0, 0, 0, 0]
    assert newcomer.take(100.8, 3, GUARD) == 0
    assert newcomer.take(101.0, 3, GUARD) > 0


def test_a_hold_is_everybodys(share: Callable[[], Reservation]) -> None:
    one, other = share(), share()
    assert one.take(100.0, 10, GUARD) == 0
    one.hold(101.0, 131.0)
    assert other.take(102.0, 10, GUARD) == 29.0
    assert other.take(131.0, 10, GUARD) == 0


def test_a_hold_without_end_is_not_believed(share: Callable[[], Reservation]) -> None:
    one, other = share(), share()
    assert one.take(100.0, 10, GUARD) == 0
    one.hold(101.0, 1e9)
    assert other.take(102.0, 10, GUARD) == 0


def test_the_file_is_ours_alone_and_does_not_tell_the_key(share: Callable[[], Reservation], tmp_path: Path) -> None:
    path = file_of(share(), tmp_path / "place")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert KEY not in path.name
    assert KEY.encode() not in path.read_bytes()


def test_each_server_and_each_key_has_its_own_limit(tmp_path: Path) -> None:
    for server, key in (("a:1", None), ("a:2", None), ("a:1", "key"), ("a:1", "other key")):
        assert taken(Reservation(server, key, directory=tmp_path), 100.0, 3) == 3


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=4000), st.integers(0, 80), st.booleans())
def test_garbage_in_the_file_is_nothing(garbage: bytes, cut: int, behind: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        reservation = Reservation("host", None, directory=Path(directory))
        path = file_of(reservation, Path(directory))
        whole = path.read_bytes()[:cut]
        path.write_bytes(whole + garbage if behind else garbage)
        assert taken(reservation, 100.0, 3) == 3
        assert not reservation.alone
        reservation.close()


def full(now: float, *, held_until: float = 0.0) -> Ledger:
    """A ledger without room at `now`."""
    ledger = Ledger(held_until)
    for back in range(10):
        insort(ledger.sends, (now - back / 20, 10))
    return ledger


@pytest.mark.parametrize("same_boot", [True, False])
def test_the_sends_of_another_boot_are_nothing(
    share: Callable[[], Reservation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_boot: bool
) -> None:
    path = file_of(share(), tmp_path / "place")
    path.write_bytes(full(100.0, held_until=150.0).to_bytes())
    if not same_boot:
        monkeypatch.setattr("batchsum.ncbi.pacing_file._boot_id", lambda: "another")
    assert (share().take(100.1, 10, GUARD) > 0) is same_boot


def test_a_ledger_of_which_a_part_is_older_is_nothing(share: Callable[[], Reservation], tmp_path: Path) -> None:
    reservation = share()
    path = file_of(reservation, tmp_path / "place")
    whole = full(100.0).to_bytes()
    path.write_bytes(whole[:-80] + full(99.9).to_bytes()[-80:-8] + bytes(8))
    assert reservation.take(100.1, 10, GUARD) == 0


def test_sends_of_the_future_are_nothing(share: Callable[[], Reservation], tmp_path: Path) -> None:
    reservation = share()
    path = file_of(reservation, tmp_path / "place")
    path.write_bytes(full(9000.0).to_bytes())
    assert reservation.take(100.0, 10, GUARD) == 0


def test_a_file_that_was_cleaned_away_is_made_again(share: Callable[[], Reservation], tmp_path: Path) -> None:
    one, other = share(), share()
    file_of(one, tmp_path / "place").unlink()
    assert taken(one, 100.0, 3) == 3
    assert other.take(100.95, 3, GUARD) > 0


def assert_alone(reservation: Reservation, caplog: pytest.LogCaptureFixture) -> None:
    """It goes on without a limit of others, and says so once."""
    with caplog.at_level(logging.WARNING, logger="batchsum"):
        assert [reservation.take(100.0, 3, GUARD) for _ in range(10)] == [0.0] * 10
        reservation.hold(100.0, 200.0)
    assert reservation.alone
    assert len(caplog.messages) == 1
    assert "not shared" in caplog.messages[0]


def test_a_link_is_not_followed(
    share: Callable[[], Reservation], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = file_of(share(), tmp_path / "place")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.unlink()
    path.symlink_to(victim)
    assert_alone(share(), caplog)
    assert victim.read_text() == "precious"


def test_a_linked_directory_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "place").symlink_to(tmp_path / "elsewhere")
    assert_alone(Reservation("host", None, directory=tmp_path / "place"), caplog)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_directory_that_others_may_write_into_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place").chmod(0o777)
    assert_alone(Reservation("host", None, directory=tmp_path / "place"), caplog)


def test_a_pipe_in_its_place_is_not_read(
    share: Callable[[], Reservation], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = file_of(share(), tmp_path / "place")
    path.unlink()
    os.mkfifo(path)
    assert_alone(share(), caplog)


def test_without_a_directory_one_goes_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert_alone(Reservation("host", None, directory=tmp_path / "file" / "place"), caplog)


@pytest.fixture
def locker(share: Callable[[], Reservation], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has the lock of the file, and keeps it for as long as it lives."""
    path = file_of(share(), tmp_path / "place")
    code = (
        "import fcntl, sys\n"
        f"file = open({str(path)!r}, 'r+b')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def test_a_lock_ends_with_its_process(share: Callable[[], Reservation], locker: "subprocess.Popen[bytes]") -> None:
    reservation = share()
    assert reservation.take(100.0, 10, GUARD) == BUSY
    locker.send_signal(signal.SIGKILL)
    locker.wait()
    assert reservation.take(100.0, 10, GUARD) == 0


def test_a_lock_that_never_ends_is_waited_for_a_while(
    share: Callable[[], Reservation], locker: "subprocess.Popen[bytes]", caplog: pytest.LogCaptureFixture
) -> None:
    reservation = share()
    for _ in range(2000):
        assert reservation.take(100.0, 10, GUARD) == BUSY
    assert_alone(reservation, caplog)
    assert locker.poll() is None


def test_what_could_not_be_written_is_written_later(share: Callable[[], Reservation], tmp_path: Path) -> None:
    one, other = share(), share()
    path = file_of(other, tmp_path / "place")
    assert one.take(100.0, 1, GUARD) == 0
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        one.hold(100.5, 110.0)
    assert one.take(101.5, 1, GUARD) > 0
    assert other.take(101.5, 1, GUARD) > 0
    assert other.take(110.0, 1, GUARD) == 0


SENDER = """
import asyncio, pathlib, sys, time
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.pacing_file import Reservation

class Counted(Reservation):
    def take(self, now, *args, **named):
        self.last = now
        return super().take(now, *args, **named)

async def main():
    shared = Counted("host", None, directory=pathlib.Path(sys.argv[1]))
    pacer = Pacer(40, shared=shared)

    async def worker():
        for _ in range(6):
            await pacer.slot()
            print(time.monotonic(), shared.last)

    await asyncio.gather(*(worker() for _ in range(5)))

asyncio.run(main())
"""


async def test_three_real_processes_never_send_more_than_one_may(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SENDER, str(tmp_path)]
    processes = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(3)]
    outputs = [(await process.communicate())[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    sent = sorted(tuple(map(float, line.split())) for output in outputs for line in output.splitlines())
    assert len(sent) == 90
    for (first, counted), (later, _) in zip(sent, sent[40:], strict=False):
        # A process that waits for a core between the two is late by more than the guard covers.
        assert later - first >= 1.0 - max(0.0, first - counted - GUARD)
