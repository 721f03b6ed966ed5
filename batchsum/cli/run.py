"""What makes a table or its page: `batchsum run` and `merge`, quiet unless somebody watches or something is wrong, and
`accept` and `report`, which ask nothing.
"""

import argparse
import gc
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchsum.cli.log import configure
from batchsum.cli.options import day_of_environment, server, with_holdings
from batchsum.cli.progress import is_wanted, live
from batchsum.cli.terminal import failure_block, hide, is_watched, print_closing, say
from batchsum.config.api_key import find_api_key
from batchsum.config.load import load_job
from batchsum.errors import BatchsumError, Locked, NotDue, OutputError, UsageError
from batchsum.model.job import Job
from batchsum.notify.notifier import Notifier
from batchsum.output.files import MANIFEST, PAGE, require_own_directory
from batchsum.run.accept import accept_rows
from batchsum.run.lost_store import words_of_lost_store
from batchsum.run.merge import collect, merge_shards, merged_job
from batchsum.run.night import run_job
from batchsum.run.outcome import Outcome
from batchsum.run.publish import file_names, publish_page_again
from batchsum.run.shard import Shard, run_shard
from batchsum.run.signals import Signals
from batchsum.store.directory import STATE, held, output_errors, state_of

log = logging.getLogger("batchsum")


def run_command(arguments: argparse.Namespace) -> int:
    """`batchsum run JOB`: quiet unless somebody watches, or something is wrong."""
    with Signals():
        begun = datetime.now(UTC)  # first of all: the night is that of the start, however long the lock is waited for
        job = _with_options(load_job(arguments.job), arguments)
        log_file = arguments.log_file or job.output.dir / "batchsum.log"
        with _logged(
            job, log_file, arguments.api_key_file, is_shard=arguments.shard is not None, verbose=arguments.verbose,
            json_lines=arguments.log_format == "json",
        ) as api_key:  # fmt: skip
            try:
                return _night(job, api_key, log_file, arguments, begun)
            except (Locked, NotDue) as error:
                is_locked = isinstance(error, Locked)
                if is_locked and arguments.if_locked != "skip":
                    raise
                log.info("%s", error)
                if is_watched() and not arguments.quiet:
                    say(f"batchsum: {'skipped: ' if is_locked else ''}{error}")
                return 0  # what the user asked for, and cron must not mail it


def merge_command(arguments: argparse.Namespace) -> int:
    """`batchsum merge OUT SHARD_OUT...`: as quiet as a run."""
    with Signals():
        with output_errors(arguments.out):
            shards = collect(arguments.out, arguments.shards)
        job, lock = merged_job(arguments.out, shards)
        log_file = arguments.out / "batchsum.log"
        with _logged(job, log_file) as api_key:
            outcome = merge_shards(job, lock, shards, api_key)
            _close(outcome, log_file, quiet=False)
            return outcome.exit_code


def accept_command(arguments: argparse.Namespace) -> int:
    """`batchsum accept OUT TAXON[/SET]...`: publish the last night again with these rows believed.

    Prints what is believed; the exit code is the night's.
    """
    with output_errors(arguments.out):
        state_of(arguments.out)  # before a log is begun in somebody's directory
    configure(verbose=False, file=arguments.out / "batchsum.log", json_lines=False)
    with Signals():
        outcome, accepted = accept_rows(arguments.out, arguments.names, arguments.note or "")
    for name, level in accepted.items():
        print(f"{name}: {level}")
    return outcome.exit_code


def report_command(arguments: argparse.Namespace) -> int:
    """`batchsum report OUT`: the page of the last published night again, from the store alone; prints where it is."""
    directory = arguments.out
    with output_errors(directory):
        state_of(directory)  # before the lock, which would make a state where there is none
        with held(directory) as store:
            if not publish_page_again(store, directory):
                raise UsageError(f"{directory}: no night was published here, or run.json is not of the last one")
    print(directory / PAGE)
    return 0


@contextmanager
def _logged(
    job: Job, log_file: Path, key_file: Path | None = None, *, is_shard: bool = False, verbose: bool = False,
    json_lines: bool = False,
) -> Iterator[str | None]:  # fmt: skip
    """The block is a run of `job`, with this API key: it is logged, and an error that ends it names job and log."""
    try:
        with output_errors(job.output.dir):
            if not is_shard:  # a shard itself refuses every directory that holds a table
                require_own_directory(job)
                if lost := words_of_lost_store(job.output.dir):
                    say(f"batchsum: {lost}")
            own_files = (job.path, *(job.output.dir / name for name in (*file_names(job), MANIFEST, STATE)))
            if log_file.resolve() in [path.resolve() for path in own_files]:
                raise UsageError(f"--log-file: {log_file} is a file of the job; name another")
        api_key = find_api_key(key_file, job.api.api_key_file)
        is_named = log_file.parent != job.output.dir
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            if is_named:
                log_file.open("ab").close()
        except OSError as error:
            why = "is a file" if isinstance(error, FileExistsError) else f"cannot be written: {error.strerror}"
            option = "--log-file" if is_named else "--out"
            raise OutputError(f"{error.filename or log_file} {why}; write another {option}") from None
    except BatchsumError as error:
        if not is_shard:  # of which nobody is told: the merge tells
            Notifier(job).failed(error)  # the run's own has not begun yet
        raise
    hide(api_key)
    configure(verbose=verbose, file=log_file, json_lines=json_lines)
    try:
        yield api_key
    except BatchsumError as error:
        log.error("%s", error, extra={"exit_code": error.exit_code})
        if not isinstance(error, Locked):  # of which one line says all
            error.add_note(f"job: {job.name}")
            if log_file.exists():  # not where it is the disk that is told about
                error.add_note(f"log: {log_file}")
        raise


def _night(job: Job, api_key: str | None, log_file: Path, arguments: argparse.Namespace, begun: datetime) -> int:
    if arguments.start_jitter:  # before the lock: waiting must not keep another run out
        time.sleep(random.uniform(0, arguments.start_jitter.total_seconds()))
    wanted = is_wanted(arguments.progress, quiet=arguments.quiet, verbose=arguments.verbose)
    with live(job.name) if wanted else nullcontext() as progress:
        options: dict[str, Any] = {
            "api_key": api_key,
            "fresh": arguments.fresh,
            "deadline": arguments.deadline,
            "accept": tuple(arguments.accept),
            "wait_for_lock": arguments.if_locked == "wait",
            "today": day_of_environment(),
            "begun": begun,
            "on_asking": progress.watch if progress else lambda fetcher: None,
            "on_reading": progress.reading if progress else lambda words: None,
        }
        gc.freeze()  # else the loop stands still for 50 ms, now and then, while the program's own code is searched
        if arguments.shard:
            part = run_shard(job, Shard(*arguments.shard), **options)
        else:
            outcome = run_job(job, retry=arguments.retry, **options)
    if arguments.shard:
        if is_watched() and not arguments.quiet:
            missing = f", {part.unanswered:,} without an answer" if part.unanswered else ""
            say(f"shard {part.shard}: {part.requests:,} requests{missing}; batchsum merge makes the table")
            say(f"{part.directory}")
        return 0  # whether a row is in doubt is known, and told, by merge alone
    _close(outcome, log_file, quiet=arguments.quiet)
    if outcome.exit_code == 0 and outcome.changes and arguments.exit_code_on_change is not None:
        return int(arguments.exit_code_on_change)
    return outcome.exit_code


def _close(outcome: Outcome, log_file: Path, *, quiet: bool) -> None:
    """Tell how the night ended: whoever watches all of it, a mail or a log only what is wrong."""
    if is_watched() and not quiet:
        print_closing(outcome, log_file)
    elif outcome.exit_code:
        say(failure_block(outcome, log_file))


def _with_options(job: Job, arguments: argparse.Namespace) -> Job:
    """The job as the command line and the environment change it."""
    api = replace(
        job.api,
        base_url=server(arguments.base_url, job.api),
        requests_per_second=arguments.rps or job.api.requests_per_second,
        workers=arguments.workers or job.api.workers,
    )
    directory = arguments.out or job.output.dir
    if arguments.fresh and arguments.retry:
        raise UsageError("--fresh begins the night anew, and --retry keeps most of the last one; leave one of both out")
    if arguments.shard and arguments.retry:
        raise UsageError("--retry asks a whole night again, and not a shard; leave one of both out")
    if arguments.shard and not arguments.out:
        directory = Shard(*arguments.shard).directory(directory)
    formats = tuple(dict.fromkeys((*job.output.formats, *arguments.format)))
    output = replace(job.output, dir=directory, formats=formats)
    return with_holdings(replace(job, api=api, output=output), arguments)
