"""One send over HTTP: with connector.py the only file that knows the HTTP library and its traps.

An error of the library ends here: as a Failure where asking again may help, as Refused where going on would be wrong.
Its own texts can hold the key (`repr` of a request shows its headers), so none of them is repeated.
"""

import asyncio
import gzip
import os
import random
import re
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from io import BytesIO
from itertools import count
from typing import Any, Generic, NamedTuple, Self, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from batchsum.errors import Refused, UsageError
from batchsum.model.queries import Attempt, Failure, Request, Summary, post_body, request_key
from batchsum.ncbi.connector import NotReady, PacedConnector, PendingSend, pending_send
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.parse import BadAnswer, parse_answer
from batchsum.ncbi.refusals import redirect
from batchsum.ncbi.urls import is_loopback
from batchsum.text import one_line
from batchsum.version import __version__

LARGEST_BODY = 4 * 2**20
"""Bytes after decompression; a download summary has about two thousand."""
LONGEST_CONNECT = 20.0
"""Seconds for one connection, proxy and TLS included."""

A = TypeVar("A")


class Response(NamedTuple, Generic[A]):
    """What one attempt came to, and what the server said about our pace."""

    answer: A | Failure
    attempt: Attempt
    sent_at: float
    """When the headers left, by the event loop's clock."""
    retry_after: float | None = None
    """Seconds."""
    rate_limit: float | None = None
    """Requests a second."""
    headers: Mapping[str, str] = {}
    """Of the answer, without the key; empty where none came."""


class Transport:
    """An HTTP session for one base URL, at the pace of `pacer`. The key goes to that host only, and only in its header.

    `timeout` is how many seconds an answer may take from when the headers have left; at most `connections`
    requests are under way. ValueError where `api_key` or `contact` cannot stand in a header; UsageError for a
    proxy of a wrong kind.
    """

    def __init__(
        self, base_url: str, pacer: Pacer, *, api_key: str | None, contact: str | None, timeout: float, connections: int
    ) -> None:
        self._base = URL(base_url)
        self._root = str(self._base).rstrip("/")
        self._pacer = pacer
        self._key = (api_key or "").strip()
        if not re.fullmatch(r"[!-~]*", self._key):
            raise ValueError("api_key: this is not an API key; NCBI's are one word of letters and digits")
        if not re.fullmatch(r"[ -~]*", contact or ""):
            raise ValueError("contact: write an e-mail address, in plain ASCII")
        spelled = "".join(map(_spellings, self._key))
        self._key_in_text, self._key_in_bytes = re.compile(spelled), re.compile(spelled.encode())
        self._timeout = timeout
        self._phid = f"{random.getrandbits(64):016X}"  # NCBI's staff find a request by it, answered or not
        self._sends = count()
        self._free = asyncio.Semaphore(connections)
        self._proxy = proxy_of_environment(self._base)
        self._session: aiohttp.ClientSession | None = None
        agent = f"batchsum/{__version__}" + (f" ({contact})" if contact else "")
        self._headers = {"User-Agent": agent, "Accept": "application/json", "Accept-Encoding": "gzip"}
        if self._key:
            self._headers["api-key"] = self._key

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=PacedConnector(self._pacer),
            cookie_jar=aiohttp.DummyCookieJar(),  # no request is to depend on the one before
            # The answer's time is set by the connector, when the headers leave.
            timeout=aiohttp.ClientTimeout(total=None, connect=min(self._timeout, LONGEST_CONNECT)),
            auto_decompress=False,  # _read_body() unpacks, and stops where the text grows too large
            proxy=self._proxy,
        )
        # aiohttp would send a GET again by itself when a reused connection dies, past the pacer.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request, is_wanted: Callable[[], bool] = lambda: True) -> Response[Summary]:
        """Ask once, when the pacer lets it. Raises Withdrawn where `is_wanted` says no by then, and Refused."""
        body = post_body(request)
        path = request_key(request) if body is None else "/virus/genome"
        return await self.exchange(path, body, partial(parse_answer, asked=request), LARGEST_BODY, is_wanted)

    async def exchange(
        self,
        path: str,
        body: Mapping[str, Any] | None,
        parse: Callable[[int, bytes], A | Failure],
        largest: int,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Response[A]:
        """GET a path below the base URL that is quoted already, or POST `body` to it as JSON.

        `parse` is given the status and the body of what is no redirect: unpacked, at most `largest` bytes, without
        the key. Raises Refused where going on would be wrong: TLS, or a proxy that does not let us through.
        """
        if self._session is None:
            raise RuntimeError("the client is not open; write: async with DatasetsClient(...) as client")
        phid = f"{self._phid}{next(self._sends):016X}"
        method, url = "GET" if body is None else "POST", URL(self._root + path, encoded=True)
        sent_headers = {**self._headers, "NCBI-PHID": phid}  # the session would tell its own to a proxy, too
        sending = PendingSend(is_wanted, asyncio.timeout(None), self._timeout)
        headers: Mapping[str, str] = {}
        http_status = None
        answer: A | Failure
        try:
            async with self._free, sending.timeout:
                pending_send.set(sending)
                # Redirects are not followed: the header with the key would go along to wherever one leads.
                async with self._session.request(
                    method, url, headers=sent_headers, json=body, allow_redirects=False
                ) as response:
                    http_status, headers = response.status, response.headers
                    if 300 <= http_status < 400:
                        answer = redirect(http_status, self._hide(headers.get("Location", "")))
                    else:
                        text = await _read_body(response, largest)
                        answer = parse(http_status, self._key_in_bytes.sub(b"[key]", text) if self._key else text)
        except BadAnswer as error:
            answer = Failure("failed", "bad_answer", str(error))
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError) as error:
            answer = _network_failure(error, host=self._base.host or "", timeout=self._timeout)
        seconds = asyncio.get_running_loop().time() - sending.since
        sent_at = datetime.fromtimestamp(time.time() - seconds, UTC)
        attempt = Attempt(
            f"{sent_at.isoformat(timespec='milliseconds')[:-6]}Z",
            round(seconds, 3),
            answer.reason if isinstance(answer, Failure) else "answered",
            http_status,
            self._hide(headers.get("NCBI-PHID", ""))[:80] or phid,
        )
        retry_after = seconds_of(headers.get("Retry-After", ""), headers.get("Date", ""))
        shown = {name: self._hide(value) for name, value in headers.items()} if self._key else headers
        return Response(answer, attempt, sending.since, retry_after, _rate_limit(headers), shown)

    def _hide(self, text: str) -> str:
        """Text of the server, fit to be shown: it may have echoed the key."""
        return one_line(self._key_in_text.sub("[key]", text) if self._key else text)


def proxy_of_environment(base_url: URL) -> URL | None:
    """The proxy that the environment names for a server; None for a server on this machine.

    Clusters and hospitals reach NCBI through one. The library could look for itself, but would then also send the
    server what ~/.netrc has for it. UsageError for a proxy of a wrong kind.
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


def _spellings(letter: str) -> str:
    """A pattern for an ASCII letter as a server can send it back: itself, or escaped as JSON and addresses do."""
    itself = letter if letter.isalnum() else rf"\\?{re.escape(letter)}"
    return rf"(?:{itself}|\\u(?i:{ord(letter):04x})|%(?i:{ord(letter):02x}))"


def _rate_limit(headers: Mapping[str, str]) -> float | None:
    """Requests a second; None for what is no plain number above zero."""
    text = headers.get("X-RateLimit-Limit")
    return float(text) or None if text and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else None


def seconds_of(retry_after: str, date: str = "") -> float | None:
    """What a Retry-After header means, in its two forms; None where it means nothing.

    A moment is counted from the `Date` of the same answer: the clocks of two machines differ.
    """
    if not retry_after:
        return None
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", retry_after.strip()):
        return float(retry_after.strip())  # which takes more for a blank than float() does
    if (until := _moment(retry_after)) is None:
        return None
    now = _moment(date)
    return max(0.0, until - (time.time() if now is None else now))


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # RFC 9110 has GMT only; "-0000" and a missing zone leave a moment without one.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


async def _read_body(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """The bytes of an answer, whole and unpacked, at most `largest` of them.

    The library would unpack by itself, but takes a compressed body that was cut off for a whole one, and has no bound
    for what comes out of it: 300 KB of gzip can hold 300 MB.

    Raises BadAnswer and aiohttp.ClientPayloadError. Of a refusal only what can be read: its status says enough.
    """
    body = bytearray()
    try:
        while len(body) <= largest and (chunk := await response.content.readany()):
            body += chunk
        text = bytes(body)
        if len(text) <= largest:
            text = _unpack(text, response.headers.get("Content-Encoding", ""), largest + 1)
        if len(text) > largest:
            raise BadAnswer(f"the body is larger than {largest:,} bytes")
        return text
    except (BadAnswer, aiohttp.ClientPayloadError):
        if response.status == HTTPStatus.OK:
            raise
        return b""


def _unpack(packed: bytes, encoding: str, most: int) -> bytes:
    """The first `most` bytes of what `packed` holds by its Content-Encoding; an end that never came is a BadAnswer."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not packed:
        return packed
    if encoding not in ("gzip", "x-gzip"):
        raise BadAnswer("packed in a way that was not asked for")
    try:
        return gzip.GzipFile(fileobj=BytesIO(packed)).read(most)
    except EOFError:
        raise BadAnswer("the gzip is cut off") from None
    except (gzip.BadGzipFile, zlib.error):
        raise BadAnswer("this is no gzip") from None


def _network_failure(error: Exception, *, host: str, timeout: float) -> Failure:
    """What `error` of an HTTP session means. Raises Refused for TLS that fails, and for a proxy that forbids."""
    match error:  # from the particular to the general: aiohttp's errors inherit from each other and from OSError
        case aiohttp.ConnectionTimeoutError():
            return Failure("failed", "timeout", f"no connection to {host} in time")
        case TimeoutError():
            return Failure("failed", "timeout", f"no whole answer within {timeout:g} s")
        case aiohttp.ClientHttpProxyError():
            if error.status in (403, 407):
                raise Refused(f"the proxy does not let us through to {host} (HTTP {error.status})") from None
            return Failure("failed", "connection", f"the proxy answers HTTP {error.status}")
        case aiohttp.ClientProxyConnectionError():
            return Failure("failed", "connection", f"no connection to the proxy: {cause(error)}")
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch() | ssl.SSLError():
            return _tls_failure(error, host)
        case aiohttp.ClientConnectorDNSError() | UnicodeError():
            return Failure("failed", "connection", f"{host} has no address")
        case aiohttp.ClientConnectorError():
            return Failure("failed", "connection", f"no connection to {host}: {cause(error)}")
        case NotReady():
            return Failure("failed", "connection", "the server speaks or hangs up before it is asked")
        case aiohttp.ServerDisconnectedError():
            return Failure("failed", "connection", "the server closed the connection")
        case aiohttp.ClientPayloadError():
            return Failure("failed", "connection", "the answer broke off, or is packed wrongly")
        case aiohttp.ClientResponseError():
            return Failure("failed", "connection", "the answer is not HTTP")
    return Failure("failed", "connection", cause(error))


def _tls_failure(error: Exception, host: str) -> Failure:
    inner = getattr(error, "os_error", error)
    # A connection that ends while TLS begins is like any other that ends; only what TLS says itself is a refusal.
    if isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failure("failed", "connection", f"{host} closed the connection while TLS began")
    hint = ""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; where your network inspects TLS, let SSL_CERT_FILE name its certificate"
    raise Refused(f"TLS with {host} failed: {cause(error)}{hint}") from None


def cause(error: Exception) -> str:
    """The operating system's word for it, without addresses, headers or requests."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    words = getattr(inner, "verify_message", None) or getattr(inner, "reason", None)
    number = getattr(inner, "errno", None) or 0
    if not words and number > 0:
        words = os.strerror(number)
    return str(words or getattr(inner, "strerror", None) or type(inner).__name__)
