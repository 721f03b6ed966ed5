"""How long does anything block the event loop of a night?

    python -m tests.benchmarks.loop_delay [--quick]

A night at 200 requests a second, in this process, with a ticker beside it in the same loop: each tick should come
a millisecond after the last, and what it comes later, something held the loop (commits, verdicts, other programs).
The peer is the same ticker beside a bare aiohttp pool with the same pauses. Told is the delay that one of a
thousand ticks exceeds, over that of the peer and five milliseconds more; the longest of all is beside it, and is
often the machine's.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp

from batchsum.config.load import load_job
from batchsum.run.ask import Fetcher, run_requests
from batchsum.run.night import run_job
from tests.benchmarks.lean_server import lean_server
from tests.benchmarks.measure import Result, tell
from tests.benchmarks.whole_run import write_list

RATE = 200
TICK = 0.001
WHY = "other programs on the machine: run it again when nothing else runs"


async def tick(delays: list[float]) -> None:
    """Note by how much each tick is late, until cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + TICK
        await asyncio.sleep(TICK)
        delays.append(clock() - due)


def night(base_url: str, rows: int) -> list[float]:
    delays: list[float] = []
    tickers = []

    def watch(_fetcher: Fetcher) -> None:
        tickers.append(asyncio.get_running_loop().create_task(tick(delays)))

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "taxa.csv")
        write_list(path, rows)
        path.with_suffix(".yaml").write_text(
            f"version: 1\nname: ticks\ntaxa_files: [taxa.csv]\napi: {{requests_per_second: {RATE}}}\n"
        )
        run_job(load_job(path.with_suffix(".yaml")), base_url=base_url, today=date(2026, 1, 15), on_asking=watch)
    return delays


async def bare(base_url: str, rows: int) -> list[float]:
    delays: list[float] = []
    async with aiohttp.ClientSession() as session:
        ticker = asyncio.create_task(tick(delays))

        async def fetch(taxon: int) -> Any:
            async with session.get(f"{base_url}/virus/taxon/{taxon}/genome") as response:
                answer = await response.json()
            await asyncio.sleep(8 / RATE)
            return answer

        await run_requests(range(rows), fetch, workers=8, on_answer=lambda _taxon, _answer: None)
        ticker.cancel()
    return delays


def exceeded_once_in_a_thousand(delays: list[float]) -> float:
    """Milliseconds."""
    return 1000 * sorted(delays)[int(len(delays) * 0.999)]


def measure(rows: int) -> Result:
    gc.freeze()  # as the command does
    with lean_server() as base_url:
        ours, peer = night(base_url, rows), asyncio.run(bare(base_url, rows))
    late, bare_late = exceeded_once_in_a_thousand(ours), exceeded_once_in_a_thousand(peer)
    figures = (
        f"night {late:.1f} ms, longest {1000 * max(ours):.1f} ms;"
        f" bare aiohttp pool {bare_late:.1f} ms, longest {1000 * max(peer):.1f} ms; {len(ours):,} ticks at {RATE}/s"
    )
    return Result(
        "delay of the event loop, one tick in a thousand", late / (bare_late + 5), 1, figures, at_most=True, why=WHY
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="ten seconds")
    quick = parser.parse_args().quick
    return tell(measure(1_000 if quick else 6_000))


if __name__ == "__main__":
    sys.exit(main())
