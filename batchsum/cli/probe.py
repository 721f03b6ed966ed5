"""Questions to a server, asked one after the other, and what came back: headers and bodies without secrets.

No secret is kept: cookies are dropped, the key is replaced, and bodies of refusals, which can echo the key or
the address, are left out.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from batchsum.errors import Refused
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.proxy import proxy_of_environment
from batchsum.version import __version__

LARGEST_BODY = 64 * 1024
"""Bytes of a body that are kept."""
LONGEST_HOLD = 60.0
SECONDS_EACH = 60.0
MOST_SILENT = 3
"""Questions without an answer, one after the other, after which no more are asked."""
_DROPPED_HEADERS = frozenset({"set-cookie", "cookie", "api-key", "authorization", "proxy-authorization"})
_WITHOUT_BODY = frozenset({401, 403, 429})
_REFUSALS = frozenset({301, 302, 303, 307, 308, 401, 403})
_MERS = "1335626"


@dataclass(frozen=True, slots=True)
class Question:
    """One request as it is sent, spelled by hand: the client never sends some of these forms."""

    name: str
    settles: str
    path: str
    """Path and query below the base URL."""
    body: dict[str, Any] | None = None
    """Of a POST; None for a GET."""

    def __str__(self) -> str:
        return f"POST {self.path} {json.dumps(self.body)}" if self.body else f"GET {self.path}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back, without secrets."""

    name: str
    request: str
    status: int | None
    """None where no answer came."""
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    """At most LARGEST_BODY bytes of it; empty where `left_out` says why."""
    left_out: str = ""
    problem: str = ""
    """Why there is no answer."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


def questions(today: date) -> tuple[Question, ...]:
    def summary(name: str, settles: str, taxon: str, *query: str) -> Question:
        path = f"/virus/taxon/{quote(taxon, safe='')}/genome"
        return Question(name, settles, f"{path}?{'&'.join(query)}" if query else path)

    since = "released_since=2025-01-15T00:00:00"
    return (
        summary("known", "what an answer looks like, and its headers", "2697049"),
        summary(
            "zero", "how zero is sent", "12216", "refseq_only=true", f"released_since={today.isoformat()}T00:00:00Z"
        ),
        summary("date_rfc3339", "whether an RFC 3339 date is taken", _MERS, f"{since}Z"),
        summary("date_plain", "whether a plain date is taken", _MERS, "released_since=2025-01-15"),
        summary("date_generated", "whether the generated client's date is taken", _MERS, f"{since}.000000%2B0000"),
        summary("slash", "whether %2F in a name reaches the taxon", "Lake trout rhabdovirus 903/87"),
        Question(
            "post",
            "whether POST counts as GET does",
            "/virus/genome",
            {"taxon": _MERS, "released_since": "2025-01-15T00:00:00Z"},
        ),
        summary("unknown_taxon", "how an unknown name is refused", "Batchsum virus of no taxonomy"),
        summary("unknown_id", "how an unknown id is refused", "2147483000"),
        summary("ambiguous", "how a name of two taxa is refused", "Mus"),
        summary("biosample_report", "whether the enum's value is taken", _MERS, "aux_report=BIOSAMPLE_REPORT"),
        summary("biosample", "whether the published example's value is taken", _MERS, "aux_report=BIOSAMPLE"),
        summary("lists", "whether lists go as repeated keys", _MERS, "include_sequence=GENOME", "include_sequence=CDS"),
    )


async def ask_all(
    base_url: str, api_key: str | None, asked: Sequence[Question], on_seen: Callable[[Seen], None]
) -> None:
    """Ask one after the other, at the same pace as a run, and hand over each answer.

    Raises Refused where the server does not want us: going on would make it worse.
    """
    pacer = Pacer.for_server(base_url, api_key)
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": f"batchsum/{__version__} (probe)",
            "Accept": "application/json",
        },
        timeout=aiohttp.ClientTimeout(total=SECONDS_EACH),
        proxy=proxy_of_environment(URL(base_url)),
    )
    session._retry_connection = False
    silent = 0
    async with session:
        for question in asked:
            seen = await _ask(session, pacer, base_url, api_key, question)
            if seen.status == 429:
                # Not provoked: somebody else uses the limit. Once more, when the server says so.
                on_seen(seen)
                pacer.hold(min(_number(seen.header("Retry-After")) or 5.0, LONGEST_HOLD))
                seen = await _ask(session, pacer, base_url, api_key, question)
            on_seen(seen)
            if seen.status in _REFUSALS:
                raise Refused(
                    f"the server refuses the question {question.name!r}: HTTP {seen.status}; nothing more is asked"
                )
            silent = silent + 1 if seen.status is None else 0
            if silent == MOST_SILENT:
                return


async def _ask(
    session: aiohttp.ClientSession, pacer: Pacer, base_url: str, api_key: str | None, question: Question
) -> Seen:
    ticket = await pacer.slot()
    began = time.monotonic()
    url = URL(base_url.rstrip("/") + question.path, encoded=True)
    method = "GET" if question.body is None else "POST"
    key = {"api-key": api_key} if api_key else {}  # not the session's: a proxy would be told it too
    pacer.sent(ticket)
    try:
        async with session.request(method, url, json=question.body, headers=key, allow_redirects=False) as response:
            body = await _head(response)
            status, headers = response.status, response.headers
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return Seen(question.name, str(question), None, _since(began), problem=type(error).__name__)
    if limit := _number(headers.get("X-RateLimit-Limit")):
        pacer.limit(limit)
    kept = {name: _clean(value, api_key) for name, value in headers.items() if name.lower() not in _DROPPED_HEADERS}
    left_out = "refusals can echo the key or the address" if status in _WITHOUT_BODY else ""
    text = "" if left_out else _clean(body.decode(errors="replace"), api_key)
    return Seen(question.name, str(question), status, _since(began), kept, text, left_out)


async def _head(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_chunked(2**14):
        body += chunk
        if len(body) >= LARGEST_BODY:
            return body[:LARGEST_BODY]
    return body


def _clean(text: str, api_key: str | None) -> str:
    return text.replace(api_key, "[key]") if api_key else text


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e6 else None


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
