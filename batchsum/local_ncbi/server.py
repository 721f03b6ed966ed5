"""The embedded server on a socket: limits, faults and headers around what the gateway answers.

Every answer carries `NCBI-PHID`, `X-Datasets-Version` and, while there is a limit, `X-RateLimit-Limit` and
`X-RateLimit-Remaining`. An error is JSON in the form of `rpcStatus`; its content type is `application/json`
for a client that accepts that, and else `text/plain`, as the specification has it.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from batchsum.local_ncbi.catalogue import Catalogue, open_catalogue
from batchsum.local_ncbi.exchange import AccessLog, Exchange
from batchsum.local_ncbi.faults import Fault, FaultPlan, parse_fault
from batchsum.local_ncbi.gateway import PREFIX, Gateway
from batchsum.local_ncbi.holdings import open_holdings
from batchsum.local_ncbi.latency import Latency, parse_latency
from batchsum.local_ncbi.limits import RateLimit
from batchsum.local_ncbi.records import FIRST_DAY, LAST_DAY

log = logging.getLogger(__name__)

# What a client sent that is no HTTP is answered with a 400; it is not worth a traceback here.
_NOT_HTTP = (HttpProcessingError, web.RequestPayloadError)
_http_log = logging.getLogger("batchsum.local_ncbi.http")
_http_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _NOT_HTTP)))

Rate = float | Literal["ncbi"] | None
Zero = Literal["count", "omit"]


def _checked_day(as_of: date | None) -> date:
    day = as_of or datetime.now(UTC).date()
    if as_of is not None and not FIRST_DAY <= as_of <= LAST_DAY:
        raise ValueError(f"as-of {as_of}: the catalogue answers from {FIRST_DAY} to {LAST_DAY}")
    return min(day, LAST_DAY)


def _open(catalogue: Sequence[Path], day: date) -> Catalogue:
    if not catalogue:
        return open_catalogue(day.year)
    own, holdings = open_holdings(catalogue)
    for problem in holdings.problems:
        log.warning("%s", problem)
    if holdings.bad_lines:
        log.warning(
            "%d lines of the catalogue could not be used; %d records are served",
            holdings.bad_lines,
            len(holdings.records),
        )
    return own


@asynccontextmanager
async def running(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    requests_per_second: Rate = "ncbi",
    latency: str | Latency | None = None,
    as_of: date | None = None,
    faults: Sequence[str | Fault] = (),
    catalogue: Sequence[Path] = (),
    zero: Zero = "count",
    access_log: AccessLog | None = None,
) -> AsyncIterator[str]:
    """Serve inside the block; gives the base URL, `http://HOST:PORT/datasets/v2`.

    requests_per_second: a number for everybody, "ncbi" (5 without, 10 with a key), or None for no limit and no header.
    latency, faults: as on the command line (`parse_latency`, `parse_fault`), or already parsed.
    as_of: the day of the answers, today (UTC) if None. catalogue: files of records to serve instead of the package's.
    zero: nothing found is told as `record_count: 0` ("count") or by leaving the count out ("omit").
    access_log: called with one line an answer; it never holds a key.

    Raises ValueError for a bad option, with a message to show, and OSError if the address cannot be had.
    """
    day = _checked_day(as_of)
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port}: write a number from 0 to 65535")
    plan = FaultPlan([parse_fault(fault) if isinstance(fault, str) else fault for fault in faults])
    delay = parse_latency(latency) if isinstance(latency, str) else latency or Latency()
    limit = RateLimit(requests_per_second)
    known = await asyncio.to_thread(_open, catalogue, day)
    gateway = Gateway(known, day, "", zero)
    exchange = Exchange(gateway, limit, plan, delay, access_log)
    with closing(known):
        async with _listening(exchange, host, port) as taken:
            name = f"[{host}]" if ":" in host else host
            gateway.base_url = f"http://{name}:{taken}{PREFIX}"
            yield gateway.base_url


@asynccontextmanager
async def _listening(exchange: Exchange, host: str, port: int) -> AsyncIterator[int]:
    """Listen inside the block; gives the port taken."""
    # A client that hangs up ends the delay or the drip that was meant for it.
    runner = web.ServerRunner(
        web.Server(exchange.answer, access_log=None, handler_cancellation=True, logger=_http_log),
        shutdown_timeout=0.5,
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port, backlog=1024).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def serve(**options: Any) -> None:
    """Serve in the foreground until SIGTERM or SIGINT; takes what `running` takes.

    Prints one line of JSON on stdout once it listens: `{"base_url": "http://127.0.0.1:8765/datasets/v2"}`.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in signal.SIGTERM, signal.SIGINT:
        loop.add_signal_handler(number, stopped.set)
    async with running(**options) as base_url:
        sys.stdout.write(json.dumps({"base_url": base_url}) + "\n")
        sys.stdout.flush()
        await stopped.wait()
