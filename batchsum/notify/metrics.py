"""metrics.prom: the last run for Prometheus, as node_exporter's textfile collector reads it.

What tells of the table stays with the last published one; what tells of the run is the last run's, failed ones
included. A count that is not believed is left out, as null is never zero.
"""

import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from batchsum.atomic import replace_file
from batchsum.errors import BatchsumError
from batchsum.model.job import Job
from batchsum.model.queries import exit_code_of
from batchsum.notify.news import News
from batchsum.output.files import read_manifest
from batchsum.store.directory import STATE
from batchsum.store.store import Store

log = logging.getLogger("batchsum")

FILE = "metrics.prom"
MOST_ROWS = 2000
"""Rows up to which each has a series of its own; Prometheus suffers from more."""

Sample = tuple[Mapping[str, str], float | None]
"""Labels and value; one that is not known is left out."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_LAST_SUCCESS = "batchsum_last_success_timestamp_seconds"


def write_metrics(job: Job, news: News, *, seconds: float, now: datetime) -> None:
    """Replace `metrics.prom` in the output directory. A failure is logged and no more."""
    directory = job.output.dir
    if not directory.is_dir():  # a run that failed before it made its directory leaves none behind
        return
    try:
        manifest = read_manifest(directory)
        counts, before = _counts(directory), _before(directory)
        replace_file(directory / FILE, metrics_text(news, manifest, counts, seconds=seconds, now=now, before=before))
    except (OSError, sqlite3.Error, BatchsumError, ValueError) as error:
        log.warning("%s was not written: %s", FILE, error)


def metrics_text(
    news: News,
    manifest: Mapping[str, Any],
    counts: list[tuple[str, str, int]],
    *,
    seconds: float,
    now: datetime,
    before: float | None,
) -> str:
    """The text of the file. `counts` holds taxon, filter set and count; `before` the last success known so far."""
    mine = {"job": news.job}
    statuses, codes = manifest.get("statuses", {}), manifest.get("http_statuses", {})
    finished, files = manifest.get("finished_at"), manifest.get("holdings", {"files": ()})["files"]
    published = datetime.fromisoformat(finished).timestamp() if finished else None
    success = published if published and not exit_code_of(statuses) else before
    families: list[tuple[str, str, list[Sample]]] = [
        ("batchsum_run_exit_code", "Exit code of the last run.", [(mine, news.exit_code)]),
        ("batchsum_run_duration_seconds", "How long the last run took.", [(mine, round(seconds, 3))]),
        ("batchsum_run_timestamp_seconds", "When the last run ended, failed or not.", [(mine, now.timestamp())]),
        ("batchsum_last_published_timestamp_seconds", "When the table was published.", [(mine, published)]),
        (_LAST_SUCCESS, "When a table was published of which every row is answered.", [(mine, success)]),
        ("batchsum_rows", "Rows of the table by status.",
         [({**mine, "status": status}, count) for status, count in statuses.items()]),
        ("batchsum_changes", "Rows of the table that differ from the night before.", [(mine, manifest.get("changes"))]),
        ("batchsum_run_requests", "Requests sent for the table, by HTTP status; none where no answer came.",
         [({**mine, "code": code}, count) for code, count in codes.items()]),
        ("batchsum_held_record_count", "Records that a file of the user holds.",
         [({**mine, "file": one["file"]}, one["held_record_count"]) for one in files if "day" in one]),
        ("batchsum_held_missing", "Records released before the day of a file that it lacks.",
         [({**mine, "file": one["file"]}, sum(one["missing"].values())) for one in files if "missing" in one]),
        ("batchsum_record_count", "Believed count of a row of the table.",
         [({**mine, "taxon": taxon, "filter_set": name}, count) for taxon, name, count in counts]),
    ]  # fmt: skip
    return "".join(line + "\n" for family in families for line in _family(*family))


def _family(name: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    known = [(labels, value) for labels, value in samples if value is not None]
    if known:
        yield f"# HELP {name} {about}"
        yield f"# TYPE {name} gauge"
    for labels, value in known:
        inside = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
        yield f"{name}{{{inside}}} {value!r}"


def _before(directory: Path) -> float | None:
    """The last success that the file already knows: no manifest of a later night does."""
    try:
        text = (directory / FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    found = re.search(rf"^{_LAST_SUCCESS}\{{[^\n]*\}} ([0-9.e+]+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def _counts(directory: Path) -> list[tuple[str, str, int]]:
    """Believed counts of the last published night, each query once; none at all above MOST_ROWS."""
    if not (directory / STATE).is_file():  # opening a store would make one
        return []
    with Store(directory / STATE) as store:
        rows = store.query(
            # DISTINCT: a row may stand in the job twice, and its series only once in the file.
            "SELECT DISTINCT taxon, filter_set, record_count FROM rows"
            " WHERE run = (SELECT max(run) FROM runs WHERE state = 'published') AND status IN ('ok', 'empty')"
            " ORDER BY position LIMIT ?",
            MOST_ROWS + 1,  # one more than is shown tells that there are too many
        )
    return [] if len(rows) > MOST_ROWS else [(taxon, name, count) for taxon, name, count in rows]
