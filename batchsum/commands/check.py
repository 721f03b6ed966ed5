"""`batchsum check`: what is known of a job before anything is asked; no HTTP library unless names are looked up."""

import argparse
import json
import shutil
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from batchsum.cli.check import check_job, check_online, describe, exit_code
from batchsum.commands.surroundings import base_url, day_of_environment
from batchsum.config.api_key import find_api_key
from batchsum.config.load import load_job
from batchsum.config.taxa_lock import TaxaLock, lock_file, read_lock, write_lock
from batchsum.errors import JobFileError, UsageError
from batchsum.model.job import Job


def check(arguments: argparse.Namespace) -> int:
    """`batchsum check JOB`."""
    today = day_of_environment() or datetime.now(UTC).date()
    try:
        job = load_job(arguments.job)
        job = replace(job, api=replace(job.api, base_url=base_url(job, arguments)))
        lock = read_lock(lock_file(job.path))
    except JobFileError as error:
        if not arguments.json:
            raise
        print(json.dumps({"file": str(arguments.job), "problems": [_as_json(one) for one in error.problems]}, indent=2))
        return error.exit_code
    if arguments.online:
        report = _check_online(job, today, lock, arguments)
    else:
        report = check_job(job, today, lock)
        _warn_of_key(report, job, arguments)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    print(json.dumps(report, indent=2, ensure_ascii=False) if arguments.json else describe(report, width))
    return exit_code(report)


def _warn_of_key(report: dict[str, Any], job: Job, arguments: argparse.Namespace) -> None:
    """Not a problem of the file: the machine that runs the job may be another one."""
    try:
        find_api_key(arguments.api_key_file, job.api.api_key_file)
    except UsageError as error:
        report["warnings"].append(
            {"file": str(job.path), "line": None, "column": None, "message": f"{error}; run would stop here"}
        )


def _check_online(job: Job, today: date, lock: TaxaLock, arguments: argparse.Namespace) -> dict[str, Any]:
    """The report on names as NCBI knows them now, once what was learnt is in taxa.lock."""
    import asyncio

    from batchsum.run.night import job_client

    api_key = find_api_key(arguments.api_key_file, job.api.api_key_file)
    client = job_client(job, job.api.base_url, api_key)

    async def look_up() -> tuple[dict[str, Any], TaxaLock]:
        async with client:
            return await check_online(job, today, lock, client.post)

    report, learnt = asyncio.run(look_up())
    report["lock"]["written"] = write_lock(lock_file(job.path), learnt)
    return report


def _as_json(problem: Any) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("file", "line", "column", "message")}
