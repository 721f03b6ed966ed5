"""The combined table: its columns, its rows, and one writer function a format.

Nothing volatile stands in it: the same answers give the same bytes, in whatever order they came.
"""

import csv
import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

from batchsum.model.queries import FILE_KINDS, FileSummary, Query, Summary
from batchsum.run.guards import Verdict
from batchsum.table.columns import SUMMARY

_NOTHING = Summary(None)
_NO_FILES = FileSummary()

COLUMNS = tuple(column.name for column in SUMMARY)

Value = str | int | float | Decimal | None
Row = tuple[Value, ...]


def row(query: Query, verdict: Verdict) -> Row:
    """One row, value by value in the order of COLUMNS; None and "" are both a missing value."""
    summary = verdict.summary or _NOTHING
    return (
        query.taxon, query.label, query.filter_set, *query.filters.cell_texts(),
        verdict.status, verdict.record_count, summary.assembly_count, summary.resource_updated_on,
        *summary.hydrated[:3], *summary.dehydrated,  # only what is dehydrated is ever rehydrated
        *chain.from_iterable(summary.available_files.get(kind, _NO_FILES) for kind in FILE_KINDS),
        verdict.previous_record_count, verdict.record_count_change, "|".join(summary.messages), verdict.error,
    )  # fmt: skip


def cell(value: Value) -> str:
    """A value as CSV shows it; text that a spreadsheet would run gets a leading apostrophe.

    Line ends inside a cell become \\n: the csv module of Python 3.11 leaves a lone \\r unquoted.
    """
    if isinstance(value, str):
        text = f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    if isinstance(value, float):
        return f"{value:.15g}"
    return "" if value is None else str(value)


def write_delimited(path: Path, rows: Iterable[Row], *, columns: Iterable[str] = COLUMNS, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        # What stays as it is, the writer turns into text faster.
        writer.writerows(
            [value if value is None or value == "" or type(value) is int else cell(value) for value in row]
            for row in rows
        )


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    write_delimited(path, rows)


def write_tsv(path: Path, rows: Iterable[Row]) -> None:
    write_delimited(path, rows, delimiter="\t")


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """One object a line, all columns in order, numbers as numbers, missing values null."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in rows:
            values: dict[str, Any] = {
                name: None if value == "" else value for name, value in zip(COLUMNS, row, strict=True)
            }
            file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")


WRITERS: dict[str, Callable[[Path, Iterable[Row]], None]] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
}
