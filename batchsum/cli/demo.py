"""`batchsum demo`: the sample job, two nights, against the embedded server; nothing is left running."""

import argparse
import asyncio
import csv
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from batchsum.cli.history import aligned
from batchsum.config.load import load_job
from batchsum.errors import OutputError
from batchsum.local_ncbi.server import running
from batchsum.run.night import run_job
from batchsum.run.outcome import Outcome
from batchsum.store.directory import output_errors
from batchsum.text import spoken

REQUESTS_PER_SECOND = 50.0
"""The embedded server's limit in the demo, far above NCBI's, so that it ends while somebody watches."""

_SHOWN = ("label", "filter_set", "status", "record_count", "record_count_change")
_ROWS = 12
_DATA = Path(__file__).parent / "data"
_OF_A_DEMO = re.compile(
    r"demo-job|summary\.\w+|(changes|counts)\.csv|datapackage\.json|report\.html|run\.json"
    r"|state\.sqlite3(-journal)?|\.lock|batchsum\.log|metrics\.prom"
)
"""What a demo leaves, and whoever tries a command on it."""


def demo_command(arguments: argparse.Namespace) -> int:
    """`batchsum demo`: both nights, and the first rows of what came out."""
    directory: Path = arguments.out
    tonight = datetime.now().astimezone().date()
    with output_errors(directory):
        _prepare(directory)
    for night in (tonight - timedelta(days=1), tonight):
        began = datetime.now(UTC)
        outcome = _night(directory, night)
        took = spoken((datetime.now(UTC) - began).total_seconds())
        print(f"night of {night}: {sum(outcome.counts.values())} rows, {outcome.changes} changed, {took}")
    _show(directory)
    return outcome.exit_code


def _prepare(directory: Path) -> None:
    """A folder that is empty, or an earlier demo's: nobody else's table is written over."""
    found = [*directory.iterdir()] if directory.exists() else []
    if found and not (directory / "demo-job" / "job.yaml").exists():
        raise OutputError(f"{directory} is not empty and not from an earlier demo; name another with --out")
    if others := sorted(path.name for path in found if not _OF_A_DEMO.fullmatch(path.name)):
        raise OutputError(f"{directory} holds {others[0]!r}, which is no demo's; name another with --out")
    for path in found:  # the nights of an earlier demo would be this one's past
        # Not the folder itself: it may be the current one, a link, or where a disk is mounted.
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (directory / "demo-job").mkdir(parents=True)
    shutil.copyfile(_DATA / "demo.yaml", directory / "demo-job" / "job.yaml")
    shutil.copyfile(_DATA / "taxa.csv", directory / "demo-job" / "taxa.csv")


def _night(directory: Path, night: date) -> Outcome:
    job = load_job(directory / "demo-job" / "job.yaml")
    # The formats that need no package beside.
    job = replace(job, output=replace(job.output, dir=directory, formats=("csv", "tsv", "jsonl")))
    with _embedded_server(night) as base_url:
        return run_job(job, base_url=base_url, today=night)


@contextmanager
def _embedded_server(night: date) -> Iterator[str]:
    """The server in a thread of its own, on a free port: `run_job` has the main thread's loop to itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="embedded server")
    thread.start()
    server = running(requests_per_second=REQUESTS_PER_SECOND, as_of=night)
    try:
        try:
            base_url = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        except Exception as error:  # the machine's trouble, as a port that it does not give, and no bug
            raise OutputError(f"the embedded server cannot start: {error}") from None
        try:
            yield base_url
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _show(directory: Path) -> None:
    with (directory / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = [[row[name] for name in _SHOWN] for row in csv.DictReader(file)]
    print(*aligned([list(_SHOWN), *rows[:_ROWS]]), sep="", end="")
    print(f"... {len(rows) - _ROWS} rows more in {directory / 'summary.csv'}")
    print(f"what changed since the night before: {directory / 'changes.csv'}")
    print(f"the same on one page:                {directory / 'report.html'}")
