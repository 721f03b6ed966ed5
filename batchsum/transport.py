"""One send over HTTP: the only file that knows the HTTP library, its traps and its errors.

An error of the library ends here: as a Failure, or as Refused where the server refuses us (key, TLS, redirect).
"""

import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, Self

import aiohttp
from yarl import URL

from batchsum import __version__
from batchsum.answer import one_line, parse_answer
from batchsum.errors import Refused
from batchsum.model import Answer, Attempt, Failure, Request
from batchsum.wire import post_body, request_key

LARGEST_BODY = 4 * 2**20
"""Bytes after decompression; a download summary has about two thousand."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One attempt, and what the server said about our pace."""

    answer: Answer
    attempt: Attempt
    retry_after: float | None = None
    rate_limit: float | None = None


class _TooLarge(ValueError):
    pass


class Transport:
    """An HTTP session for one base URL. The key goes to that host only, and only in its header."""

    def __init__(
        self, base_url: str, *, api_key: str | None, contact: str | None, timeout: float, connections: int
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = api_key
        self._timeout = timeout
        self._connections = connections
        self._headers = {
            "User-Agent": f"batchsum/{__version__}" + (f" ({contact})" if contact else ""),
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        if api_key:
            self._headers["api-key"] = api_key

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_tell_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=15),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(self._timeout, 20)),
            trace_configs=[tracing],
            # Clusters and hospitals reach NCBI through a proxy; a server on this machine is never behind one.
            trust_env=not _is_loopback(self._base_url),
        )
        # aiohttp would send a GET again by itself when a reused connection dies, past the pacer.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, request: Request, *, on_sent: Callable[[], None] = lambda: None) -> Exchange:
        """Ask once. `on_sent` is called when the request's headers leave this machine.

        Raises Refused where going on would be wrong: key not accepted, TLS, redirect.
        """
        phid = secrets.token_hex(16).upper()
        sent_at, start = datetime.now(UTC), time.monotonic()
        headers: Mapping[str, str] = {}
        http_status = None
        try:
            async with self._open(request, phid, on_sent) as response:
                http_status, headers = response.status, response.headers
                self._refuse(http_status, headers)
                answer = parse_answer(http_status, self._redact(await _read(response)))
        except _TooLarge:
            answer = Failure("failed", "bad_answer", f"the body is larger than {LARGEST_BODY:,} bytes")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            answer = self._map_error(error)
        return Exchange(
            answer,
            Attempt(
                sent_at=sent_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                seconds=round(time.monotonic() - start, 3),
                outcome=answer.reason if isinstance(answer, Failure) else "answered",
                http_status=http_status,
                phid=one_line(headers.get("NCBI-PHID", ""))[:80] or phid,
            ),
            retry_after=_seconds(headers.get("Retry-After")),
            rate_limit=_number(headers.get("X-RateLimit-Limit")),
        )

    def _open(self, request: Request, phid: str, on_sent: Callable[[], None]) -> Any:
        # max_redirects does not matter: a redirect is never followed, since custom headers would go along.
        options: dict[str, Any] = {
            "allow_redirects": False,
            "headers": {"NCBI-PHID": phid},
            "trace_request_ctx": on_sent,
        }
        body = post_body(request)
        if body is not None:
            return self._session.post(f"{self._base_url}/virus/genome", json=body, **options)
        return self._session.get(URL(self._base_url + request_key(request), encoded=True), **options)

    def _refuse(self, http_status: int, headers: Mapping[str, str]) -> None:
        if 300 <= http_status < 400:
            target = one_line(self._redact_text(headers.get("Location", "elsewhere")))
            raise Refused(f"the server redirects to {target} (HTTP {http_status}); set that address as base_url")
        if http_status == 401 or (http_status == 403 and self._key):
            raise Refused(f"the server does not accept the API key (HTTP {http_status}); look at the key file")
        if http_status == 403:
            raise Refused("the server refuses this machine (HTTP 403): its address may be blocked at NCBI")

    def _redact(self, body: bytes) -> bytes:
        return body.replace(self._key.encode(), b"[key]") if self._key else body

    def _redact_text(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _map_error(self, error: Exception) -> Failure:
        """Every error that the session can raise; their texts can hold the key and are not repeated."""
        match error:
            case TimeoutError():
                return Failure("failed", "timeout", f"no whole answer within {self._timeout:g} s")
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
                raise Refused(f"TLS with {URL(self._base_url).host} failed: {_cause(error)}") from None
            case aiohttp.ClientConnectorDNSError():
                return Failure("failed", "connection", f"{URL(self._base_url).host} has no address")
            case aiohttp.ClientConnectorError():
                return Failure("failed", "connection", f"no connection: {_cause(error)}")
            case aiohttp.ServerDisconnectedError():
                return Failure("failed", "connection", "the server closed the connection")
            case aiohttp.ClientPayloadError():
                return Failure("failed", "connection", "the answer broke off")
            case aiohttp.ClientResponseError():
                return Failure("failed", "connection", "the answer is not HTTP")
        return Failure("failed", "connection", _cause(error))


async def _tell_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    context.trace_request_ctx()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, but never more than LARGEST_BODY: a few bytes of gzip can hold hundreds of megabytes."""
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(2**16):
        size += len(chunk)
        if size > LARGEST_BODY:
            raise _TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def _cause(error: BaseException) -> str:
    """The operating system's word for it, without addresses, headers or requests."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    words = getattr(inner, "verify_message", None) or getattr(inner, "strerror", None) or type(inner).__name__
    return one_line(str(words))


def _is_loopback(base_url: str) -> bool:
    host = URL(base_url).host or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e6 else None


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in its two forms: seconds, or a date."""
    if retry_after is None:
        return None
    if (seconds := _number(retry_after)) is not None:
        return seconds
    try:
        wait = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(0.0, wait)
