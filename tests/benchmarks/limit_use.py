"""How much of the server's limit is used, and how often does it refuse?

A server with an exact sliding window of one second runs here; the sender is a process of its own, so that
neither makes the other late. One line a question:

    python -m tests.benchmarks.limit_use [--quick] [NAME ...]

Use of the limit is the accepted requests over what the limit allows between the first and the last of them,
without the first second: what comes out is the pace of a night, not its start.
"""

import argparse
import asyncio
import os
import random
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tests.benchmarks.measure import ROOT, Result, tell
from tests.fakes.raw_server import CERTIFICATE, tls_context

ANSWER = b'{"record_count":1,"assembly_count":1,"resource_updated_on":"2026-01-01T00:00:00Z"}'
WORKERS = 64
TLS = tls_context()


@dataclass(frozen=True)
class Question:
    """One line of the result. `bar` is the least use of the limit, `refusals` the most 429s."""

    name: str
    limit: int
    requests: int
    bar: float
    refusals: int = 0
    processes: int = 1
    latency: tuple[float, float] = (0.02, 0.2)
    """Seconds an answer takes, from and to."""
    jitter: float = 0.0
    """Largest one-way delay in seconds; some requests are that much later than others at the server's window."""
    hanging: float = 0.0
    """Share of the requests that are answered after 20 s only."""
    halved: bool = False
    """The limit is halved at a third of the requests; use is that of the half limit, from a second later on."""
    tls: float = 0.0
    """Seconds that TLS takes to begin, and each connection is a new one: as behind a proxy that looks into it."""


QUESTIONS = [
    Question("at_10", 10, 300, 0.99),
    Question("at_5", 5, 150, 0.99),
    Question("at_3", 3, 90, 0.99),
    Question("jitter", 10, 300, 0.99, jitter=0.004),
    Question("hanging", 10, 450, 0.98, hanging=0.03),
    Question("halved", 10, 200, 0.95, refusals=1, halved=True),
    Question("two_processes", 10, 300, 0.95, processes=2),
    Question("slow_tls", 10, 300, 0.97, tls=0.3),
]
QUICK = {
    "at_10": 80, "at_5": 40, "at_3": 24, "jitter": 80, "hanging": 100, "halved": 60, "two_processes": 80,
    "slow_tls": 80,
}  # fmt: skip


@dataclass
class Window:
    """The server's own count: exact, and of accepted requests only."""

    question: Question
    limit: float
    accepted: list[float] = field(default_factory=list)
    refused: int = 0
    arrivals: list[float] = field(default_factory=list)
    halved_at: float | None = None
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    _last: deque[float] = field(default_factory=deque)

    def admits(self, now: float) -> bool:
        self.arrivals.append(now)
        while self._last and now - self._last[0] >= 1.0:
            self._last.popleft()
        if len(self._last) >= self.limit:
            self.refused += 1
            return False
        self._last.append(now)
        self.accepted.append(now)
        if self.question.halved and self.halved_at is None and len(self.accepted) >= self.question.requests / 3:
            self.limit, self.halved_at = self.limit / 2, now
        if len(self.accepted) >= self.question.requests:
            self.enough.set()
        return True

    def use(self) -> float:
        counted = self.accepted[self.question.limit :]
        if self.halved_at is not None:
            counted = [time for time in counted if time > self.halved_at + 2.5]
        return (len(counted) - 1) / (self.limit * (counted[-1] - counted[0]))

    def busiest_second(self) -> int:
        last: deque[float] = deque()
        busiest = 0
        for time in self.arrivals:
            last.append(time)
            while time - last[0] >= 1.0:
                last.popleft()
            busiest = max(busiest, len(last))
        return busiest


class Connection(asyncio.Protocol):
    """As much HTTP/1.1 as a GET without a body needs."""

    def __init__(self, window: Window, chance: random.Random) -> None:
        self._window, self._chance, self._waiting = window, chance, b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._window.question.tls:
            transport.pause_reading()
            self._tls = self._loop.create_task(self._begin_tls(transport))

    async def _begin_tls(self, transport: asyncio.Transport) -> None:
        await asyncio.sleep(self._window.question.tls)
        with suppress(ConnectionError):  # whoever connected may be done before its turn came
            encrypted = await self._loop.start_tls(transport, self, TLS, server_side=True)
            assert encrypted is not None
            self._transport = encrypted

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while b"\r\n\r\n" in self._waiting:
            _, self._waiting = self._waiting.split(b"\r\n\r\n", 1)
            jitter = self._chance.uniform(0, self._window.question.jitter)
            if jitter:
                self._loop.call_later(jitter, self._arrive)
            else:
                self._arrive()

    def _arrive(self) -> None:
        limit = self._window.limit
        if not self._window.admits(self._loop.time()):
            self._answer(b"429 Too Many Requests", self._window.limit, b"{}")
        elif self._chance.random() < self._window.question.hanging:
            self._loop.call_later(20, self._answer, b"200 OK", limit, ANSWER)
        else:
            seconds = self._chance.uniform(*self._window.question.latency)
            self._loop.call_later(seconds, self._answer, b"200 OK", limit, ANSWER)

    def _answer(self, status: bytes, limit: float, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %b\r\nRetry-After: 1\r\nX-RateLimit-Limit: %d\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (status, limit, len(body), body)
            )
            if self._window.question.tls:
                self._transport.close()


async def send(base_url: str, limit: float) -> None:
    """Ask with the product's own client until this process is ended."""
    from batchsum.ncbi.client import DatasetsClient

    async with DatasetsClient(base_url, requests_per_second=limit, workers=WORKERS) as datasets:

        async def worker(number: int) -> None:
            while True:
                await datasets.virus_genome_summary(number)

        async with asyncio.TaskGroup() as group:
            for number in range(1, WORKERS + 1):
                group.create_task(worker(number))


async def serve(window: Window) -> tuple[asyncio.Server, str]:
    """A server with this window, and its base URL."""
    chance = random.Random(7)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(window, chance), "127.0.0.1", 0)
    scheme = "https" if window.question.tls else "http"
    return server, f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ask(question: Question) -> Result:
    """Run one question."""
    window = Window(question, question.limit)
    server, base_url = await serve(window)
    command = [sys.executable, "-m", "tests.benchmarks.limit_use"]
    command += ["--send", base_url, str(question.limit)]
    trusting = {**os.environ, "SSL_CERT_FILE": str(CERTIFICATE)}
    processes = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=trusting) for _ in range(question.processes)
    ]
    try:
        async with asyncio.timeout(30 + 3 * question.requests / question.limit):
            await window.enough.wait()
    finally:
        for process in processes:
            process.kill()
            await process.wait()
        server.close()
    figures = (
        f"429s {window.refused} (at most {question.refusals}), busiest second {window.busiest_second()}"
        f" of {question.limit}, {question.requests} requests"
    )
    kept = window.refused <= question.refusals
    return Result(
        f"use of the limit, {question.name.replace('_', ' ')}", window.use(), question.bar, figures, also=kept
    )


async def ask_all(names: list[str], quick: bool) -> int:
    codes = []
    for question in QUESTIONS:
        if not names or question.name in names:
            requests = QUICK[question.name] if quick else question.requests
            codes.append(tell(await ask(replace(question, requests=requests))))
    return max(codes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("names", nargs="*", choices=[[], *QUICK], help="the questions to ask; all by default")
    parser.add_argument("--quick", action="store_true", help="about a minute in total")
    parser.add_argument("--send", nargs=2, metavar=("URL", "LIMIT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        url, limit = options.send
        asyncio.run(send(url, float(limit)))
        return 0
    return asyncio.run(ask_all(options.names, options.quick))


if __name__ == "__main__":
    sys.exit(main())
