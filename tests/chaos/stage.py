"""A night to be disturbed: its job, the server it asks, what an undisturbed run leaves, and a look at the ruins."""

import asyncio
import json
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.chaos.programs import Programs
from tests.fakes.raw_server import RawServer, Turn, answer, raw_server

JOB = """\
version: 1
name: night
taxa: [11320, 11520, {taxon: 1335626, label: MERS}, "Lake trout rhabdovirus 903/87", 64320, 31337, 40404, 50000, 50001]
filter_sets:
  all: {}
  human: {host: human, complete_only: true}
  january: {released_between: [2025-01-01, 2025-02-01]}
  week: {released_since: 7d}
api: {requests_per_second: unlimited, attempts: 1, workers: 4}
output: {formats: [csv, tsv, jsonl]}
"""

FILES = ("summary.csv", "summary.tsv", "summary.jsonl", "changes.csv")


@dataclass
class Ncbi:
    """What the server says: a function of the question, of the night, and of how often it was asked for."""

    server: RawServer
    night: int = 1
    delay: float = 0.0
    answered: dict[str, float] = field(default_factory=dict)
    """When each question was answered last, in seconds of the monotonic clock."""

    async def behave(self, turn: Turn) -> None:
        question = turn.arrival.target
        taxon, asked = turn.arrival.taxon, self.counts[question]
        await asyncio.sleep(self.delay)
        if taxon == "40404":
            await answer(404, {"code": 5, "message": "taxon 40404 is not found"})(turn)
        elif taxon == "50000" or (taxon == "50001" and asked == 1):
            await answer(500, {"code": 13, "message": "oops"})(turn)
        else:
            # In the second night one taxon loses half of its records, and two have grown.
            count = 1000 + 7 * len(taxon) - 100 * len(turn.arrival.parameters)
            count = count // 2 if taxon == "31337" and self.night == 2 else count
            count += self.night if taxon in ("11320", "1335626") and self.night > 1 else 0
            count -= 300 if "2025-02-01" in question else 0
            body = {"record_count": count, "assembly_count": count, "resource_updated_on": "2026-11-20T03:04:05Z"}
            await answer(200, body)(turn)
        self.answered[question] = time.monotonic()

    @property
    def counts(self) -> Counter[str]:
        return Counter(arrival.target for arrival in self.server.arrivals)


@dataclass
class Stage:
    """Two nights: the first is published, the second is to be disturbed."""

    directory: Path
    ncbi: Ncbi
    programs: Programs
    old: dict[str, bytes] = field(default_factory=dict)
    """The files of the first night."""
    new: dict[str, bytes] = field(default_factory=dict)
    """Those of the second one, undisturbed."""
    code: int = 0
    """Its exit code."""

    @property
    def out(self) -> Path:
        return self.directory / "out" / "night"

    @property
    def command(self) -> tuple[object, ...]:
        return "run", self.directory / "night.yaml", "--base-url", self.ncbi.server.base_url

    def run(self, **order: Any) -> int:
        return self.programs.run(*self.command, **order)

    def prepare(self) -> None:
        (self.directory / "night.yaml").write_text(JOB)
        self.programs.today = "2026-11-22"
        assert self.run() == 3, self.programs.stderr
        self.old = contents(self.out)
        self.out.rename(self.directory / "first")
        self.ncbi.night = 2
        self.programs.today = "2026-11-23"
        self.begin()
        self.code = self.run()
        self.new = contents(self.out)
        assert self.new.keys() == self.old.keys()
        assert self.new["summary.csv"] != self.old["summary.csv"]

    def begin(self) -> None:
        """The evening before the second night."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.directory / "first", self.out)
        self.ncbi.server.arrivals.clear()
        self.ncbi.answered.clear()


@contextmanager
def set_up(directory: Path) -> Iterator[Stage]:
    with raw_server() as server, Programs() as programs:
        ncbi = Ncbi(server)
        server.always(ncbi.behave)
        stage = Stage(directory, ncbi, programs)
        stage.prepare()
        yield stage


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES if (out / name).exists()}


def generation(out: Path) -> int:
    return int(json.loads((out / "run.json").read_bytes())["generation"])


def kept_answers(out: Path) -> tuple[str, dict[str, tuple[int, str]]]:
    """The state of the latest run, and what it kept: round and status by request. The ruins stay as they are."""
    copy = out.parent / "autopsy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(out, copy)
    connection = sqlite3.connect(copy / "state.sqlite3")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        run, state = connection.execute("SELECT run, state FROM runs ORDER BY run DESC LIMIT 1").fetchone()
        if run == 1:
            return "not begun", {}
        rows = connection.execute("SELECT request, round, status FROM answers WHERE run = ?", (run,))
        return state, {unquote(request): (round_, status) for request, round_, status in rows}
    finally:
        connection.close()
