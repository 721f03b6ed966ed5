"""A whole `batchsum run` without a limit, journal, verdicts and table included: how near to a bare aiohttp pool?

    python -m tests.benchmarks.whole_run [--quick]

Both are fresh processes that read the same list of taxa and ask the same server for each, and both are timed from
start to end. The peer parses what it gets and forgets it. The run is the second night of its job: it looks up
what the first one left.
"""

import argparse
import asyncio
import csv
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from batchsum.run.ask import run_requests
from tests.benchmarks.lean_server import lean_server
from tests.benchmarks.measure import Result, medians, run_process, tell
from tests.benchmarks.request_speed import WORKERS

WHY = (
    "each row is judged by its past and its neighbours, kept, written and drawn besides; at the rate that NCBI allows"
    " that is less than a hundredth of the night"
)


def write_list(path: Path, rows: int, *, distinct: int | None = None) -> None:
    """A list of `rows` taxa with two filters, of which `distinct` are different."""
    with path.open("w", newline="") as stream:
        stream.write("taxon,host,complete_only\n")
        stream.writelines(f"{10_000 + number % (distinct or rows)},human,true\n" for number in range(rows))


async def ask_bare(base_url: str, path: Path) -> None:
    """The peer."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS)) as session:

        async def fetch(row: dict[str, str]) -> Any:
            filters = {"host": row["host"], "complete_only": row["complete_only"]}
            async with session.get(f"{base_url}/virus/taxon/{row['taxon']}/genome", params=filters) as response:
                return await response.json()

        await run_requests(rows, fetch, workers=WORKERS, on_answer=lambda _row, _answer: None)


def night(base_url: str, job: Path, out: Path) -> list[str]:
    """The command line of one night."""
    return ["-m", "batchsum", "run", str(job), "--base-url", base_url, "--rps", "unlimited", "--out", str(out)]


def measure(rows: int, turns: int) -> Result:
    with lean_server() as base_url, tempfile.TemporaryDirectory() as directory:
        job = Path(directory, "taxa.csv")
        write_list(job, rows)
        run = night(base_url, job, Path(directory, "out"))
        night_before = date.today() - timedelta(days=1)  # noqa: DTZ011  a night is a local day
        first = run_process(run, BATCHSUM_TODAY=night_before.isoformat()).seconds
        peer = ["-m", "tests.benchmarks.whole_run", "--bare", base_url, str(job)]
        ours, bare = medians(turns, lambda: run_process(run).seconds, lambda: run_process(peer).seconds)
    figures = (
        f"{rows:,} requests: run {rows / ours:,.0f}/s, bare aiohttp pool {rows / bare:,.0f}/s"
        f" (first night {rows / first:,.0f}/s)"
    )
    return Result("whole run against a bare aiohttp pool", bare / ours, 0.4, figures, why=WHY)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--bare", nargs=2, metavar=("URL", "LIST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        asyncio.run(ask_bare(options.bare[0], Path(options.bare[1])))
        return 0
    return tell(measure(10_000 if options.quick else 50_000, 3 if options.quick else 5))


if __name__ == "__main__":
    sys.exit(main())
