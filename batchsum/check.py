"""Everything that can be known of a job before asking."""

from datetime import date
from typing import Any

from batchsum.durations import spoken
from batchsum.job import Job
from batchsum.plan import Plan, build_plan

RATES = (3, 5, 10)
"""Requests a second: NCBI's limit without a key by its pages, by its server, and with a key."""


def check_job(job: Job, today: date) -> dict[str, Any]:
    """Queries, requests after sharing, seconds at each rate, and what is odd; ready for JSON."""
    plan = build_plan(job, today)
    return {
        "job": job.name,
        "file": str(job.path),
        "taxa": len(job.taxa),
        "filter_sets": len(job.filter_sets),
        "queries": plan.query_count,
        "requests": plan.request_count,
        "seconds": {str(rate): round(plan.request_count / rate, 1) for rate in RATES},
        "problems": [],
        "warnings": [
            {"file": odd.file, "line": odd.line, "column": odd.column, "message": odd.message} for odd in job.warnings
        ],
        "relative_dates": relative_dates(plan),
    }


def relative_dates(plan: Plan) -> dict[str, str]:
    """The filters as they would be sent tonight, for each set of the job whose dates move."""
    return {
        named.name: resolved.text()
        for named in plan.job.filter_sets
        if (resolved := named.filters.resolve(plan.today)) != named.filters
    }


def describe(report: dict[str, Any]) -> str:
    """The report as people read it."""
    lines = [
        f"{report['file']}: job {report['job']}: no problem found",
        f"  {report['taxa']:,} taxa, {report['filter_sets']:,} filter sets: {report['queries']:,} queries",
        f"  {report['requests']:,} requests after sharing",
    ]
    for rate, seconds in report["seconds"].items():
        lines.append(f"  {spoken(seconds):>12} at {rate} requests a second")
    lines += [f"  {name}: tonight {filters}" for name, filters in report["relative_dates"].items()]
    for odd in report["warnings"]:
        lines.append(f"{odd['file']}:{odd['line']}:{odd['column']}: warning: {odd['message']}")
    return "\n".join(lines)
