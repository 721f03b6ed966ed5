"""A missing state.sqlite3 beside a run.json: the table that lies there becomes the past.

Counts, verdicts, what was asked and what was believed before stand in the table; answers, and the nights before that
one, are lost.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from batchsum.config.taxa_lock import NO_LOCK
from batchsum.errors import UsageError
from batchsum.model.filters import FILTER_COLUMNS
from batchsum.model.job import Job
from batchsum.output.files import MANIFEST, read_manifest
from batchsum.output.formats import missing_package
from batchsum.output.published import READABLE, published_rows
from batchsum.run.plan import Plan
from batchsum.store.directory import STATE
from batchsum.store.history import History
from batchsum.store.rows import KeptRow, QueryKey
from batchsum.store.store import Store


def words_of_lost_store(directory: Path) -> str:
    """What to say, before anything else, where a night was published here and nothing remembers it; else empty."""
    state = directory / STATE
    if not (directory / MANIFEST).is_file() or (state.exists() and state.stat().st_size):
        return ""
    table, why = _table_of(directory, read_manifest(directory))
    what = "the table that lies there becomes the past" if table else why
    return f"{state} is missing, and with it the nights before; {what}"


def remember_table(store: Store, job: Job, manifest: Mapping[str, Any], tonight: date | None) -> str:
    """Make a night of the table that `manifest` tells of, where the store knows of no run at all.

    Tonight's own table becomes a night before `tonight`: that of tonight will take its place, and nothing else is left
    to judge it by.

    What run.json is to say of that; empty where nothing was lost. UsageError where `tonight` is None, since the table's
    night is to go on: its answers are lost.
    """
    if not manifest or store.newest():
        return ""
    directory = job.output.dir
    lost = f"{directory / STATE} was missing, and with it the nights before"
    if tonight is None:
        raise UsageError(f"{lost}; no answer of the last night is left to keep: run the job without --retry")
    table, why = _table_of(directory, manifest)
    if table is None:
        return f"{lost}; {why}"
    told = date.fromisoformat(manifest["today"])
    with store.transaction():
        run = store.begin_run(
            manifest["run_id"], started_at=manifest["started_at"],
            today=min(told, tonight - timedelta(days=1)),
            base_url=manifest["base_url"], job_hash=manifest["job_hash"],
            generation=manifest["generation"] - 1,  # of the table before it
        )  # fmt: skip
        history = History(store, run)
        history.keep(_rows(job, told, published_rows(table)))
        history.remember_believed()
        store.move(run, "open", "published")
        history.settle(job.output.keep_nights, ())
    store.release()  # the night to come is another run
    return f"{lost}; the table of {told}, {table.name}, is taken for the last night"


def _table_of(directory: Path, manifest: Mapping[str, Any]) -> tuple[Path | None, str]:
    """The table that can be read again, and is the one that `manifest` tells of; or why there is none."""
    digests = manifest.get("files", {})
    tables = [directory / f"summary{form}" for form in READABLE]
    whole = [table for table in tables if _is_whole(table, digests.get(table.name))]
    why = f"no table with the digest of {MANIFEST} lies there"
    for table in whole:
        if not (package := missing_package(table.suffix[1:])):
            return table, ""
        why = f"to read {table.name} takes the package {package}, which is not here"
    return None, f"{why}, so that this night has no past"


def _is_whole(path: Path, digest: str | None) -> bool:
    try:
        with path.open("rb") as file:
            return digest == hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return False


def _rows(job: Job, night: date, records: Iterator[dict[str, str]]) -> Iterator[KeptRow]:
    # What the table does not tell, the job does: which dates are relative, and which windows make a series.
    known = {query.filters.text(): query for query in Plan(job, night).queries()}
    for position, record in enumerate(records):
        cells = {name: record[name] for name in FILTER_COLUMNS}
        filters = ";".join(f"{name}={cell}" for name, cell in cells.items() if cell)
        query = known.get(filters)
        asks, series = (query.asks, query.series) if query else (filters, "")
        taxon = record["taxon"]
        tax_id = _number(record["tax_id"]) or NO_LOCK.tax_id(taxon)
        yield KeptRow(
            position, taxon, record["label"], record["filter_set"], filters, record["status"],
            _number(record["record_count"]), record["resource_updated_on"] or None,
            _number(record["previous_record_count"]), record["error"], "", "",
            QueryKey(taxon, tax_id, record["filter_set"], asks, series).number(), asks, series, tax_id,
            record["scientific_name"],
        )  # fmt: skip


def _number(cell: str) -> int | None:
    return int(cell) if cell else None
