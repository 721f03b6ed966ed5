"""The published table read again, in whatever format it was written: its cells as text, as CSV shows them.

What `cell` and the writers do to a value for the sake of their format is undone here.
"""

import csv
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from batchsum.output.table import DELIMITERS, SUMMARY

_DAY_ZERO = date(1899, 12, 30)
"""From which Excel counts its days, from March 1900 on."""
_SHEET = "xl/worksheets/sheet1.xml"
_TAGS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def published_rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table by their columns, a missing value empty. `path` ends in one of READABLE, and is what a night
    has written. OSError where it cannot be read, ImportError where its format needs a package that is not here."""
    for record in _READERS[path.suffix](path):
        yield {name: "" if value is None else str(value) for name, value in record.items()}


def _read_delimited(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)  # a list of accessions is one cell, and may be longer than csv allows
    with path.open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file, delimiter=DELIMITERS[path.suffix[1:]]):
            yield {name: _unprotected(cell) for name, cell in record.items()}


def _unprotected(cell: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from running it."""
    return cell[1:] if cell.startswith(("'=", "'+", "'-", "'@", "'\t", "'\r", "'\n")) else cell


def _read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from map(json.loads, file)


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with path.open("rb") as file, pq.ParquetFile(file) as table:
        for batch in table.iter_batches():
            for record in batch.to_pylist():
                yield {name: "true" if value is True else value for name, value in record.items()}


def _read_xlsx(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the sheet `summary`. XlsxWriter can only write, but has written each text into its cell."""
    days = {one.name for one in SUMMARY if one.kind == "date"}
    with zipfile.ZipFile(path) as workbook, workbook.open(_SHEET) as sheet:
        rows = _sheet_rows(element for _, element in ElementTree.iterparse(sheet))
        header = next(rows)
        columns = {letters: name for letters, (name, _) in header.items()}
        for cells in rows:
            record = dict.fromkeys(columns.values(), "")
            for letters, (text, kind) in cells.items():
                name = columns[letters]
                if kind == "b":
                    text = "true"  # a filter that is false was not sent, and is no cell
                elif kind != "inlineStr" and name in days:
                    text = str(_DAY_ZERO + timedelta(days=int(text)))
                record[name] = text
            yield record


def _sheet_rows(elements: Iterable[ElementTree.Element]) -> Iterator[dict[str, tuple[str, str]]]:
    """Each row of a sheet: by the letters of its column, the text of each cell that is there, and its kind."""
    for element in elements:
        if element.tag == f"{_TAGS}row":
            yield {
                cell.get("r", "").rstrip("0123456789"): (_unescaped("".join(cell.itertext())), cell.get("t", "n"))
                for cell in element
            }
            element.clear()  # of a million rows only the one at hand is kept


def _unescaped(text: str) -> str:
    """A text of a workbook, where `_x0009_` stands for a character that XML cannot hold."""
    return re.sub("_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


_READERS: dict[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    ".jsonl": _read_jsonl,
    **{f".{name}": _read_delimited for name in DELIMITERS},
    ".parquet": _read_parquet,
    ".xlsx": _read_xlsx,
}
READABLE = tuple(_READERS)
"""The formats that can be read again, those first that keep every value as it was."""
