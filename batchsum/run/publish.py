"""A judged night becomes the one that readers see: its files, its manifest, and its place in the history.

The store knows of the publication before the first file is replaced, and of the night only when all are.
"""

import json
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from batchsum.atomic import Writer
from batchsum.errors import Locked, NothingUsable
from batchsum.model.job import Job
from batchsum.notify.notifier import queue_news
from batchsum.output import table
from batchsum.output.changes import COLUMNS, change_rows
from batchsum.output.files import Publication, prepare, put_in_place, read_generation, read_manifest
from batchsum.output.formats import DATAPACKAGE, table_writer, write_datapackage
from batchsum.output.report.night import PAGE, night_from_store
from batchsum.output.report.page import write_report
from batchsum.run.judge import Judgement
from batchsum.run.resume import about_run, close_run
from batchsum.store.history import History, troubles
from batchsum.store.store import UNTOLD, Run, Store
from batchsum.text import utc_text
from batchsum.version import __version__

# run.json: what a run did and left, for programs and for whoever asks why.


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


log = logging.getLogger("batchsum")


def file_names(job: Job) -> list[str]:
    """The files that a night of `job` leaves, beside the manifest."""
    return [*(f"summary.{name}" for name in job.output.formats), "changes.csv", DATAPACKAGE, PAGE]


def publish_night(judgement: Judgement, rate: float | None, warnings: Sequence[str] = ()) -> None:
    """Write, then put in place, the files of a judged night. NothingUsable where no row is worth a table."""
    run, job, store, history = judgement.run, judgement.plan.job, judgement.store, judgement.history
    directory, counts = job.output.dir, judgement.counts()
    if not any(counts[status] for status in ("ok", "empty", "rejected")):
        raise _nothing_usable(judgement)
    manifest = build_manifest(judgement, rate=rate, warnings=warnings)
    writers: dict[str, Writer] = {
        f"summary.{name}": partial(
            _write_table, judgement, table_writer(name, manifest=manifest, changes=change_rows(history))
        )
        for name in job.output.formats
    }
    writers["changes.csv"] = lambda path: table.write_delimited(path, change_rows(history), columns=COLUMNS)
    writers[DATAPACKAGE] = lambda path: write_datapackage(path, job)
    writers[PAGE] = lambda path: write_report(
        path, night_from_store(store, run, {**manifest, "files": dict.fromkeys(writers)})
    )
    try:
        publication = prepare(
            directory,
            run.owner,
            writers,
            lambda files: {**manifest, "files": files},
        )
    except OSError:
        store.check_claim()  # whoever took the run over has swept our files away: say that instead
        raise
    accepted = [
        (query.taxon, query.filter_set, verdict.previous_record_count, verdict.record_count)
        for query, verdict in judgement.accepted()
    ]
    with store.transaction():
        if read_generation(directory) != run.generation:
            raise Locked(f"{directory}: another run published meanwhile; its table stays, this run's was not published")
        store.move(run, "open", "publishing", json.dumps({"files": asdict(publication), "accepted": accepted}))
    _put_in_place(store, run, job, publication, accepted)
    log.info("run %s: published in %s", run.run_id, directory)


def _nothing_usable(judgement: Judgement) -> NothingUsable:
    store, run = judgement.store, judgement.run
    told = list(troubles(store, run))
    with store.transaction():
        close_run(store, run)
    error = NothingUsable("nothing usable: no row has an answer; the files of the last night were left alone")
    for trouble in told:
        error.add_note(f"{trouble}: {trouble.examples[0]}")
    return error


def _write_table(judgement: Judgement, write: Callable[..., None], path: Path) -> None:
    write(path, (table.row(query, verdict) for query, verdict in judgement.verdicts()))


def finish_publication(store: Store, job: Job) -> Run | None:
    """What a killed run was putting in place is put in place first; that run, if there was one, or one that had all
    in place and was killed while it told people."""
    run = store.last_run("publishing")
    if run is None:
        last = store.last_run("published")
        return last if last is not None and _is_untold(store, last, job) else None
    kept: dict[str, Any] = json.loads(run.publication or "{}")
    with about_run(run.run_id):
        log.warning("run %s: it was cut off while publishing; finishing that", run.run_id)
        if _put_in_place(store, run, job, Publication(**kept["files"]), kept["accepted"]):
            return run
        log.warning("run %s: its files are gone; they are made again from its answers", run.run_id)
        with store.transaction():
            store.move(run, "publishing", "open")
    return None


def _is_untold(store: Store, run: Run, job: Job) -> bool:
    """Whether `run` is the last that was begun, and its files are there, but it was stopped while it told people."""
    if run.publication != UNTOLD or store.newest() != run.run:
        return False
    manifest = read_manifest(job.output.dir)
    return manifest.get("run_id") == run.run_id and {*file_names(job)} <= manifest["files"].keys()


def _put_in_place(store: Store, run: Run, job: Job, publication: Publication, accepted: list[Any]) -> bool:
    if not put_in_place(job.output.dir, publication):
        return False
    with store.transaction():
        if store.move(run, "publishing", "published", UNTOLD):
            History(store, run).settle(job.output.keep_nights, accepted)
            queue_news(store, job)
    return True
