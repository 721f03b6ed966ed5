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

from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.pacing_file import Reservation
from batchsum.ncbi.pacing_redis import SharedLimit

WORKERS = 4
SO_TIMESTAMPNS = 35


async def send(port: int, rate: float, parts: int, url: str, directory: Path) -> None:
    # Its own directory: the processes of another machine would not see this one's reservations either.
    shared = Reservation("host", None, directory=directory / str(os.getpid()))
    pacer = Pacer(rate, shared=shared, lab=SharedLimit(url, "host", None, parts=parts), parts=parts)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect(("127.0.0.1", port))

        async def worker() -> None:
            while True:
                await pacer.slot()
                datagrams.send(b"%d" % pacer._parts)

        await asyncio.gather(*(worker() for _ in range(WORKERS)))


class Arrivals:
    """Datagrams and the moments at which the kernel saw them: (seconds, among how many the limit was divided)."""

    _STAMP = struct.Struct("@qq")

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.settimeout(60)
        self.seen = list[tuple[float, int]]()

    def receive(self) -> tuple[float, int]:
        data, ancillary, _, _ = self.socket.recvmsg(100, 100)
        seconds, nanoseconds = self._STAMP.unpack(ancillary[0][2])
        self.seen.append((seconds + nanoseconds / 1e9, int(data)))
        return self.seen[-1]

    def receive_until(self, parts: int, count: int) -> None:
        """Until so many have come in a row from processes that divide the limit into `parts`."""
        row = 0
        while row < count:
            row = row + 1 if self.receive()[1] == parts else 0


@contextmanager
def senders(count: int, arrivals: Arrivals, rate: float, url: str, directory: Path) -> Iterator[None]:
    """Processes as on machines of their own, each with a quarter of `rate` while there is no Redis."""
    port = str(arrivals.socket.getsockname()[1])
    command = [sys.executable, "-m", "tests.fakes.paced_sender", port, str(rate), "4", url, str(directory)]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
        arrivals.socket.close()


if __name__ == "__main__":
    port, rate, parts, url, directory = sys.argv[1:]
    asyncio.run(send(int(port), float(rate), int(parts), url, Path(directory)))
