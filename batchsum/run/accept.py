"""Accepting afterwards: the last night is judged again from the kept answers, with a user's word for some rows.

Nothing is asked. The night stays the same run, and is judged and written in one transaction: a kill leaves the old
verdicts beside the old table, or the new ones and a publication that the next start finishes.
"""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from batchsum.config.taxa_lock import TaxaLock
from batchsum.errors import UsageError
from batchsum.model.job import Job
from batchsum.model.queries import Failure
from batchsum.notify.notifier import Notifier
from batchsum.output.files import read_manifest
from batchsum.run.coverage import asked_plan
from batchsum.run.job_copy import kept_job
from batchsum.run.judge import judge_rows
from batchsum.run.night import announce
from batchsum.run.outcome import Outcome
from batchsum.run.plan import Plan
from batchsum.run.publish import finish_publication, publish_staged, stage_night
from batchsum.run.resume import Night, about_run
from batchsum.store.directory import held, output_errors, state_of
from batchsum.store.held import held_rows
from batchsum.store.rows import Level
from batchsum.store.store import Store


def accept_rows(directory: Path, names: Sequence[str], note: str = "") -> tuple[Outcome, dict[str, Level]]:
    """Believe what NCBI said last of the rows called `names` (TAXON or TAXON/FILTER_SET) in an output directory.

    Returns what the night comes to now, and the levels that are believed, by what people call their rows. UsageError
    where a name is no row's, or nothing was said of its rows that could be believed; then nothing is touched. Locked
    while a run is at work.
    """
    with output_errors(directory), held(state_of(directory).parent) as store:
        job, lock = _published(store, directory)
        finish_publication(store, job)
        outcome, accepted = _publish_again(_last_night(store, job, lock, note).accepting(names))
        return announce(store, Notifier(job), outcome), accepted


def _last_night(store: Store, job: Job, lock: TaxaLock, note: str) -> Night:
    directory, manifest = job.output.dir, read_manifest(job.output.dir)
    run = next(iter(store.runs_where("run_id = ? AND state = 'published'", manifest.get("run_id"))), None)
    if run is None:
        raise UsageError(f"{directory}: run.json is not of a night that is kept; run the job with --accept")
    if (other := store.last_run("open")) is not None:
        again = f"type: batchsum run {shlex.join([str(job.path), '--out', str(directory)])}; then accept again"
        raise UsageError(f"{directory}: the night of {other.today} is unfinished; to end it, {again}")
    run = replace(run, generation=manifest["generation"])  # what it replaces is its own table
    plan = asked_plan(Plan(job, run.today, lock), held_rows(store, run))
    return Night(job, plan, store, run, note=note, warnings=tuple(manifest["warnings"]))


def _published(store: Store, directory: Path) -> tuple[Job, TaxaLock]:
    """The job whose night was published last in `directory` and its lock, as they were then."""
    kept = store.query("SELECT copy, lock FROM job")
    if not kept:
        raise UsageError(f"{directory}: no night was published here; run the job first")
    try:
        job, lock = kept_job(*kept[0])
    except ValueError as error:
        raise UsageError(f"{directory}: the job cannot be read ({error}); run it with --accept instead") from None
    return replace(job, output=replace(job.output, dir=directory)), lock


def _publish_again(night: Night) -> tuple[Outcome, dict[str, Level]]:
    store, rate = night.store, read_manifest(night.job.output.dir)["requests_per_second"]
    with about_run(night.run.run_id):
        with store.transaction():
            night = replace(night, run=store.reopen(night.run))
            judge_rows(night, Failure("skipped", "interrupted", "not asked"))
            for row in night.not_accepted():  # raised in here, it undoes the judging
                raise UsageError(f"{row}: nothing to accept; NCBI gave no count for it on {night.run.today}")
            staged = stage_night(night, rate)
        outcome = publish_staged(night, staged)
    return outcome, {name: level for name, level in staged.accepted.items() if night.accepts(level)}
