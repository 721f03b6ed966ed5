"""One send over HTTP: the only file that knows how the HTTP library is used, and its traps.

An error of the library ends here: as a Failure, or as Refused where the server refuses us (key, TLS, redirect).
"""

import random
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from itertools import count
from typing import Any, Generic, NamedTuple, Self, TypeVar

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from batchsum.model.queries import Attempt, Failure, Request, Summary
from batchsum.ncbi import retry
from batchsum.ncbi.body import BadlyPacked, TooLarge, read_body
from batchsum.ncbi.document import one_line, parse_document
from batchsum.ncbi.gate import Confirm, Departure, Gate, departure, open_socket
from batchsum.ncbi.http_errors import network_failure, refuse_status
from batchsum.ncbi.parse import parse_answer
from batchsum.ncbi.proxy import proxy_of_environment
from batchsum.ncbi.timeouts import Timed, Timeouts
from batchsum.ncbi.wire import post_body, request_key
from batchsum.version import __version__

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
