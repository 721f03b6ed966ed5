"""One night, in order. Nothing else knows the order.

Killed at any point, the same call goes on where it was: an answer that was got is not asked for again, and a
publication that was begun is finished.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from batchsum.config.taxa_lock import lock_file, read_lock
from batchsum.errors import BatchsumError, NotDue, NothingUsable, OutputError, Refused
from batchsum.model.job import Job
from batchsum.ncbi.client import DatasetsClient
from batchsum.ncbi.urls import default_base_url
from batchsum.notify.notifier import Notifier
from batchsum.output import files
from batchsum.output.formats import require_formats
from batchsum.run.ask import Fetcher, ask
from batchsum.run.coverage import OnReading, count_holdings, require_reader
from batchsum.run.judge import judge_and_find_retries, judge_rows
from batchsum.run.lost_store import remember_table
from batchsum.run.outcome import Outcome, outcome_of
from batchsum.run.plan import Plan
from batchsum.run.publish import (
    file_names,
    finish_publication,
    publish_page_again,
    publish_staged,
    stage_night,
    untold_run,
)
from batchsum.run.resume import Night, about_run, open_night, open_retry, why_not_resumed
from batchsum.run.signals import Signals
from batchsum.store.directory import held, output_errors
from batchsum.store.history import Nights
from batchsum.store.store import Run, Store
from batchsum.text import counted, spoken

log = logging.getLogger("batchsum")


def run_job(
    job: Job,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    fresh: bool = False,
    retry: bool = False,
    deadline: timedelta | None = None,
    accept: tuple[str, ...] = (),
    wait_for_lock: bool = False,
    today: date | None = None,
    begun: datetime | None = None,
    on_asking: Callable[[Fetcher], None] = lambda fetcher: None,
    on_reading: OnReading = lambda words: None,
) -> Outcome:
    """Ask for every query of `job` and publish its table in `job.output.dir`.

    `base_url` is the job's unless given, else that of BATCHSUM_BASE_URL, else NCBI's. `fresh` drops an unfinished
    run. `retry` asks again for the rows of the last night that are suspect, failed or skipped, and publishes that
    night again. After `deadline` what was not asked is `skipped`. `accept` names rows (TAXON or TAXON/FILTER_SET)
    to be believed whatever NCBI says. `today` is the day relative dates count back from, by default the local date
    of `begun` (now); running again on a day replaces that night.

    Raises a `BatchsumError` where no table could be published; its `exit_code` is the command's. `NotDue` where
    the last one is younger than the job's `min_interval`; `fresh`, `retry` and `accept` override that.
    """
    directory = job.output.dir
    base_url = base_url or job.api.base_url or default_base_url()
    begun = begun or datetime.now(UTC)
    with output_errors(directory):
        files.require_own_directory(job)
    with Signals() as signals, Notifier(job) as notifier, output_errors(directory):
        require_formats(job)
        require_reader(job)
        lock = read_lock(lock_file(job.path))
        client = job_client(job, base_url, api_key)
        with held(directory, wait=wait_for_lock) as store:
            finished = finish_publication(store, job)
            manifest = files.read_manifest(directory)  # after what may have put another one there
            lost = remember_table(store, job, manifest, None if retry else today or begun.astimezone().date())
            if not (fresh or accept or retry):
                finished = finished or untold_run(store, job, manifest)
                if finished and _is_tonights(finished, job, base_url, today):
                    return announce(store, notifier, outcome_of(store, finished, job, manifest))
                _check_due(store, job, manifest)
            files.check_targets(directory, file_names(job))  # now, and not after hours of asking
            opened = open_retry if retry else partial(open_night, today=today, fresh=fresh)
            night = opened(store, job, lock, base_url=base_url, begun=begun, accept=accept)
            night = count_holdings(replace(night, warnings=(lost,) if lost else ()), on_reading)
            return carry_out(night, client, signals, notifier, lambda: client.pacer.rate, deadline, on_asking)


def carry_out(
    night: Night,
    client: DatasetsClient,
    signals: Signals,
    notifier: Notifier,
    rate: Callable[[], float | None],
    deadline: timedelta | None = None,
    on_asking: Callable[[Fetcher], None] = lambda fetcher: None,
    *,
    is_merged: bool = False,
) -> Outcome:
    """Ask, judge, publish: all that follows once the run is open. Merged shards went through the first round.

    `rate` is asked at the end for the pace that run.json tells, None for unlimited.
    """
    directory, run = night.job.output.dir, night.run
    fetcher = Fetcher(night, client, judge_and_find_retries)
    steps = [
        fetcher.learn_names, fetcher.compare_holdings, fetcher.doubt_zeros, fetcher.window_rounds, fetcher.second_round,
    ]  # fmt: skip
    if not is_merged:
        steps.insert(0, fetcher.first_round)
    notifier.begin(run)
    files.sweep(directory, file_names(night.job), living={run.owner})
    with about_run(run.run_id), output_errors(directory):
        log.info(
            "run %s: %s, %s to %s", run.run_id, counted(night.plan.query_count, "query", "queries"),
            counted(night.plan.request_count, "request"), run.base_url,
        )  # fmt: skip
        try:
            ask(fetcher, steps, signals, deadline, on_asking)
            if not fetcher.is_settled:  # answers may have come since it was judged for the second round
                judge_rows(night, fetcher.unasked)
            outcome = publish_staged(night, stage_night(night, rate(), fetcher.warnings))
            return announce(night.store, notifier, outcome)
        except (Refused, NothingUsable) as error:
            if isinstance(error, Refused):
                # The run stays open, so that its answers are kept; what `history` shows is a night without a table.
                with night.store.transaction():
                    night.store.note_failure(run, str(error))
            _tell_on_page(night, error)
            raise


def _tell_on_page(night: Night, error: BatchsumError) -> None:
    """The page says that tonight left no table, and `error` since when there is none, and where the page is.

    Where it cannot be written, what stopped the night matters more.
    """
    kept, today = Nights(night.store, 1), night.run.today
    since = min([today, *(run.today for run in kept.failed_since_last())])
    if kept.runs and kept.runs[-1].today == today:
        error.add_note(f"the table of {today} from an earlier run stays")
    else:
        error.add_note("new tonight" if since == today else f"no table since {since}")
    try:
        if publish_page_again(night.store, night.job.output.dir):
            error.add_note(f"page: {night.job.output.dir / files.PAGE}")
    except (OSError, OutputError) as error:
        log.warning("%s was not made again: %s", files.PAGE, error)


def announce(store: Store, notifier: Notifier, outcome: Outcome) -> Outcome:
    """Tell the log, and whoever is to know, of a night whose files are in place."""
    outcome.log()
    notifier.published(store, outcome.news)
    return outcome


def job_client(job: Job, base_url: str | None, api_key: str | None, *, parts: int = 1) -> DatasetsClient:
    """A client as the job wants it, for `base_url`, else the default; one of `parts` at work."""
    api = job.api
    return DatasetsClient(
        base_url,
        api_key=api_key,
        contact=api.contact,
        requests_per_second=api.requests_per_second,
        workers=api.workers,
        timeout=api.timeout.total_seconds(),
        attempts=api.attempts,
        max_outage=api.max_outage.total_seconds(),
        canary=api.canary,
        shared_limit=api.shared_limit,
        parts=parts,
    )


def _check_due(store: Store, job: Job, manifest: Mapping[str, Any]) -> None:
    """NotDue where the last table is younger than the job's `min_interval`, and no run waits to be finished."""
    if job.min_interval is None or store.last_run("open") is not None:
        return
    finished = manifest.get("finished_at")
    try:
        since = datetime.now(UTC) - datetime.fromisoformat(str(finished))
    except (TypeError, ValueError):  # none yet, or no time of ours
        return
    # A little in the future is now: the clock was set back. Far ahead it was wrong, and would stop the job for as long.
    if abs(since) < job.min_interval:
        interval = spoken(job.min_interval.total_seconds())
        raise NotDue(f"{job.output.dir}: published at {finished}; nothing to do, as min_interval is {interval}")


def _is_tonights(run: Run, job: Job, base_url: str, today: date | None) -> bool:
    """Whether this command is the one that was cut off, and has nothing left to ask."""
    why_not = why_not_resumed(run, base_url, datetime.now(UTC), today)
    return not why_not and run.job_hash == Plan(job, run.today).job_hash()
