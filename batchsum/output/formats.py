"""Which formats the table can take, what each of them needs, and who writes it.

Whatever stands in the way of a format is known, and told, before anything is asked.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from batchsum.errors import UsageError
from batchsum.model.job import Job
from batchsum.output.table import WRITERS, Row

MOST_XLSX_ROWS = 1_048_575
"""Rows that an Excel sheet holds below its header."""

_EXTRAS = {"parquet": "pyarrow", "xlsx": "xlsxwriter"}
"""Formats that need an optional package."""

TableWriter = Callable[[Path, Iterable[Row]], None]


def table_writer(name: str, *, manifest: Mapping[str, Any], changes: Iterable[Row]) -> TableWriter:
    """What writes the table in the format `name`. A workbook shows `changes`; Parquet carries some of `manifest`."""
    if name == "parquet":
        from batchsum.output.parquet import write_parquet

        return partial(write_parquet, manifest=manifest)
    if name == "xlsx":
        from batchsum.output.xlsx import write_xlsx

        return partial(write_xlsx, changes=changes)
    return WRITERS[name]


def require_formats(job: Job) -> None:
    """UsageError where a format of the job cannot be written here."""
    if problems := list(format_problems(job)):
        raise UsageError("; ".join(problems))


def format_problems(job: Job) -> Iterator[str]:
    """One sentence for each format of the job that cannot be written: what is missing, and what to do."""
    for name in job.output.formats:
        if (package := _EXTRAS.get(name)) and not _is_there(package):
            yield f"format {name} needs the package {package}, which is not here; pip install 'batchsum[{name}]'"
    if "xlsx" in job.output.formats and (rows := row_count(job)) > MOST_XLSX_ROWS:
        yield (
            f"format xlsx holds {MOST_XLSX_ROWS:,} rows and the job has {rows:,}; write parquet or csv instead, "
            "or split the job"
        )


def row_count(job: Job) -> int:
    """The rows of the table: one for each taxon and filter set, a series of windows counted by its windows."""

    def count(sets: Iterable[object]) -> int:
        return sum(windows.last if (windows := getattr(one, "windows", None)) else 1 for one in sets)

    everything = count(job.filter_sets)
    counts: dict[int, int] = {}
    total = 0
    for listed in job.taxa:
        sets = listed.sets
        if not sets:
            total += everything
            continue
        if id(sets) not in counts:
            counts[id(sets)] = count(sets)
        total += counts[id(sets)]
    return total


def _is_there(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True
