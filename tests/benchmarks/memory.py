"""Peak memory of a whole `batchsum run`, of 100,000 and of 1,000,000 queries.

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
from batchsum.config.load import load_job
from batchsum.run.plan import Plan
plan = Plan(load_job(sys.argv[1]), date(2026, 1, 15))
"""


def run_and_plan(base_url: str, rows: int, distinct: int | None = None) -> tuple[Finished, Finished]:
    """A whole night, and reading and planning alone."""
    with tempfile.TemporaryDirectory() as directory:
        job = Path(directory, "taxa.csv")
        write_list(job, rows, distinct=distinct)
        return run_process(night(base_url, job, Path(directory, "out"))), run_process(["-c", PLAN, str(job)])


def measure(base_url: str, large: int, distinct: int, what: str) -> list[Result]:
    """`large` queries against a tenth of them: what lies between is theirs."""
    small = large // 10
    (few, few_plan), (many, plan) = (run_and_plan(base_url, rows, min(rows, distinct)) for rows in (small, large))
    by_run = (many.peak_mb - few.peak_mb) * 2**20 / (large - small)
    by_plan = (plan.peak_mb - few_plan.peak_mb) * 2**20 / (large - small)
    figures = (
        f"bytes; {small:,} queries {few.peak_mb:.0f} MB, {large:,} {many.peak_mb:.0f} MB:"
        f" {by_run:.0f} bytes a query, {by_plan:.0f} of them the plan's own"
    )
    whole = f"of 1,000 MB: {many.peak_mb:.0f} MB in {many.seconds:.0f} s; plan alone {plan.peak_mb:.0f} MB"
    return [
        Result(f"memory a query beyond the plan, {what}", by_run - by_plan, 100, figures, at_most=True),
        Result(f"memory of {large:,} queries, {what}", many.peak_mb / 1000, 1, whole, at_most=True),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="a hundred thousand instead")
    parser.add_argument("--million", action="store_true", help="a million requests too: some minutes")
    options = parser.parse_args()
    with lean_server() as base_url:
        if options.quick:
            return tell(*measure(base_url, 100_000, 1_000, "1,000 requests shared"))
        results = measure(base_url, 1_000_000, 10_000, "10,000 requests shared")
        if options.million:
            results += measure(base_url, 1_000_000, 1_000_000, "a request each")
    return tell(*results)


if __name__ == "__main__":
    sys.exit(main())
