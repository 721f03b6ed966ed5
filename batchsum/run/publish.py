"""A judged night becomes the one that readers see: its files, its manifest, and its place in the history.

The store knows of the publication before the first file is replaced, and of the night only when all are.
"""

import json
import logging
import os
import platform
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from batchsum.errors import Locked, NothingUsable
from batchsum.model.job import Job
from batchsum.notify.news import MOST_PROBLEMS, News
from batchsum.notify.notifier import queue_news
from batchsum.output import table
from batchsum.output.changes import COLUMNS, change_rows
from batchsum.output.files import PAGE, Publication, prepare, put_in_place, read_manifest
from batchsum.output.formats import DATAPACKAGE, TableWriter, table_writer, write_datapackage
from batchsum.output.report.night import night_from_store
from batchsum.output.report.page import replace_page, write_report
from batchsum.run.completeness import facts_of_holdings
from batchsum.run.data_dates import dates_of
from batchsum.run.job_copy import keep_job
from batchsum.run.judge import judged_rows
from batchsum.run.outcome import Outcome, outcome_of
from batchsum.run.resume import Night, about_run, close_run
from batchsum.run.warnings import staleness, warnings_of
from batchsum.store.failures import doubtful_rows, failures_by_reason
from batchsum.store.held import counted_files
from batchsum.store.history import History
from batchsum.store.rows import Level
from batchsum.store.store import UNTOLD, Run, Store
from batchsum.text import utc_text
from batchsum.version import __version__

log = logging.getLogger("batchsum")


def file_names(job: Job) -> list[str]:
    """The files that a night of `job` leaves, beside the manifest."""
    return [
        *(f"summary.{name}" for name in job.output.formats), "changes.csv",
        *([table.COUNTS] if table.has_counts(job) else []), DATAPACKAGE, PAGE,
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StagedNight:
    """A night whose files are written, and wait beside those that they will replace."""

    publication: Publication
    accepted: dict[str, Level]
    """By what people call the row."""
    outcome: Outcome


def stage_night(night: Night, rate: float | None, warnings: Sequence[str] = ()) -> StagedNight:
    """Write the files of a judged night, and let the store know of them: from here on the night will be published.

    `rate` is the pace at the end of the asking, None for unlimited; `warnings` are those of the asking. NothingUsable
    where no row is worth a table.
    """
    store, run, job, directory = night.store, night.run, night.job, night.job.output.dir
    counts = night.history.counts()
    if not any(counts[status] for status in ("ok", "empty", "suspect", "rejected")):
        raise _nothing_usable(night)
    accepted = dict(accepted_levels(night))
    levels = list(accepted.values())
    manifest = build_manifest(night, counts, rate, warnings, levels)
    try:
        publication = prepare(directory, run.owner, _writers(night, manifest), manifest)
    except OSError:
        store.check_claim()  # whoever took the run over has swept our files away: say that instead
        raise
    outcome = outcome_of(store, run, job, manifest, night.dropped)
    with store.transaction():
        # Read anew, where the file system may have no locks: somebody else may have published by now.
        if read_manifest(directory).get("generation", 0) != run.generation:
            raise Locked(f"{directory}: another run published meanwhile; its table stays, this run's was not published")
        keep_job(store, job, night.plan.lock)
        store.move(run, "open", "publishing", json.dumps({"files": asdict(publication), "accepted": levels}))
    return StagedNight(publication, accepted, outcome)


def publish_staged(night: Night, staged: StagedNight) -> Outcome:
    """Put the files of a night in place; then it is one of the history, and people are to be told."""
    directory = night.job.output.dir
    put_in_place(directory, staged.publication)
    _settle(night.store, night.run, night.job, list(staged.accepted.values()), staged.outcome.news)
    for name, level in staged.accepted.items():
        log.info("%s: %s", name, level)
    log.info("run %s: published in %s", night.run.run_id, directory)
    return staged.outcome


def publish_page_again(store: Store, directory: Path) -> bool:
    """Make the page of the last published night anew, with the failures behind it; False where there is none.

    The tables and run.json stay as they are.
    """
    manifest = read_manifest(directory)
    run = next(iter(store.runs("published", limit=1)), None)
    if run is None or manifest.get("run_id") != run.run_id:
        return False
    replace_page(directory, night_from_store(store, run, {**manifest, "files": [*manifest["files"], PAGE]}))
    return True


def finish_publication(store: Store, job: Job) -> Run | None:
    """Put in place what a killed run was putting in place; that run, if there was one."""
    run = store.last_run("publishing")
    if run is None:
        return None
    kept: dict[str, Any] = json.loads(run.publication or "{}")
    with about_run(run.run_id):
        log.warning("run %s: it was cut off while publishing; finishing that", run.run_id)
        if put_in_place(job.output.dir, Publication(**kept["files"])):
            news = outcome_of(store, run, job, read_manifest(job.output.dir)).news
            _settle(store, run, job, [Level(*one) for one in kept["accepted"]], news)
            return run
        log.warning("run %s: its files are gone; they are made again from its answers", run.run_id)
        with store.transaction():
            store.move(run, "publishing", "open")
    return None


def untold_run(store: Store, job: Job, manifest: Mapping[str, Any]) -> Run | None:
    """The last run, where all of it is in place, as `manifest` says, but it was killed while it told people."""
    run = store.last_run("published")
    if run is None or run.publication != UNTOLD or store.newest() != run.run:
        return None
    # The page is left out, since run.json has no digest of it.
    is_in_place = manifest.get("run_id") == run.run_id and {*file_names(job)} - {PAGE} <= manifest["files"].keys()
    return run if is_in_place else None


def _settle(store: Store, run: Run, job: Job, accepted: Sequence[Level], news: News) -> None:
    """The files are in place: from here on this is a night of the history, and people are to be told."""
    with store.transaction():
        if store.move(run, "publishing", "published", UNTOLD):  # else somebody else has settled it
            History(store, run).settle(job.output.keep_nights, accepted)
            queue_news(store, job, news)  # in here: a kill can neither lose the news nor double them
    store.release()  # what is kept from here on, as who was told, is about no run that somebody could take over


def _nothing_usable(night: Night) -> NothingUsable:
    failures = list(failures_by_reason(night.store, night.run))
    words = "; ".join(["no row has an answer", *map(str, failures)])
    error = NothingUsable(f"nothing usable: {words}; the files of the last table were left alone")
    error.row_count = sum(one.rows for one in failures)
    error.doubtful = doubtful_rows(night.store, night.run, MOST_PROBLEMS)
    with night.store.transaction():
        close_run(night.store, night.run, words)
    for one in failures:
        error.add_note(f"{one}: {one.examples[0]}")
    return error


def _writers(night: Night, manifest: Mapping[str, Any]) -> dict[str, Callable[[Path], None]]:
    """For each file of the night what writes it."""
    history, job, store, run = night.history, night.job, night.store, night.run
    writers: dict[str, Callable[[Path], None]] = {}
    sets = table.set_names(store, run)
    matrix = table.count_columns(sets) if table.has_counts(job) else ()
    for name in job.output.formats:
        write = table_writer(
            name, manifest=manifest, changes=change_rows(history), counts=(matrix, table.count_rows(store, run, sets)),
            columns=table.summary_columns(job),
        )  # fmt: skip
        writers[f"summary.{name}"] = partial(_write_table, night, write)
    writers["changes.csv"] = lambda path: table.write_delimited(path, change_rows(history), columns=COLUMNS)
    if matrix:
        names = [one.name for one in matrix]
        writers[table.COUNTS] = lambda path: table.write_delimited(
            path, table.count_rows(store, run, sets), columns=names
        )
    writers[DATAPACKAGE] = lambda path: write_datapackage(path, job, matrix)
    shown = {**manifest, "files": file_names(job)}  # the page links to files whose digests are not known yet
    writers[PAGE] = lambda path: write_report(path, night_from_store(store, run, shown))
    return writers


def _write_table(night: Night, write: TableWriter, path: Path) -> None:
    newest = {one.file: one.newest for one in counted_files(night.store, night.run)}
    has_held = table.has_held(night.job)

    def rows() -> Iterator[table.Row]:
        for kept, query, summary in judged_rows(night):
            held = table.held_values(kept, newest.get(kept.held_in)) if has_held else ()
            yield table.row(kept, query.filters, summary, held)

    write(path, rows())


def accepted_levels(night: Night) -> Iterator[tuple[str, Level]]:
    """The levels of this night that the user told us to believe, now or before it was begun again, each behind what
    people call its row."""
    before, now = night.history.accepted_tonight, utc_text(datetime.now(UTC))
    for row in night.history.accepted():
        name = f"{row.name_and_id} / {row.filter_set}"
        if row.query in before and not night.accepts(row):
            yield name, before[row.query]
        else:
            yield name, Level(
                row.query, night.run.today.isoformat(), row.taxon, row.filter_set,
                row.previous_record_count, row.record_count, now, user_name(), night.note,
            )  # fmt: skip


# run.json: what a run did and left, for programs and for whoever asks why.


def user_name() -> str:
    """The login name of whoever runs this, or the user id where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under an id without a user
        return str(os.getuid())


def build_manifest(
    night: Night, counts: Mapping[str, int], rate: float | None, warnings: Sequence[str], accepted: Sequence[Level]
) -> dict[str, Any]:
    """The manifest of a judged night with `counts` rows by status, but for its `files`, which `prepare` adds."""
    plan, run = night.plan, night.run
    return {
        "run_id": run.run_id,
        "generation": run.generation + 1,
        "job": night.job.name,
        "job_hash": run.job_hash,
        "started_at": run.started_at,
        "finished_at": utc_text(datetime.now(UTC)),
        "base_url": run.base_url,
        "today": run.today.isoformat(),
        "resolved_dates": {
            name: {one: str(day) for one, day in filters.dates().items()} for name, filters in plan.dated_sets().items()
        },
        "requests_per_second": rate,
        "queries": plan.query_count,
        "requests": plan.request_count,
        "statuses": counts,
        "data_date": dates_of(night).date,
        "changes": sum(night.history.changes_by_kind().values()),
        "warnings": list(dict.fromkeys([*night.warnings, *warnings, *warnings_of(night)])),
        "stale": staleness(night),
        **facts_of_holdings(night),
        "accepted": [{name: value for name, value in one._asdict().items() if name != "query"} for one in accepted],
        "http_statuses": night.store.count_http_statuses(run),
        "versions": {"batchsum": __version__, "python": platform.python_version(), "aiohttp": aiohttp.__version__},
    }
