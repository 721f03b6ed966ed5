"""run.json: what a run did and left, for programs and for whoever asks why."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp

from batchsum.run.judge import Judgement
from batchsum.text import utc_text
from batchsum.version import __version__


def build_manifest(judgement: Judgement, *, rate: float | None, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The manifest of the run that `judgement` is about, but for its `files`: the sha256 of each, by name."""
    plan, run = judgement.plan, judgement.run
    return {
        "run_id": run.run_id,
        "generation": run.generation + 1,
        "job": plan.job.name,
        "job_hash": run.job_hash,
        "started_at": run.started_at,
        "finished_at": utc_text(datetime.now(UTC)),
        "base_url": run.base_url,
        "today": run.today.isoformat(),
        "resolved_dates": resolved_dates(judgement),
        "requests_per_second": rate,
        "queries": plan.query_count,
        "requests": plan.request_count,
        "statuses": judgement.counts(),
        "changes": judgement.history.count_changes(),
        "warnings": [*warnings, *judgement.notes()],
        "http_statuses": judgement.store.count_http_statuses(run),
        "versions": {
            "batchsum": __version__,
            "python": platform.python_version(),
            "aiohttp": aiohttp.__version__,
        },
    }


def resolved_dates(judgement: Judgement) -> dict[str, dict[str, str]]:
    """For each filter set of the job with a date: the days that its relative dates came to."""
    names = ("released_since", "released_before", "updated_since")
    return {
        name: {day: cells[day] for day in names if cells[day]}
        for name, filters in judgement.plan.dated_sets().items()
        if (cells := filters.cells())
    }
