"""A loopback server that misbehaves by script, byte by byte, and keeps a history of what arrived.

A behaviour is `async def behave(turn)`: it writes what it likes to one request that was read. The functions
below make them. `RawServer.on` scripts a taxon, `always` all others, `first` whatever comes first.
"""

import asyncio
import gzip
import json
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any
from urllib.parse import parse_qsl, unquote

PREFIX = "/datasets/v2"
CERTIFICATE = Path(__file__).parent / "loopback.pem"
"""Of 127.0.0.1, signed by nobody, with its private key."""

NESTED_JSON = b'{"record_count": 1, "hydrated": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
NAN_JSON = b'{"record_count": NaN}'
DUPLICATE_KEYS = b'{"record_count": 7, "record_count": 8}'


@dataclass(frozen=True)
class Arrival:
    """One request, as it came: nothing is decoded but what `taxon` and `parameters` say."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    at: float
    """Seconds of the machine's monotonic clock."""
    connection: int
    number: int
    """Which request of its connection, from 1."""

    @property
    def taxon(self) -> str:
        """Decoded; of a POST the one in its body; empty where it is no question for a summary."""
        if self.method == "POST":
            return str(json.loads(self.body).get("taxon", ""))
        path = self.target.partition("?")[0]
        inner = path.removeprefix(f"{PREFIX}/virus/taxon/").removesuffix("/genome")
        return unquote(inner) if path == f"{PREFIX}/virus/taxon/{inner}/genome" and "/" not in inner else ""

    @property
    def parameters(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)


@dataclass
class Turn:
    """One request that was read and waits for what the behaviour makes of it."""

    arrival: Arrival
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Turn], Awaitable[None]]


def summary(count: int = 7, **fields: Any) -> Behaviour:
    """A well-formed answer."""
    return answer(body={"record_count": count, "assembly_count": count, **fields})


def answer(
    status: int = 200,
    body: Any = b"",
    headers: Mapping[str, str] | None = None,
    *,
    reason: str | None = None,
    with_length: bool = True,
    compress: bool = False,
) -> Behaviour:
    """Any answer; `body` is bytes, text, or what becomes JSON. Without length the connection ends it."""
    data = packed(body)
    sent = gzip.compress(data) if compress else data

    async def behave(turn: Turn) -> None:
        length = {"Content-Length": str(len(sent))} if with_length else {"Connection": "close"}
        packing = {"Content-Encoding": "gzip"} if compress else {}
        await turn.write(head(status, {**length, **packing, **(headers or {})}, reason) + sent)
        if not with_length:
            turn.close()

    return behave


def packed(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def head(status: int, headers: Mapping[str, str], reason: str | None = None) -> bytes:
    if reason is None:
        reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Strange"
    lines = [f"HTTP/1.1 {status} {reason}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def raw(data: bytes) -> Behaviour:
    """Exactly these bytes, then the end of the connection."""

    async def behave(turn: Turn) -> None:
        await turn.write(data)
        turn.close()

    return behave


def error(status: int, message: str = "", **headers: str) -> Behaviour:
    """An rpcStatus; names of headers with _ for -."""
    return answer(
        status, {"code": 3, "message": message}, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def too_many(retry_after: str | None = None) -> Behaviour:
    return answer(429, {"code": 8, "message": "slow"}, {"Retry-After": retry_after} if retry_after else {})


def redirect(location: str, status: int = 302) -> Behaviour:
    return answer(status, b"", {"Location": location})


def delayed(seconds: float, then: Behaviour) -> Behaviour:
    async def behave(turn: Turn) -> None:
        await asyncio.sleep(seconds)
        await then(turn)

    return behave


def drip(body: Any, seconds: float) -> Behaviour:
    """A whole answer, one byte every so many seconds: no single read ever waits for long."""
    data = packed(body)

    async def behave(turn: Turn) -> None:
        await turn.write(head(200, {"Content-Length": str(len(data))}))
        for byte in data:
            await asyncio.sleep(seconds)
            await turn.write(bytes([byte]))

    return behave


async def never(turn: Turn) -> None:
    """No answer; the connection stays open until the other side closes it."""
    await turn.reader.read()


async def hang_up(turn: Turn) -> None:
    """The request was read, then the connection is closed without a byte."""
    turn.close()


async def reset(turn: Turn) -> None:
    """The same with a TCP reset."""
    turn.reset()


def cut(body: Any, at: int, *, with_length: bool = True, compress: bool = False) -> Behaviour:
    """Only the first `at` bytes of the body, then the end; with the length of the whole, or with none."""
    data = gzip.compress(packed(body)) if compress else packed(body)
    headers = {"Content-Length": str(len(data))} if with_length else {"Connection": "close"}
    if compress:
        headers["Content-Encoding"] = "gzip"
    return raw(head(200, headers) + data[:at])


def gzip_bomb(megabytes: int = 300) -> Behaviour:
    """A summary with so many blanks behind it, packed to about a thousandth."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [compressor.compress(b'{"record_count": 7}')]
    pieces += [compressor.compress(b" " * 2**20) for _ in range(megabytes)]
    data = b"".join([*pieces, compressor.flush()])
    return raw(head(200, {"Content-Encoding": "gzip", "Content-Length": str(len(data))}) + data)


def bad_status_line() -> Behaviour:
    return raw(b"HTTP/1.1 OK 200 fine\r\nContent-Length: 2\r\n\r\n{}")


def huge_header(size: int = 2**20) -> Behaviour:
    return answer(200, {"record_count": 7}, {"X-Huge": "x" * size})


@dataclass
class RawServer:
    """`first` behaviours are played once each, in order of arrival; then the taxon's own; then `otherwise`."""

    base_url: str = ""
    first: list[Behaviour] = field(default_factory=list)
    otherwise: Behaviour = field(default_factory=summary)
    greeting: bytes = b""
    """Said on each connection before anything is asked."""
    arrivals: list[Arrival] = field(default_factory=list)
    connections: int = 0
    _taxa: dict[str, list[Behaviour]] = field(default_factory=dict)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def on(self, taxon: str, *behaviours: Behaviour) -> None:
        """One after the other for each question for `taxon`; the last again and again."""
        self._taxa[taxon] = list(behaviours)

    def always(self, behaviour: Behaviour) -> None:
        self.otherwise = behaviour

    @property
    def counts(self) -> Counter[str]:
        """How often each taxon was asked for."""
        return Counter(arrival.taxon for arrival in self.arrivals if arrival.taxon)

    @property
    def port(self) -> int:
        return int(self.base_url.split(":")[2].partition("/")[0])

    def _behaviour(self, arrival: Arrival) -> Behaviour:
        if self.first:
            return self.first.pop(0)
        script = self._taxa.get(arrival.taxon)
        if not script:
            return self.otherwise
        return script.pop(0) if len(script) > 1 else script[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request by request, until a behaviour or the other side closes it."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        self.connections += 1
        connection, number = self.connections, 0
        try:
            writer.write(self.greeting)
            while not writer.is_closing():
                number += 1
                arrival = await _read_request(reader, connection, number)
                self.arrivals.append(arrival)
                await self._behaviour(arrival)(Turn(arrival, writer, reader))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side went, or the test is over
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def stop(self) -> None:
        for task in self._open:
            task.cancel()


async def _read_request(reader: asyncio.StreamReader, connection: int, number: int) -> Arrival:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Arrival(method, target, headers, body, time.monotonic(), connection, number)


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@contextmanager
def raw_server(*, tls: bool = False, port: int = 0) -> Iterator[RawServer]:
    """A RawServer that listens, in a thread of its own, until the block ends."""
    server, loop = RawServer(), asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def listen() -> None:
        listener = await asyncio.start_server(
            server.serve, "127.0.0.1", port, ssl=tls_context() if tls else None, limit=2**24
        )
        scheme = "https" if tls else "http"
        server.base_url = f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}{PREFIX}"
        ready.set()
        await over.wait()
        listener.close()
        while server._open:
            server.stop()
            await asyncio.wait(server._open, timeout=1)  # TLS may wait for the other side's end

    thread = threading.Thread(target=lambda: loop.run_until_complete(listen()))
    thread.start()
    try:
        assert ready.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def refused_port() -> int:
    """A port of this machine where nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
