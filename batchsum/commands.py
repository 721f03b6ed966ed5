"""What each command does with its options."""

import argparse
import gc
import json
import logging
import os
import random
import shutil
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchsum.errors import BatchsumError, JobFileError, Locked, NotDue, UsageError
from batchsum.job import Job
from batchsum.jobfile import load_job

if TYPE_CHECKING:
    from batchsum.names.taxalock import TaxaLock
    from batchsum.run import Outcome

log = logging.getLogger("batchsum")


def run(arguments: argparse.Namespace) -> int:
    """`batchsum run JOB`: quiet unless somebody watches, or something is wrong."""
    from batchsum.signals import Signals

    with Signals():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from batchsum import logs
    from batchsum.api_key import find_api_key
    from batchsum.notify import Telling
    from batchsum.terminal import failure, is_watched, say

    job = _with_options(load_job(arguments.job), arguments)
    log_file = arguments.log_file or job.output.dir / "batchsum.log"
    try:
        api_key = find_api_key(arguments.api_key_file, job.api.api_key_file)
        _make_directory(log_file.parent)
    except BatchsumError as error:
        Telling(job).failed(error)
        raise
    logs.configure(verbose=arguments.verbose, file=log_file, json_lines=arguments.log_format == "json", secret=api_key)
    try:
        return _night(job, api_key, log_file, arguments)
    except Locked as error:
        log.warning("%s", error)
        if arguments.if_locked != "skip":
            raise
        say(f"batchsum: skipped: {error}")
        return 0
    except NotDue as error:
        log.info("%s", error)
        if is_watched() and not arguments.quiet:
            say(f"batchsum: {error}")
        return 0
    except BatchsumError as error:
        log.error("%s", error, extra={"exit_code": error.exit_code})
        error.add_note(f"job: {job.name}")
        error.add_note(f"log: {log_file}")
        say(failure(error), secret=api_key)
        return error.exit_code


def _night(job: Job, api_key: str | None, log_file: Path, arguments: argparse.Namespace) -> int:
    from batchsum.run import run_job
    from batchsum.shards.shard import Shard, run_shard
    from batchsum.terminal import is_watched, say
    from batchsum.terminal.progress import is_wanted, live

    if arguments.start_jitter:
        time.sleep(random.uniform(0, arguments.start_jitter.total_seconds()))
    wanted = is_wanted(arguments.progress, quiet=arguments.quiet, verbose=arguments.verbose)
    with live(job.name) if wanted else nullcontext() as progress:
        options: dict[str, Any] = {
            "api_key": api_key,
            "fresh": arguments.fresh,
            "deadline": arguments.deadline,
            "accept": tuple(arguments.accept),
            "wait_for_lock": arguments.if_locked == "wait",
            "today": _day_of_environment(),
            "on_asking": progress.watch if progress else lambda asking: None,
        }
        gc.freeze()  # else the loop stands still for 50 ms, now and then, while the program's own code is searched
        if arguments.shard:
            part = run_shard(job, Shard(*arguments.shard), **options)
        else:
            outcome = run_job(job, **options)
    if arguments.shard:
        if is_watched() and not arguments.quiet:
            say(part.summary())
        return 0
    _close(outcome, job, log_file, api_key, quiet=arguments.quiet)
    if outcome.exit_code == 0 and outcome.changes and arguments.exit_code_on_change is not None:
        return int(arguments.exit_code_on_change)
    return outcome.exit_code


def _close(outcome: "Outcome", job: Job, log_file: Path, api_key: str | None, *, quiet: bool) -> None:
    """Tell how the night ended: whoever watches all of it, a mail or a log only what is wrong."""
    from batchsum.terminal import failure_block, is_watched, say
    from batchsum.terminal.closing import print_closing

    if is_watched() and not quiet:
        print_closing(outcome, job.name, log_file, secret=api_key)
    elif outcome.exit_code:
        say(failure_block(outcome, job, log_file), secret=api_key)


def _with_options(job: Job, arguments: argparse.Namespace) -> Job:
    """The job as the command line and the environment change it."""
    api = replace(
        job.api,
        base_url=_base_url(job, arguments),
        requests_per_second=arguments.rps or job.api.requests_per_second,
        workers=arguments.workers or job.api.workers,
    )
    directory = arguments.out or job.output.dir
    if arguments.shard and not arguments.out:
        from batchsum.shards.shard import Shard

        directory = Shard(*arguments.shard).directory(directory)
    output = replace(job.output, dir=directory, formats=arguments.format or job.output.formats)
    return replace(job, api=api, output=output)


def _base_url(job: Job, arguments: argparse.Namespace) -> str | None:
    from batchsum.settings import check_base_url

    base_url = arguments.base_url or os.environ.get("BATCHSUM_BASE_URL") or job.api.base_url
    try:
        return check_base_url(base_url, allow_http=job.api.allow_http) if base_url is not None else None
    except ValueError as error:
        raise UsageError(f"base URL {error}") from None


def _day_of_environment() -> date | None:
    """The day of the night where a pipeline says it, so that shards begun on both sides of midnight have the same."""
    from batchsum.filters import parse_date

    text = os.environ.get("BATCHSUM_TODAY")
    try:
        return parse_date(text) if text else None
    except ValueError as error:
        raise UsageError(f"BATCHSUM_TODAY: {error}") from None


def merge(arguments: argparse.Namespace) -> int:
    """`batchsum merge OUT SHARD_OUT...`: as quiet as a run."""
    from batchsum import logs
    from batchsum.api_key import find_api_key
    from batchsum.shards.merge import Merging
    from batchsum.signals import Signals
    from batchsum.terminal import failure, say

    with Signals():
        merging = Merging(arguments.out, arguments.shards)
        api_key = find_api_key(None, merging.job.api.api_key_file)
        log_file = arguments.out / "batchsum.log"
        _make_directory(arguments.out)
        logs.configure(verbose=False, file=log_file, json_lines=False, secret=api_key)
        try:
            outcome = merging.publish(api_key)
        except BatchsumError as error:
            log.error("%s", error, extra={"exit_code": error.exit_code})
            error.add_note(f"log: {log_file}")
            say(failure(error), secret=api_key)
            return error.exit_code
        _close(outcome, merging.job, log_file, api_key, quiet=False)
        return outcome.exit_code


def _make_directory(directory: Path) -> None:
    from batchsum.errors import OutputError

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{directory} cannot be made: {error.strerror}") from None


def check(arguments: argparse.Namespace) -> int:
    """`batchsum check JOB`."""
    from batchsum.check import check_job, describe, exit_code
    from batchsum.names.taxalock import lock_file, read_lock

    today = _day_of_environment() or datetime.now(UTC).date()
    try:
        job = load_job(arguments.job)
        job = replace(job, api=replace(job.api, base_url=_base_url(job, arguments)))
        lock = read_lock(lock_file(job.path))
    except JobFileError as error:
        if not arguments.json:
            raise
        print(json.dumps({"file": str(arguments.job), "problems": [_as_json(one) for one in error.problems]}, indent=2))
        return error.exit_code
    report = _check_online(job, today, lock, arguments) if arguments.online else check_job(job, today, lock)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    print(json.dumps(report, indent=2, ensure_ascii=False) if arguments.json else describe(report, width))
    return exit_code(report)


def _check_online(job: Job, today: date, lock: "TaxaLock", arguments: argparse.Namespace) -> dict[str, Any]:
    """The report on names as NCBI knows them now, once what was learnt is in taxa.lock."""
    import asyncio

    from batchsum.api_key import find_api_key
    from batchsum.check import check_online
    from batchsum.names.taxalock import lock_file, write_lock
    from batchsum.run import job_client

    api_key = find_api_key(arguments.api_key_file, job.api.api_key_file)
    client = job_client(job, job.api.base_url, api_key)

    async def look_up() -> tuple[dict[str, Any], "TaxaLock"]:
        async with client:
            return await check_online(job, today, lock, client.post)

    report, learnt = asyncio.run(look_up())
    report["lock"]["written"] = write_lock(lock_file(job.path), learnt)
    return report


def _as_json(problem: Any) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("file", "line", "column", "message")}


def serve(arguments: argparse.Namespace) -> int:
    """`batchsum serve`: until SIGTERM or SIGINT."""
    import asyncio

    from batchsum.local_ncbi import server

    if arguments.rps == "auto":
        raise UsageError("serve --rps: write a number or unlimited; without --rps the limit is as NCBI's")
    try:
        asyncio.run(
            server.serve(
                host=arguments.host,
                port=arguments.port,
                requests_per_second={None: "ncbi", "unlimited": None}.get(arguments.rps, arguments.rps),
                latency=arguments.latency,
                as_of=arguments.as_of,
                faults=arguments.fault,
                catalogue=arguments.catalogue,
                access_log=(lambda line: print(line, file=sys.stderr)) if arguments.access_log else None,
            )
        )
    except ValueError as error:
        raise UsageError(f"serve: {error}") from None
    except OSError as error:
        raise BatchsumError(f"serve: {error.strerror or error}") from None
    return 0
