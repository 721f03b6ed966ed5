"""Peak memory of a whole `batchsum run`, of 10,000, 100,000 and 1,000,000 queries.

    python -m tests.benchmarks.memory [--quick] [--million]

A fresh process each, measured by the system (ru_maxrss). What a query costs is told from the difference of two
sizes, less what reading and planning alone need for the same list. A million rows share ten thousand requests,
so that half a minute shows what rows cost; with `--million` each has its own, which takes some minutes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.lean_server import lean_server
from tests.benchmarks.measure import Finished, Result, run_process, tell
from tests.benchmarks.whole_run import night, write_list

PLAN = """
import sys
import batchsum.run
from datetime import date
from batchsum.jobfile import load_job
from batchsum.plan import build_plan
plan = build_plan(load_job(sys.argv[1]), date(2026, 1, 15))
"""
SMALL, LARGE, MILLION = 10_000, 100_000, 1_000_000
WHY = ""


def run_and_plan(base_url: str, rows: int, distinct: int | None = None) -> tuple[Finished, Finished]:
    """A whole night, and reading and planning alone."""
    with tempfile.TemporaryDirectory() as directory:
        job = Path(directory, "taxa.csv")
        write_list(job, rows, distinct=distinct)
        return run_process(night(base_url, job, Path(directory, "out"))), run_process(["-c", PLAN, str(job)])


def bytes_a_query(base_url: str) -> Result:
    (small, small_plan), (large, large_plan) = (run_and_plan(base_url, rows) for rows in (SMALL, LARGE))
    by_plan = (large_plan.peak_mb - small_plan.peak_mb) * 2**20 / (LARGE - SMALL)
    by_run = (large.peak_mb - small.peak_mb) * 2**20 / (LARGE - SMALL)
    figures = (
        f"bytes; {SMALL:,} queries {small.peak_mb:.0f} MB, {LARGE:,} {large.peak_mb:.0f} MB:"
        f" {by_run:.0f} bytes a query, {by_plan:.0f} of them the plan's own"
    )
    return Result("memory a queued query beyond the plan", by_run - by_plan, 100, figures, at_most=True, why=WHY)


def million(base_url: str, distinct: int, what: str) -> Result:
    run, plan = run_and_plan(base_url, MILLION, distinct)
    figures = f"of 300 MB: {run.peak_mb:.0f} MB in {run.seconds:.0f} s; plan alone {plan.peak_mb:.0f} MB"
    return Result(f"memory of a million queries, {what}", run.peak_mb / 300, 1, figures, at_most=True, why=WHY)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="without the million")
    parser.add_argument("--million", action="store_true", help="a million requests too: some minutes")
    options = parser.parse_args()
    with lean_server() as base_url:
        results = [bytes_a_query(base_url)]
        if not options.quick:
            results.append(million(base_url, SMALL, "10,000 requests shared"))
        if options.million:
            results.append(million(base_url, MILLION, "a request each"))
    return tell(*results)


if __name__ == "__main__":
    sys.exit(main())
