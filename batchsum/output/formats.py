"""Which formats the table can take, what each of them needs and who writes it; and the description of the files.

Whatever stands in the way of a format is known, and told, before anything is asked. A new format is a writer here or
in WRITERS, and its package, if it needs one, in _EXTRAS.
"""

import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from batchsum.errors import UsageError
from batchsum.model.job import Job, NamedSet
from batchsum.output import table
from batchsum.output.table import Column, Row
from batchsum.text import install_extra

_EXTRAS = {"parquet": "pyarrow", "xlsx": "xlsxwriter"}
"""Formats that need an optional package."""

DATAPACKAGE = "datapackage.json"

_ABOUT = (
    "Counts of virus genomes by taxon and filter set, as NCBI Datasets gave them. A missing value is an empty cell, "
    "and never a zero. Text that a spreadsheet would run begins with an apostrophe. "
    "run.json has the night, the run and the digest of each file."
)

TableWriter = Callable[[Path, Iterable[Row]], None]


def table_writer(
    name: str, *, manifest: Mapping[str, Any], changes: Iterable[Row],
    counts: tuple[Sequence[Column], Iterable[Row]], columns: Sequence[Column] = table.SUMMARY,
) -> TableWriter:  # fmt: skip
    """What writes a table of `columns` in the format `name`. A workbook shows `changes` and `counts` (columns and rows;
    none where there are no columns); Parquet carries some of `manifest`."""
    if name == "parquet":
        from batchsum.output.parquet import write_parquet  # imported here, since pyarrow may not be installed

        return partial(write_parquet, columns=columns, manifest=manifest)
    if name == "xlsx":
        from batchsum.output.xlsx import write_xlsx

        return partial(write_xlsx, columns=columns, changes=changes, counts=counts)
    return partial(table.WRITERS[name], columns=[one.name for one in columns])


def require_formats(job: Job) -> None:
    """UsageError where a format of the job cannot be written here."""
    if problems := list(format_problems(job)):
        raise UsageError("; ".join(problems))


def format_problems(job: Job) -> Iterator[str]:
    """One sentence for each format of the job that cannot be written: what is missing, and what to do."""
    for name in job.output.formats:
        if package := missing_package(name):
            yield f"format {name} needs the package {package}, which is not here; {install_extra(name)}"
    if "xlsx" in job.output.formats and (rows := row_count(job)) > table.MOST_XLSX_ROWS:
        yield (
            f"format xlsx holds {table.MOST_XLSX_ROWS:,} rows and the job has {rows:,}; write parquet or csv instead, "
            "or split the job"
        )


def missing_package(name: str) -> str:
    """The package that the format `name` needs, where it is not here; else empty."""
    package = _EXTRAS.get(name, "")
    try:
        # Not find_spec: a package may lie there and still fail to load.
        return "" if not package or importlib.import_module(package) else package
    except ImportError:
        return package


def row_count(job: Job) -> int:
    """The rows of the table: one for each taxon and filter set, a series of windows counted by its windows."""

    def count(sets: Iterable[NamedSet]) -> int:
        return sum(one.windows.last if one.windows else 1 for one in sets)

    every_set = count(job.filter_sets)  # counted once, since a long list of taxa shares it
    return sum(count(listed.sets) if listed.sets else every_set for listed in job.taxa)


def datapackage(job: Job, counts: Sequence[Column] = ()) -> dict[str, Any]:
    """What the delimited files of a night of `job` hold, column by column, for programs that read them.

    `counts` are the columns of the night's counts.csv, none where it leaves none.
    Source: the specifications Tabular Data Package and Table Schema. Nothing volatile stands in it: the manifest has
    the times and the digests.
    """
    summaries = [name for name in job.output.formats if name in table.DELIMITERS]
    resources = [
        # Names of resources must differ, and the first format keeps the plain one.
        _resource(
            f"summary{'' if name == summaries[0] else f'-{name}'}", f"summary.{name}", name, table.summary_columns(job)
        )
        for name in summaries
    ]
    resources.append(_resource("changes", "changes.csv", "csv", table.CHANGED))
    if counts:
        resources.append(_resource("counts", table.COUNTS, "csv", counts))
    return {
        "profile": "tabular-data-package",
        "name": job.name.lower(),  # the specification allows no capitals here
        "title": f"batchsum: {job.name}",
        "description": _ABOUT,
        "resources": resources,
    }


def write_datapackage(path: Path, job: Job, counts: Sequence[Column]) -> None:
    path.write_text(json.dumps(datapackage(job, counts), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _resource(name: str, path: str, form: str, columns: Sequence[Column]) -> dict[str, Any]:
    delimiter = table.DELIMITERS[form]
    has_tabs = delimiter == "\t"
    return {
        "name": name,
        "path": path,
        "profile": "tabular-data-resource",
        "format": "tsv" if has_tabs else "csv",  # the two that readers know; the dialect tells the delimiter
        "mediatype": "text/tab-separated-values" if has_tabs else "text/csv",
        "encoding": "utf-8",
        "dialect": {"delimiter": delimiter, "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True},
        "schema": {"fields": [_field(one) for one in columns], "missingValues": [""]},
    }


def _field(column: Column) -> dict[str, Any]:
    # As the header has it, by which readers find the column.
    field: dict[str, Any] = {"name": table.cell(column.name), "type": column.kind, "description": column.about}
    if column.kind == "boolean":
        field |= {"trueValues": ["true"], "falseValues": ["false"]}
    constraints: dict[str, Any] = {"required": True} if column.required else {}
    if column.choices:
        constraints["enum"] = list(column.choices)
    return {**field, "constraints": constraints} if constraints else field
