"""A job whose second night has every kind of trouble, run as one or in shards, against a server that scripts it."""

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchsum.cli import main
from batchsum.model.queries import CANARY
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi

JOB = """\
version: 1
name: night
taxa: [11320, {taxon: 1335626, label: MERS}, "Lake trout rhabdovirus 903/87", 31337, 31338, 40404, 50000, 50001, 60000,
  777, 778, 11320]
filter_sets:
  all: {}
  human: {host: human, complete_only: true}
  january: {released_between: [2025-01-01, 2025-02-01]}
  week: {released_since: 7d}
api: {requests_per_second: unlimited, attempts: 1, workers: 4}
output: {formats: [csv, jsonl]}
"""

FILES = ("summary.csv", "summary.jsonl", "changes.csv", "counts.csv", "datapackage.json")


@dataclass
class ShardedNight:
    """The job in `directory`, asked of `ncbi`; `night` is which one, from 1."""

    directory: Path
    ncbi: ScriptedNcbi
    night: int = 1

    def __post_init__(self) -> None:
        self.job = self.directory / "night.yaml"
        self.job.write_text(JOB, encoding="utf-8")
        self.ncbi.otherwise = self.answer

    def answer(self, question: Question) -> Any:
        first, taxon = self.ncbi.counts[question.text] == 1, question.taxon
        if taxon == "40404":
            return 404, {"code": 5, "message": "taxon 40404 is not found"}
        if taxon == "50000" or (taxon == "50001" and first):
            return 500, {"code": 13, "message": "oops"}
        if taxon == "60000" and len(question.parameters) == 1:
            return {"hydrated": {"estimated_file_size_mb": 4}}
        count = 1000 + 7 * len(taxon) - 100 * len(question.parameters) - 200 * ("2025-02-01" in question.text)
        if self.night == 2:
            count += taxon in ("11320", "1335626")
            # One taxon has lost half of its records; another only seems so, until it is asked again.
            count //= 2 if taxon == "31337" or (taxon == "31338" and first) else 1
            is_narrow = "host=human" in question.text
            count += 5000 * (is_narrow and (taxon == "777" or (taxon == "778" and first)))
        return {"record_count": count, "assembly_count": count, "resource_updated_on": "2026-11-20T03:04:05Z"}

    def run(self, out: str, *options: str) -> int:
        command = ["run", str(self.job), "--base-url", self.ncbi.base_url, "--out", str(self.directory / out)]
        with pytest.MonkeyPatch.context() as patch:
            if "BATCHSUM_TODAY" not in os.environ:
                patch.setenv("BATCHSUM_TODAY", f"2026-11-{22 + self.night}")
            return main([*command, *options])

    def shards(self, count: int, *options: str, order: int = 1) -> list[Path]:
        """Ask in `count` shards, each of which must end well; their directories."""
        names = [f"{count}/{index}" for index in range(1, count + 1)][::order]
        for name in names:
            index = name.rpartition("/")[2]
            assert self.run(name, "--shard", f"{index}/{count}", *options) == 0
        return [self.directory / name for name in names]

    def merge(self, out: str, shards: list[Path]) -> int:
        return main(["merge", str(self.directory / out), *map(str, shards)])

    def files(self, out: str) -> dict[str, bytes]:
        return {name: (self.directory / out / name).read_bytes() for name in FILES}

    def manifest(self, out: str) -> dict[str, Any]:
        """run.json without what differs from run to run."""
        manifest = json.loads((self.directory / out / "run.json").read_text(encoding="utf-8"))
        volatile = ("run_id", "started_at", "finished_at", "files")
        return {name: value for name, value in manifest.items() if name not in volatile}

    def asked(self) -> Counter[str]:
        """How often each question was asked since the last look; every shard has a canary of its own."""
        counts = self.ncbi.counts
        self.ncbi.asked.clear()
        del counts[CANARY]
        return counts
