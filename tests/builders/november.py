"""A job that changes, and its nights through the command line, each on a day of its own."""

from pathlib import Path
from typing import Any

from tests.builders import jobs
from tests.fakes.scripted_ncbi import ScriptedNcbi


class Nights:
    """A job that changes, and its nights by their day of November 2026."""

    def __init__(self, directory: Path, ncbi: ScriptedNcbi) -> None:
        self.ncbi = ncbi
        ncbi.rate_limit = None  # a limit that is told holds the first second back
        self.job, self.out = directory / "watch.yaml", directory / "out/watch"

    def write(self, text: str) -> None:
        self.job.write_text(
            f"version: 1\n{text}\napi: {{requests_per_second: unlimited, attempts: 1, max_outage: 1s}}\n"
        )

    def night(self, day: int, *options: str, count: int | None = None) -> int:
        if count is not None:
            self.ncbi.otherwise = lambda question: {"record_count": count}
        return jobs.night(self.job, self.ncbi, *options, day=f"2026-11-{day:02}")

    def rows(self, name: str = "summary.csv") -> list[dict[str, str]]:
        return jobs.rows(self.job, name)

    def table(self) -> list[tuple[str, str, str, str]]:
        return [
            (row["taxon"], row["filter_set"], row["record_count"], row["previous_record_count"]) for row in self.rows()
        ]

    def changes(self) -> list[tuple[str, str, str]]:
        return [(row["taxon"], row["filter_set"], row["change"]) for row in self.rows("changes.csv")]

    def manifest(self) -> dict[str, Any]:
        return jobs.manifest(self.job)
