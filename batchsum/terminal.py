"""What people see on stderr: a summary they can read in five seconds, and a failure that fits a mail."""

from pathlib import Path

from batchsum.job import Job
from batchsum.run import Outcome


def _counts(outcome: Outcome) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in outcome.counts.items() if count)


def summary(outcome: Outcome, job: Job) -> str:
    rows = sum(outcome.counts.values())
    return f"{job.name}: {rows:,} rows: {_counts(outcome)}; {outcome.changes:,} changed\n{outcome.directory}"


def failure_block(outcome: Outcome, job: Job, log_file: Path) -> str:
    rows = sum(outcome.counts.values())
    missing = rows - outcome.counts["ok"] - outcome.counts["empty"]
    return "\n".join(
        [
            f"batchsum: {job.name}: {missing:,} of {rows:,} rows have no answer that can be believed",
            f"  rows:  {_counts(outcome)}",
            f"  run:   {outcome.run_id}",
            f"  table: {outcome.directory}",
            f"  log:   {log_file}",
        ]
    )
