"""Requests a second of the client without a limit: how near to a bare aiohttp loop?

    python -m tests.benchmarks.request_speed [--quick]

The peer is the loop that a script would have: a session, `get` with `params`, `json()`, as many workers, and
nothing kept, checked or paced. The leanest loop (a finished URL, `read()`, nothing parsed) is told beside it, and
httpx and requests where they are installed. All ask the same server, which answers from memory, in turns.
"""

import argparse
import asyncio
import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp

from batchsum.model.filters import FilterSet
from batchsum.model.queries import Request
from batchsum.ncbi.client import DatasetsClient
from batchsum.run.ask import run_requests
from tests.benchmarks.lean_server import lean_server
from tests.benchmarks.measure import Result, in_turns, tell

WORKERS = 64
FILTERS = {"host": "human", "complete_only": "true"}
WHY = (
    "every field is checked, each attempt recorded and timed, and the pacer, the retry budget and the watch for outages"
    " are asked. NCBI allows ten a second; faster is a matter of words saved, not of microseconds"
)


def taxa(count: int) -> Iterator[str]:
    return map(str, range(10_000, 10_000 + count))


async def pool(count: int, fetch: Callable[[Any], Awaitable[Any]], requests: Iterator[Any]) -> float:
    """Requests a second of 64 workers on one iterator."""
    began = time.perf_counter()
    await run_requests(requests, fetch, workers=WORKERS, on_answer=lambda _request, _answer: None)
    return count / (time.perf_counter() - began)


async def ours(base_url: str, count: int) -> float:
    filters = FilterSet(host="human", complete_only=True)
    async with DatasetsClient(base_url, requests_per_second="unlimited", workers=WORKERS) as client:
        return await pool(count, client.ask, (Request(taxon, filters) for taxon in taxa(count)))


async def bare(base_url: str, count: int) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS)) as session:

        async def fetch(taxon: str) -> Any:
            async with session.get(f"{base_url}/virus/taxon/{taxon}/genome", params=FILTERS) as response:
                return await response.json()

        return await pool(count, fetch, taxa(count))


async def leanest(base_url: str, count: int) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS)) as session:

        async def fetch(taxon: str) -> bytes:
            url = f"{base_url}/virus/taxon/{taxon}/genome?host=human&complete_only=true"
            async with session.get(url) as response:
                return await response.read()

        return await pool(count, fetch, taxa(count))


async def with_httpx(base_url: str, count: int) -> float:
    import httpx

    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=WORKERS)) as session:

        async def fetch(taxon: str) -> Any:
            return (await session.get(f"{base_url}/virus/taxon/{taxon}/genome", params=FILTERS)).json()

        return await pool(count, fetch, taxa(count))


async def with_requests(base_url: str, count: int) -> float:
    import requests

    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=WORKERS))

    def fetch(taxon: str) -> Any:
        return session.get(f"{base_url}/virus/taxon/{taxon}/genome", params=FILTERS, timeout=60).json()

    def ask_all() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as threads:
            answered = sum(1 for _ in threads.map(fetch, taxa(count)))
        return answered / (time.perf_counter() - began)

    try:
        return await asyncio.to_thread(ask_all)
    finally:
        session.close()


async def slow_peer(name: str, measure: Callable[[str, int], Awaitable[float]], base_url: str) -> str:
    if importlib.util.find_spec(name) is None:
        return f"{name} is not installed here"
    (rate,) = await in_turns(3, lambda: measure(base_url, 600))
    return f"{name} {rate:,.0f}/s"


async def measure(count: int, turns: int) -> Result:
    with lean_server() as base_url:
        rates = await in_turns(turns, *(lambda one=one: one(base_url, count) for one in (ours, bare, leanest)))
        others = [
            await slow_peer("httpx", with_httpx, base_url),
            await slow_peer("requests", with_requests, base_url),
        ]
    client, loop, least = rates
    figures = (
        f"client {client:,.0f}/s, bare aiohttp loop {loop:,.0f}/s, leanest one {least:,.0f}/s, {', '.join(others)}"
    )
    return Result("requests alone against a bare aiohttp loop", client / loop, 0.9, figures, why=WHY)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    quick = parser.parse_args().quick
    return tell(asyncio.run(measure(2_000 if quick else 10_000, 3 if quick else 5)))


if __name__ == "__main__":
    sys.exit(main())
