"""A process that sends through a pacer as if on a machine of its own, one datagram a send, until it is ended.

    python -m tests.paced_sender PORT RATE PARTS REDIS_URL DIRECTORY

The kernel stamps each datagram when it is sent, so that whoever receives them knows the moments exactly.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

from batchsum.pacing import Pacer
from batchsum.reservation import Reservation
from batchsum.shared_limit import SharedLimit

WORKERS = 4


async def send(port: int, rate: float, parts: int, url: str, directory: Path) -> None:
    # Its own directory: the processes of another machine would not see this one's reservations either.
    shared = Reservation("host", None, directory=directory / str(os.getpid()))
    pacer = Pacer(rate, shared=shared, lab=SharedLimit(url, "host", None, parts=parts), parts=parts)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect(("127.0.0.1", port))

        async def worker() -> None:
            while True:
                ticket = await pacer.slot()
                await pacer.confirm(ticket)
                datagrams.send(b"%d" % pacer._parts)
                pacer.sent(ticket)

        await asyncio.gather(*(worker() for _ in range(WORKERS)))


if __name__ == "__main__":
    port, rate, parts, url, directory = sys.argv[1:]
    asyncio.run(send(int(port), float(rate), int(parts), url, Path(directory)))
