"""datapackage.json: what the delimited files beside it hold, column by column, for programs that read them.

Source: the specifications Tabular Data Package and Table Schema. Nothing volatile stands in it: the manifest has
the times and the digests.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchsum.model.job import Job
from batchsum.table.columns import CHANGED, SUMMARY, Column

DATAPACKAGE = "datapackage.json"

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_ABOUT = (
    "Counts of virus genomes by taxon and filter set, as NCBI Datasets gave them. A missing value is an empty cell, "
    "and never a zero. Text that a spreadsheet would run begins with an apostrophe. "
    "run.json has the night, the run and the digest of each file."
)


def datapackage(job: Job) -> dict[str, Any]:
    """The descriptor of what a night of `job` leaves, ready for JSON."""
    summaries = [name for name in job.output.formats if name in _DELIMITERS]
    resources = [
        _resource(f"summary{'' if name == summaries[0] else f'-{name}'}", f"summary.{name}", name, SUMMARY)
        for name in summaries
    ]
    resources.append(_resource("changes", "changes.csv", "csv", CHANGED))
    return {
        "profile": "tabular-data-package",
        "name": job.name.lower(),
        "title": f"batchsum: {job.name}",
        "description": _ABOUT,
        "resources": resources,
    }


def write_datapackage(path: Path, job: Job) -> None:
    path.write_text(json.dumps(datapackage(job), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _resource(name: str, path: str, form: str, columns: Sequence[Column]) -> dict[str, Any]:
    return {
        "name": name,
        "path": path,
        "profile": "tabular-data-resource",
        "format": form,
        "mediatype": "text/csv" if form == "csv" else "text/tab-separated-values",
        "encoding": "utf-8",
        "dialect": {"delimiter": _DELIMITERS[form], "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True},
        "schema": {"fields": [_field(one) for one in columns], "missingValues": [""]},
    }


def _field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name, "type": column.kind, "description": column.about}
    if column.kind == "boolean":
        field |= {"trueValues": ["true"], "falseValues": ["false"]}
    constraints: dict[str, Any] = {"required": True} if column.required else {}
    if column.choices:
        constraints["enum"] = list(column.choices)
    return {**field, "constraints": constraints} if constraints else field
