"""Run every benchmark, one after the other, and write RESULTS.md.

    python -m tests.benchmarks [--quick] [--million]

The results say on what they were measured, and no path of the machine. Other work on the machine makes the ratios
worse, seldom better: run it when nothing else runs.
"""

import argparse
import os
import platform
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tests.benchmarks.measure import MISSED, ROOT

SCRIPTS = (
    "limit_use", "shared_limit", "wall_time", "request_speed", "whole_run", "shards", "memory", "commit_rate",
    "loop_delay", "cold_start", "own_records", "holdings",
)  # fmt: skip
LIBRARIES = ("aiohttp", "aiolimiter", "PyYAML", "httpx", "requests", "urllib3", "ncbi-datasets-pyclient")
RESULTS = Path(__file__).parent / "RESULTS.md"
LINE = re.compile(
    r"(?P<question>.+?): (?P<ratio>[-+.\de]+) \((?P<bar>at (?:least|most) [^)]+)\)"
    r"(?P<missed>  MISSED)?; (?P<figures>.+)"
)


def processor() -> str:
    """Its name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def setting() -> list[str]:
    """What it was measured on."""
    return [
        f"- {datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {cores()} cores, {processor()}",
        f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        f"- {', '.join(f'{library} {version(library)}' for library in LIBRARIES)}",
    ]


def load() -> float:
    """Programs that wanted a core, on average of a minute; the benchmarks themselves want up to two."""
    return os.getloadavg()[0]


def told_load(busy: list[float]) -> str:
    return f"- load average between the scripts: {', '.join(f'{one:.1f}' for one in busy)}"


def run(script: str, options: list[str]) -> list[str]:
    """The lines of one benchmark, which are shown as they come."""
    command = [sys.executable, "-m", f"tests.benchmarks.{script}", *options]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    if process.returncode not in (0, MISSED):
        lines.append(f"{script}: ended with exit code {process.returncode}")
    return lines


def table(lines: list[str]) -> list[str]:
    """The results as rows, then the reasons of those that missed their bar."""
    rows, reasons, last = ["| question | ratio | bar | figures |", "|---|--:|---|---|"], [], ""
    for line in lines:
        if found := LINE.fullmatch(line):
            last = found["question"]
            bar = f"**missed**: {found['bar']}" if found["missed"] else found["bar"]
            rows.append(f"| {last} | {found['ratio']} | {bar} | {found['figures']} |")
        elif line.startswith("  why: "):
            reasons.append(f"- **{last}**: {line.removeprefix('  why: ')}")
        else:
            reasons.append(f"- {line}")
    return [*rows, "", "## What is not reached, and why", "", *(reasons or ["Nothing: every bar is reached."])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--quick", action="store_true", help="two minutes instead of fifteen; RESULTS.md stays as it is"
    )
    parser.add_argument("--million", action="store_true", help="a million requests of their own, too")
    options = parser.parse_args()
    lines, busy = [], [load()]
    for script in SCRIPTS:
        more = ["--million"] if options.million and script == "memory" else []
        lines += run(script, [*(["--quick"] if options.quick else []), *more])
        busy.append(load())
    if not options.quick:
        head = [
            "# Results",
            "",
            "Written by `python -m tests.benchmarks`; each script says what it compares, and how.",
            "",
        ]
        RESULTS.write_text("\n".join([*head, *setting(), told_load(busy), "", *table(lines)]) + "\n", encoding="utf-8")
    return int(any("  MISSED" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
