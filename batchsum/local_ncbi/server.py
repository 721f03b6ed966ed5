"""The embedded server on a socket: limits, faults and headers around what the gateway answers.

Every answer carries `NCBI-PHID`, `X-Datasets-Version` and, while there is a limit, `X-RateLimit-Limit` and
`X-RateLimit-Remaining`. An error is JSON in the form of `rpcStatus`; its content type is `application/json` for a
client that accepts that, and else `text/plain`, as the specification has it.
"""

import asyncio
import json
import logging
import re
import secrets
import signal
import sys
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from batchsum.local_ncbi.catalogue import Catalogue, open_catalogue
from batchsum.local_ncbi.data_report import open_reports
from batchsum.local_ncbi.faults import HEALTHY, Effects, FaultPlan, duration_seconds, miscount, parse_fault, respond
from batchsum.local_ncbi.gateway import PREFIX, VERSION, names_in, read_request
from batchsum.local_ncbi.question import RESOURCE_EXHAUSTED, Refusal
from batchsum.local_ncbi.records import FIRST_DAY, LAST_DAY
from batchsum.local_ncbi.summary import last_update

log = logging.getLogger(__name__)

# What a client sent that is no HTTP is answered with a 400; it is not worth a traceback here.
_NOT_HTTP = (HttpProcessingError, web.RequestPayloadError)
_http_log = logging.getLogger("batchsum.local_ncbi.http")
_http_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _NOT_HTTP)))

MOST_BODY_BYTES = 8_000_000
NCBI_WITHOUT_KEY, NCBI_WITH_KEY = 5, 10
"""Requests a second."""
_PHID = re.compile(r"[0-9A-Za-z._-]{1,100}")


async def serve_forever(**options: Any) -> None:
    """Serve in the foreground until SIGTERM or SIGINT; takes what `running` takes.

    Prints one line of JSON on stdout once it listens: `{"base_url": "http://127.0.0.1:8765/datasets/v2"}`.
    """
    # A signal ends the block below instead of the process, so that the socket and the catalogue are closed.
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in signal.SIGTERM, signal.SIGINT:
        loop.add_signal_handler(number, stopped.set)
    async with running(**options) as base_url:
        sys.stdout.write(json.dumps({"base_url": base_url}) + "\n")
        sys.stdout.flush()
        await stopped.wait()


@asynccontextmanager
async def running(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    requests_per_second: float | Literal["ncbi"] | None = "ncbi",
    latency: str | None = None,
    as_of: date | None = None,
    faults: Sequence[str] = (),
    catalogue: Sequence[Path] = (),
) -> AsyncIterator[str]:
    """Serve inside the block; gives the base URL, `http://HOST:PORT/datasets/v2`.

    requests_per_second: a number for everybody, "ncbi" (5 without, 10 with a key), or None for no limit and no header.
    latency, faults: as on the command line: `200ms` (`duration_seconds`), and what `parse_fault` takes.
    as_of: the day of the answers; if None, the last one whose update is out (`last_update`).
    catalogue: files of records to serve instead of the package's.

    Raises ValueError for a bad option, with a message to show, and OSError if the address cannot be had.
    """
    if as_of is not None and not FIRST_DAY <= as_of <= LAST_DAY:
        raise ValueError(f"as-of {as_of}: the catalogue answers from {FIRST_DAY} to {LAST_DAY}")
    day = as_of or min(last_update(datetime.now(UTC)), LAST_DAY)
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port}: write a number from 0 to 65535")
    plan = FaultPlan([parse_fault(spec) for spec in faults])
    delay = 0.0 if latency is None else duration_seconds(latency)
    limit = RateLimit(requests_per_second)
    # Reading somebody's own records can take a minute; the loop stays free for what else its owner does.
    opened = asyncio.to_thread(open_reports, catalogue) if catalogue else asyncio.to_thread(open_catalogue, day.year)
    with closing(await opened) as known:
        responder = Responder(known, day, limit, plan, delay)
        # A client that hangs up ends the delay or the drip that was meant for it.
        server = web.Server(responder.answer, access_log=None, handler_cancellation=True, logger=_http_log)
        runner = web.ServerRunner(server, shutdown_timeout=0.5)
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port, backlog=1024).start()
            name = f"[{host}]" if ":" in host else host
            known.base_url = f"http://{name}:{runner.addresses[0][1]}{PREFIX}"
            yield known.base_url
        finally:
            await runner.cleanup()


class Allowance(NamedTuple):
    """What one request was granted: the limit in force, what is left of it now, and whether it may pass."""

    limit: int
    remaining: int
    granted: bool


class RateLimit:
    """A sliding window of one second for each key, or each address without one; who is refused is not counted.

    `per_second` is a number for everybody, "ncbi" for 5 without and 10 with a key, or None for no limit.
    """

    def __init__(self, per_second: float | Literal["ncbi"] | None) -> None:
        if per_second not in (None, "ncbi") and not float(per_second) > 0:
            raise ValueError(f"requests per second must be above zero, not {per_second}")
        self._per_second = per_second
        self._sent: defaultdict[str, deque[float]] = defaultdict(deque)

    def ask(self, asker: str, *, has_key: bool, now: float) -> Allowance | None:
        """Count one request at `now` (seconds of any steady clock); None where there is no limit."""
        if self._per_second is None:
            return None
        per_second = self._per_second
        if per_second == "ncbi":
            per_second = NCBI_WITH_KEY if has_key else NCBI_WITHOUT_KEY
        # Below one a second the window grows instead: 0.5 is one in two seconds.
        limit, window = max(1, int(per_second)), 1 / min(1, per_second)
        sent = self._sent[asker]
        while sent and now - sent[0] >= window:
            sent.popleft()
        if len(sent) >= limit:
            return Allowance(limit, 0, granted=False)
        sent.append(now)
        return Allowance(limit, limit - len(sent), granted=True)


@dataclass(slots=True)
class Responder:
    """What stands between the socket and the gateway. `answer` is called for every request."""

    catalogue: Catalogue
    as_of: date
    limit: RateLimit
    plan: FaultPlan
    latency: float

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        # Counted before anything is read: a request that is too much costs the server nothing more.
        key = request.headers.get("api-key") or request.query.get("api_key")
        allowance = self.limit.ask(key or f"address {request.remote}", has_key=bool(key), now=now)
        headers = _headers(request, allowance)
        if allowance is not None and not allowance.granted:
            document, status, effects = self._too_many(key or str(request.remote), allowance, headers), 429, HEALTHY
        else:
            document, status, effects = await self._answer(request, now)
            await asyncio.sleep(self.latency + effects.delay)
        body, headers["Content-Type"] = _encoded(document, status, request.headers.get("Accept", ""))
        return await respond(request, effects, status, body, headers)

    async def _answer(self, request: web.BaseRequest, now: float) -> tuple[dict[str, Any], int, Effects]:
        """The document, its HTTP status, and what is to happen to it."""
        effects = HEALTHY
        try:
            content = await _read_body(request) if request.method == "POST" else b""
            question = f"{request.method} {request.raw_path} {content!r}"
            try:
                route, values = read_request(self.catalogue, request.method, request.raw_path, content)
            except Refusal:
                # Not even a question; a fault without conditions hits it all the same, as an outage would.
                effects = self.plan.effects(question, "", set(), now)
                raise
            # A fault may name the taxon in another way than the question does.
            effects = self.plan.effects(question, route.endpoint, names_in(self.catalogue, values), now)
            day = self.as_of - timedelta(seconds=effects.stale)
            document = route.answer(self.catalogue, values, day.isoformat())
        except Refusal as refusal:
            return refusal.document, refusal.status, effects
        miscount(document, effects)
        return document, 200, effects

    def _too_many(self, asker: str, allowance: Allowance, headers: dict[str, str]) -> dict[str, Any]:
        """In NCBI's words, which repeat the key or the address of the asker."""
        if self.plan.retry_after is not None:
            headers["Retry-After"] = str(self.plan.retry_after)
        words, limit = "API rate limit exceeded", allowance.limit
        document = {"error": words, "api-key": asker, "count": str(limit + 1), "limit": str(limit)}
        return {**document, "code": RESOURCE_EXHAUSTED, "message": words}


def _encoded(document: dict[str, Any], status: int, accept: str) -> tuple[bytes, str]:
    """A document and its content type."""
    encode = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    # NCBI's program asks for records as lines of JSON; its Python client takes one document.
    if "application/x-ndjson" in accept and "application/json" not in accept and "total_count" in document:
        return "".join(f"{encode(report)}\n" for report in document.get("reports", ())).encode(), "application/x-ndjson"
    is_json = status == 200 or "json" in accept
    return encode(document).encode(), "application/json" if is_json else "text/plain; charset=utf-8"


def _headers(request: web.BaseRequest, allowance: Allowance | None) -> dict[str, str]:
    sent = request.headers.get("NCBI-PHID", "")
    # The identifier of a call is the caller's, with the hops it took.
    phid = sent if _PHID.fullmatch(sent) else secrets.token_hex(16).upper()
    headers = {"NCBI-PHID": f"{phid}.1.1.m_1", "X-Datasets-Version": VERSION}
    if allowance is not None:
        headers["X-RateLimit-Limit"] = str(allowance.limit)
        headers["X-RateLimit-Remaining"] = str(allowance.remaining)
    return headers


async def _read_body(request: web.BaseRequest) -> bytes:
    try:
        await request.content.readexactly(MOST_BODY_BYTES + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    except (web.RequestPayloadError, HttpProcessingError):
        raise Refusal("the body is not encoded as its headers say") from None
    raise Refusal(f"the body is larger than {MOST_BODY_BYTES} bytes", 413)
