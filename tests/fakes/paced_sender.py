"""A process that sends through a pacer as if on a machine of its own, one datagram a send, until it is ended.

    python -m tests.fakes.paced_sender PORT RATE PARTS REDIS_URL DIRECTORY

The kernel stamps each datagram when it is sent, so that whoever receives them knows the moments exactly.
"""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batchsum.ncbi.pacing import GUARD, Pacer
from batchsum.ncbi.pacing_file import Reservation
from batchsum.ncbi.pacing_redis import SharedLimit

WORKERS = 4
SO_TIMESTAMPNS = 35


class TimedLimit(SharedLimit):
    """Knows how far apart the moments may be at which Redis counted a send and at which it leaves."""

    asked = 0.0

    async def take(self, rate: float, guard: float) -> tuple[float, str]:
        self.asked = asyncio.get_running_loop().time()
        return await super().take(rate, guard)

    def doubt(self) -> float:
        """Nothing beside the pacer's guard, but on a machine with more to do than it can: there a process waits
        for a core with the answer of Redis in its hand, and no second can be kept more exactly than that."""
        return asyncio.get_running_loop().time() - self.asked


async def send(port: int, rate: float, parts: int, url: str, directory: Path) -> None:
    # Its own directory: the processes of another machine would not see this one's reservations either.
    shared = Reservation("host", None, directory=directory / str(os.getpid()))
    lab = TimedLimit(url, "host", None, parts=parts)
    pacer = Pacer(rate, shared=shared, lab=lab, parts=parts)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect(("127.0.0.1", port))

        async def worker() -> None:
            while True:
                await pacer.slot()
                datagrams.send(b"%d %f" % (pacer._parts, lab.doubt()))

        await asyncio.gather(*(worker() for _ in range(WORKERS)))


class Arrival(NamedTuple):
    time: float
    """Seconds, when the kernel saw it."""
    parts: int
    """Among how many the limit was divided."""
    doubt: float
    """Seconds between its being counted and its leaving, at the most."""


class Arrivals:
    """Datagrams, in the order in which they are received."""

    _STAMP = struct.Struct("@qq")

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.settimeout(1)
        self.seen = list[Arrival]()
        self.processes = list[subprocess.Popen[bytes]]()

    def receive(self) -> Arrival:
        data, ancillary = self._next()
        seconds, nanoseconds = self._STAMP.unpack(ancillary[0][2])
        parts, doubt = data.split()
        self.seen.append(Arrival(seconds + nanoseconds / 1e9, int(parts), float(doubt)))
        return self.seen[-1]

    def _next(self) -> tuple[bytes, list[tuple[int, int, bytes]]]:
        """Waits for as long as the senders live: a busy machine may take its time, a broken program may not."""
        for _ in range(60):
            try:
                data, ancillary, _, _ = self.socket.recvmsg(100, 100)
            except TimeoutError:
                assert [process.poll() for process in self.processes] == [None] * len(self.processes)
            else:
                return data, ancillary
        raise AssertionError("nothing was sent for a minute")

    def receive_until(self, parts: int, count: int) -> None:
        """Until so many have come in a row from processes that divide the limit into `parts`."""
        row = 0
        while row < count:
            row = row + 1 if self.receive().parts == parts else 0

    def assert_never_over(self, rate: int) -> None:
        """No second holds more than `rate`; what is uncertain of its ends, the pacer's guard must cover."""
        seen = sorted(self.seen)
        for first, later in zip(seen, seen[rate:], strict=False):
            assert later.time - first.time >= 1.0 - max(0.0, first.doubt + later.doubt - GUARD), (first, later)


@contextmanager
def senders(count: int, arrivals: Arrivals, rate: float, url: str, directory: Path) -> Iterator[None]:
    """Processes as on machines of their own, each with a quarter of `rate` while there is no Redis."""
    port = str(arrivals.socket.getsockname()[1])
    command = [sys.executable, "-m", "tests.fakes.paced_sender", port, str(rate), "4", url, str(directory)]
    arrivals.processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in arrivals.processes:
            process.kill()
            process.wait()
        arrivals.socket.close()


if __name__ == "__main__":
    port, rate, parts, url, directory = sys.argv[1:]
    asyncio.run(send(int(port), float(rate), int(parts), url, Path(directory)))
