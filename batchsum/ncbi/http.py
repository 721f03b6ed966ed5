"""One send over HTTP: the only file that knows how the HTTP library is used, and its traps.

An error of the library ends here: as a Failure, or as Refused where the server refuses us (key, TLS, redirect).
"""

import asyncio
import random
import re
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

from batchsum.errors import UsageError
from batchsum.model.queries import Attempt, Failure, Request, Summary, post_body, request_key
from batchsum.ncbi import retry
from batchsum.ncbi.http_errors import SpokeUnasked, network_failure, refuse_status
from batchsum.ncbi.parse import parse_answer, parse_document
from batchsum.ncbi.urls import is_loopback
from batchsum.text import one_line
from batchsum.version import __version__

# The proxy that the environment names for a server.


def proxy_of_environment(base_url: URL) -> URL | None:
    """Clusters and hospitals reach NCBI through a proxy; a server on this machine is never behind one.

    The library could look for itself, but would then also send the server what ~/.netrc has for it.
    """
    host = base_url.host or ""
    if is_loopback(host):
        return None
    address = getproxies().get(base_url.scheme)
    if not address or proxy_bypass(host):
        return None
    variable = f"{base_url.scheme.upper()}_PROXY"
    try:
        proxy = URL(address if "://" in address else f"http://{address}")
    except ValueError:
        raise UsageError(f"{variable}: this is not an address; write it as in http://proxy:3128") from None
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise UsageError(f"{variable}: a proxy of the kind {proxy.scheme} cannot be used; http://proxy:3128 can")
    return proxy


# The timeouts of all attempts under way, on one timer. A timer for each (`asyncio.timeout`) costs a tenth of
# what a request costs, and hardly one of them ever rings.


class Timeouts:
    """Cancels whatever takes longer than `seconds`. For the running event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ends: dict[Timed, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, one: "Timed") -> None:
        """Set the end that is the furthest of all."""
        self._ends[one] = end = self._loop.time() + self._seconds
        if self._timer is None:
            self._ring_at(end)

    def set(self, one: "Timed", end: float) -> None:
        self._ends[one] = end
        if self._timer is None or end < self._timer.when():
            self._ring_at(end)

    def clear(self, one: "Timed") -> float | None:
        """The end that is no more; None where it has come."""
        return self._ends.pop(one, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring_at(self, end: float) -> None:
        self.close()
        self._timer = self._loop.call_at(end, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        over = [one for one, end in self._ends.items() if end <= now]
        for one in over:
            del self._ends[one]
        self._timer = None
        if self._ends:
            self._ring_at(min(self._ends.values()))
        for one in over:
            one.expire()


class Timed:
    """Context manager around one attempt, within one task: TimeoutError once its time is over."""

    __slots__ = ("_cancelling", "_is_over", "_task", "_timeouts", "waited")

    def __init__(self, timeouts: Timeouts) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._timeouts = timeouts
        self._task = task
        self._cancelling = task.cancelling()
        self._is_over = False
        self.waited = 0.0
        """Seconds that did not count."""

    def __enter__(self) -> Self:
        self._timeouts.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timeouts.clear(self)
        # Who else cancelled this task meanwhile is obeyed: then it is no timeout.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        self._is_over = True
        self._task.cancel()

    async def aside(self, waiting: Awaitable[None]) -> None:
        """Wait for something whose time does not count."""
        clock = asyncio.get_running_loop().time
        began, end = clock(), self._timeouts.clear(self)
        try:
            await waiting
        finally:
            waited = clock() - began
            self.waited += waited
            if end is not None:
                self._timeouts.set(self, end + waited)


# The last step before a request leaves: its connection stands, and it may still have to wait. Between here
# and the headers nothing is awaited (a body's follow in the loop's next turn), so what is told here is when
# they leave. The library's own hooks (tracing) tell the same, at a fifth of what a request costs.


Confirm = Callable[[], Awaitable[None] | None]
"""Whether a request whose connection stands may leave now (None), or what is to be awaited before it may."""


@dataclass(slots=True)
class Departure:
    """A request about to be sent, by the task that sends it."""

    confirm: Confirm
    on_sent: Callable[[], None]
    timed: Timed


class _Socket(socket.socket):
    """Reads an answer in pieces. The event loop asks for 256 KiB at once, and to make room for that, mostly in vain,
    costs a tenth of what a request costs."""

    __slots__ = ()
    _PIECE = 2**16

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(min(size, self._PIECE), flags)


def open_socket(address: tuple[int, int, int, str, Any]) -> socket.socket:
    """A socket for an address as `getaddrinfo` tells it."""
    family, kind, protocol, *_ = address
    return _Socket(family, kind, protocol)


departure: ContextVar[Departure | None] = ContextVar("departure", default=None)
"""Set by a task right before it asks the session for anything: the library hands nothing of ours down to the gate,
which takes it before it awaits anything, since tasks can share a context."""


class Gate(aiohttp.TCPConnector):
    """Connections that are handed out when their request may leave."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  the library's own argument
    ) -> Connection:
        mine = departure.get()
        assert mine is not None
        departure.set(None)  # a task that is kept by its own context would wait for the cycle collector
        for _ in range(self.limit + 1):  # all that may wait in the pool, and a new one
            connection = await super().connect(req, traces, timeout)
            try:
                if (confirmed := mine.confirm()) is not None:
                    await mine.timed.aside(confirmed)
                if _is_usable(connection):
                    mine.on_sent()
                    return connection
            except BaseException:
                connection.release()  # nothing was written to it
                raise
            connection.close()
        raise SpokeUnasked


def _is_usable(connection: Connection) -> bool:
    """Whether the server has neither closed it, as it may while a request waits, nor said anything on it: that would
    be taken for the answer to what is asked now."""
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close


# The body of an answer: whole, unpacked, and never larger than expected. The library would unpack by itself,
# but takes a compressed body that was cut off for a whole one.


_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": zlib.MAX_WBITS}


_MOST_MEMBERS = 16
"""Each is found by copying what is left, and an empty one takes 20 bytes."""


class TooLarge(ValueError):
    """More bytes than an answer can have: a few of gzip can hold hundreds of megabytes."""

    def __init__(self, largest: int) -> None:
        super().__init__(f"the body is larger than {largest:,} bytes")


class BadlyPacked(ValueError):
    """Said in a few words: what is wrong with the packing."""


async def read_body(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """The bytes of an answer, at most `largest` of them, for a session that does not unpack by itself.

    Of a refusal only what can be read: its status says enough.
    """
    chunks, size = [], 0
    try:
        while not response.content.at_eof():
            chunk = await response.content.readany()
            size += len(chunk)
            if size > largest:
                raise TooLarge(largest)
            chunks.append(chunk)
        body, encoding = b"".join(chunks), response.headers.get("Content-Encoding")
        return unpack(body, encoding, largest) if encoding else body
    except (TooLarge, BadlyPacked, aiohttp.ClientPayloadError):
        if response.status == HTTPStatus.OK:
            raise
        return b""


def unpack(packed: bytes, encoding: str, largest: int) -> bytes:
    """What `packed` holds by its Content-Encoding; an end that never came is an error."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not packed:
        return packed
    if encoding not in _WINDOW_BITS:
        raise BadlyPacked("packed in a way that was not asked for")
    plain, members = b"", 0
    while packed:  # gzip may come in several members, which are one text
        if (members := members + 1) > _MOST_MEMBERS:
            raise BadlyPacked(f"the {encoding} is in too many pieces")
        stream = zlib.decompressobj(_WINDOW_BITS[encoding])
        try:
            plain += stream.decompress(packed, largest + 1 - len(plain))
        except zlib.error:
            raise BadlyPacked(f"this is no {encoding}") from None
        if len(plain) > largest:
            raise TooLarge(largest)
        if not stream.eof:
            raise BadlyPacked(f"the {encoding} is cut off")
        packed = stream.unused_data.lstrip(b"\0")  # padding
    return plain


LARGEST_BODY = 4 * 2**20
"""Bytes after decompression; a download summary has about two thousand."""
LARGEST_DOCUMENT = 64 * 2**20
"""Bytes of an answer about a thousand names: two or three thousand each, and more where a taxon has many below it."""
LONGEST_CONNECT = 20.0
"""Seconds for one connection; the timeout of an attempt is for everything."""

A = TypeVar("A")


class Sent(NamedTuple, Generic[A]):
    """One attempt, and what the server said about our pace."""

    answer: A | Failure
    attempt: Attempt
    retry_after: float | None = None
    """Seconds."""
    rate_limit: float | None = None
    """Requests a second."""


Exchange = Sent[Summary]


def _at_once() -> None:
    return None


class Transport:
    """An HTTP session for one base URL. The key goes to that host only, and only in its header.

    ValueError where `api_key` or `contact` cannot stand in a header; UsageError for a proxy of a wrong kind.
    """

    def __init__(
        self, base_url: str, *, api_key: str | None, contact: str | None, timeout: float, connections: int
    ) -> None:
        self._base = URL(base_url.rstrip("/"))
        self._host = self._base.host or ""
        self._key = (api_key or "").strip()
        if not re.fullmatch(r"[!-~]*", self._key):
            raise ValueError("api_key: this is not an API key; NCBI's are one word of letters and digits")
        if not re.fullmatch(r"[ -~]*", contact or ""):
            raise ValueError("contact: write an e-mail address, in plain ASCII")
        self._spelled = re.compile(b"".join(_spellings(letter) for letter in self._key))
        self._timeout = timeout
        self._phid = f"{random.getrandbits(64):016X}"
        self._sends = count()
        self._connections = connections
        self._proxy = proxy_of_environment(self._base)
        self._session: aiohttp.ClientSession | None = None
        self._headers = CIMultiDict(
            {
                "User-Agent": f"batchsum/{__version__}" + (f" ({contact})" if contact else ""),
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            }
        )
        if self._key:
            self._headers["api-key"] = self._key

    async def __aenter__(self) -> Self:
        self._timeouts = Timeouts(self._timeout)
        self._session = aiohttp.ClientSession(
            connector=Gate(limit=self._connections, keepalive_timeout=15, socket_factory=open_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            # The whole attempt is timed by `_timeouts`, whose clock can stand still.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(self._timeout, LONGEST_CONNECT)),
            auto_decompress=False,
            proxy=self._proxy,
        )
        # aiohttp would send a GET again by itself when a reused connection dies, past the pacer.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            self._timeouts.close()
            await self._session.close()

    def send(
        self,
        request: Request,
        *,
        confirm: Confirm = _at_once,
        on_sent: Callable[[], None] = lambda: None,
    ) -> Coroutine[Any, Any, Exchange]:
        """Ask once. `confirm` is called when the connection stands, `on_sent` when the headers leave.

        Raises Refused where going on would be wrong: key not accepted, TLS, redirect.
        """
        body = post_body(request)
        url = self._url(request_key(request) if body is None else "/virus/genome")
        return self._exchange(url, body, parse_answer, LARGEST_BODY, confirm, on_sent)

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        confirm: Confirm = _at_once,
        on_sent: Callable[[], None] = lambda: None,
    ) -> Coroutine[Any, Any, Sent[dict[str, Any]]]:
        """Post JSON to a path below the base URL once, for the JSON object it is answered with."""
        return self._exchange(self._url(path), body, parse_document, LARGEST_DOCUMENT, confirm, on_sent)

    def _url(self, path: str) -> URL:
        """`path` is quoted already. As one text a URL would be taken apart first, which takes twice as long."""
        path, _, query = path.partition("?")
        base = self._base
        path = base.raw_path.rstrip("/") + path
        return URL.build(scheme=base.scheme, authority=base.raw_authority, path=path, query_string=query, encoded=True)

    async def _exchange(
        self,
        url: URL,
        body: Mapping[str, Any] | None,
        parse: Callable[[int, bytes], A | Failure],
        largest: int,
        confirm: Confirm,
        on_sent: Callable[[], None],
    ) -> Sent[A]:
        if self._session is None:
            raise RuntimeError("the client is not open; write: async with DatasetsClient(...) as client")
        phid = f"{self._phid}{next(self._sends):016X}"
        sent_at, start = time.time(), time.monotonic()
        headers: Mapping[str, str] = {}
        http_status = None
        timed = Timed(self._timeouts)
        departure.set(Departure(confirm, on_sent, timed))
        answer: A | Failure
        try:
            with timed:
                response = await self._open(self._session, url, body, phid)
                try:
                    http_status, headers = response.status, response.headers
                    if http_status != HTTPStatus.OK:
                        refuse_status(http_status, self._hide(headers.get("Location", "")), has_key=bool(self._key))
                    answer = parse(http_status, self._hide_bytes(await read_body(response, largest)))
                finally:
                    response.release()
        except (TooLarge, BadlyPacked) as error:
            answer = Failure("failed", "bad_answer", str(error))
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError) as error:
            answer = network_failure(error, host=self._host, timeout=self._timeout)
        attempt = Attempt(
            f"{_second(int(sent_at))}.{int(sent_at % 1 * 1000):03}Z",
            round(time.monotonic() - start - timed.waited, 3),
            answer.reason if isinstance(answer, Failure) else "answered",
            http_status,
            self._hide(headers.get("NCBI-PHID", ""))[:80] or phid,
        )
        return Sent(answer, attempt, _retry_after(headers), _rate_limit(headers))

    def _open(self, session: aiohttp.ClientSession, url: URL, body: Mapping[str, Any] | None, phid: str) -> Any:
        # Here and not in the session, which would tell its headers to a proxy too.
        headers = self._headers.copy()
        headers["NCBI-PHID"] = phid
        # The header with the key would go along to wherever a redirect leads.
        if body is None:
            return session.get(url, headers=headers, allow_redirects=False)
        return session.post(url, headers=headers, allow_redirects=False, json=body)

    def _hide(self, text: str) -> str:
        """Text of the server, fit to be shown: it may have echoed the key."""
        return one_line(text.replace(self._key, "[key]") if self._key else text)

    def _hide_bytes(self, body: bytes) -> bytes:
        """The body without the key, also where JSON spells one of its letters as an escape."""
        if not self._key:
            return body
        body = body.replace(self._key.encode(), b"[key]")
        if b"\\u" not in body:
            return body
        return self._spelled.sub(b"[key]", body)


def _spellings(letter: str) -> bytes:
    """A pattern for an ASCII letter as JSON can spell it: itself, or escaped by its number."""
    return b"(?:%b|\\\\u(?i:%04x))" % (re.escape(letter.encode()), ord(letter))


@lru_cache(maxsize=1)
def _second(timestamp: int) -> str:
    """UTC, ISO 8601."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat()[:19]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds."""
    text = headers.get("Retry-After")
    return retry.seconds_of(text, headers.get("Date", "")) if text else None


def _rate_limit(headers: Mapping[str, str]) -> float | None:
    """Requests a second; None for what is no plain number above zero."""
    text = headers.get("X-RateLimit-Limit")
    return float(text) or None if text and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else None
