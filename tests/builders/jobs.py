"""Job files for tests, a night of one through the command line, and the rows that it leaves."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchsum.cli import main
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi

JOB = """\
version: 1
name: night
taxa:
  - 2697049
  - Influenza A virus
  - {taxon: 1335626, label: MERS}
  - Lake trout rhabdovirus 903/87
  - Potato virus Y
  - {taxon: "Virus é", label: "=label"}
  - 11250
filter_sets:
  all: {}
  human: {host: human, complete_only: true}
  refseq: {refseq_only: true}
  parts: {include_sequence: [GENOME, cds], aux_report: [BIOSAMPLE], released_since: 2025-01-15}
api: {requests_per_second: unlimited}
"""
"""Every kind of taxon, and filters of every kind."""


def job_text(*taxa: object, **sections: object) -> str:
    """A job file of these taxa, asked without a pace: `job_text(11320, "Zika virus", filter_sets={"all": {}})`.

    Each section is a line of JSON, which is YAML too; those of `api` are added to the pace.
    """
    api = {"requests_per_second": "unlimited", **sections.pop("api", {})}  # type: ignore[dict-item]
    lines = {"version": 1, "taxa": taxa, **sections, "api": api}
    return "".join(f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in lines.items())


def write_job(directory: Path, text: str = JOB, name: str = "night.yaml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def night(job: Path, ncbi: ScriptedNcbi, *options: str, day: date | str | None = None) -> int:
    """The night of a day, else the one after the last of the job; `ncbi` remembers the questions of this one only.

    They are asked without a pace, whatever the job says.
    """
    ncbi.asked.clear()
    with pytest.MonkeyPatch.context() as patch:
        if day:
            patch.setenv("BATCHSUM_TODAY", str(day))
        with next_day(job):
            return main(["run", str(job), "--base-url", ncbi.base_url, "--rps", "unlimited", *options])


@contextmanager
def next_day(job: Path, out: Path | None = None) -> Iterator[None]:
    """Make it the day after the last night of the job; today before the first. Inside another one it is the same."""
    if "BATCHSUM_TODAY" in os.environ:
        yield
        return
    day, manifest = datetime.now().astimezone().date(), (out or job.parent / "out" / job.stem) / "run.json"
    if manifest.exists():
        day = date.fromisoformat(json.loads(manifest.read_text())["today"]) + timedelta(days=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHSUM_TODAY", f"{day}")
        yield


def rows(job: Path, name: str = "summary.csv") -> list[dict[str, str]]:
    with (job.parent / "out" / job.stem / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def manifest(job: Path) -> dict[str, Any]:
    """What run.json says of the last night."""
    return dict(json.loads((job.parent / "out" / job.stem / "run.json").read_text()))


def count_by_text(question: Question) -> dict[str, object]:
    """A count that every question has for itself, narrower ones fewer."""
    count = 1000 + 37 * len(question.taxon) - 100 * len(question.parameters)
    return {
        "record_count": count,
        "assembly_count": count,
        "resource_updated_on": "2026-11-20T03:04:05Z",
        "hydrated": {
            "estimated_file_size_mb": count // 100,
            "url": "https://example.org/download?a=1,2",
            "cli_download_command_line": f'datasets download virus genome taxon "{question.taxon}"',
        },
        "available_files": {"all_genomic_fasta": {"file_count": 1, "size_mb": count / 64}},
        "messages": [{"warning": {"message": "sizes are estimates"}}],
    }
