"""What the benchmarks have in common: turns in which peers take part, fresh processes, and the line that is printed.

A figure counts for little by itself: every one here is a ratio to something measured in the same turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MISSED = 3
"""Exit code of a benchmark that ran, but did not reach a bar; another one than a traceback's."""


@dataclass(frozen=True)
class Result:
    """One ratio, how good it should be, and the figures it comes from."""

    question: str
    ratio: float
    bar: float
    figures: str
    at_most: bool = False
    """Whether the bar is an upper one."""
    also: bool = True
    """Whether whatever else was to be held was held; `figures` says what that is."""
    why: str = ""
    """Where a bar is missed: the reason that profiling found."""

    @property
    def is_reached(self) -> bool:
        return self.also and (self.ratio <= self.bar if self.at_most else self.ratio >= self.bar)

    def __str__(self) -> str:
        side, verdict = "at most" if self.at_most else "at least", "" if self.is_reached else "  MISSED"
        return f"{self.question}: {self.ratio:.3g} ({side} {self.bar:g}){verdict}; {self.figures}"


def tell(*results: Result) -> int:
    """Print a line each, and why a bar was missed; the exit code."""
    for result in results:
        print(result, flush=True)
        if result.why and not result.is_reached:
            print(f"  why: {result.why}", flush=True)
    return 0 if all(result.is_reached for result in results) else MISSED


async def in_turns(turns: int, *measures: Callable[[], Awaitable[float]]) -> list[float]:
    """The median of each measure. They take turns: what else the machine does meets all of them."""
    found = [[await measure() for measure in measures] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def medians(turns: int, *measures: Callable[[], float]) -> list[float]:
    """The same for measures that need no loop."""
    found = [[measure() for measure in measures] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    seconds: float
    peak_mb: float
    """The largest resident set."""
    output: str


def run_process(arguments: Sequence[str], *, package: Path = ROOT, **variables: str) -> Finished:
    """A fresh interpreter, timed from outside. RuntimeError with its last words where it fails.

    `package` is where it finds batchsum; `variables` are of its environment. Bytecode is kept, as that of an
    installed package is.
    """
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "", **variables}
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {process.returncode}\n{text[-2000:]}")
    return Finished(seconds, usage.ru_maxrss / 1024, text)
