"""The table as an Excel workbook: typed cells; the changes, the matrix of counts and the columns' meaning on sheets of
their own.

Text is text: no cell becomes a formula, a link or a number because of how it looks. Rows go to the disk as they
come, so that their number costs no memory.
"""

import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import XlsxFileError

from batchsum.output.table import CHANGED, MOST_XLSX_ROWS, SUMMARY, Column, Row, Value

LONGEST_TEXT = 32_767
"""UTF-16 units of a cell."""

# The file holds nothing of when it was written; this is the day zip files count from.
_CREATED = datetime(1980, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1900, 3, 1)
"""Excel believes in a 29 February 1900, so dates before this one are off by a day, or cannot be written."""
_NOT_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd", **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}
_ABOUT = (Column("column", ""), Column("meaning", ""))
_WIDE = {
    "taxon": 16,
    "label": 20,
    "scientific_name": 24,
    "filter_set": 16,
    "change": 16,
    "error": 60,
    "meaning": 90,
    "column": 42,
}


def write_xlsx(
    path: Path, rows: Iterable[Row], *, changes: Iterable[Row], counts: tuple[Sequence[Column], Iterable[Row]],
    columns: Sequence[Column] = SUMMARY,
) -> None:  # fmt: skip
    """Write `rows` (at most MOST_XLSX_ROWS), `changes` and the columns and rows of `counts` to `path`; without columns
    no sheet of counts. OSError where the disk does not take them."""
    options = {
        "default_date_format": "yyyy-mm-dd",
        "constant_memory": True,  # a row leaves memory when the next one begins: cells can only be written in order
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    # XlsxWriter keeps the rows of each sheet there until it closes, and leaves them if it is given up.
    with tempfile.TemporaryDirectory(prefix="batchsum-") as scratch:
        workbook = xlsxwriter.Workbook(path, {**options, "tmpdir": scratch})
        try:
            workbook.set_properties({"created": _CREATED.replace(tzinfo=None), "comments": "Written by batchsum."})
            workbook.use_zip64()  # a sheet of a million rows may pass the 4 GB of a plain zip
            _write_sheet(workbook, "summary", columns, rows)
            _write_sheet(workbook, "changes", CHANGED, _at_most(MOST_XLSX_ROWS, changes))
            if counts[0]:
                _write_sheet(workbook, "counts", *counts)
            meanings = ((one.name, one.about) for one in dict.fromkeys(chain(columns, CHANGED)))
            _write_sheet(workbook, "columns", _ABOUT, meanings)
            workbook.close()
        except XlsxFileError as error:
            raise OSError(str(error)) from error
        finally:
            # A workbook that was given up must not write itself when it is collected.
            workbook.fileclosed = True


def _at_most(count: int, rows: Iterable[Row]) -> Iterable[Row]:
    """The rows, or the first of them and a last one that says where the others are."""
    remaining = iter(rows)
    yield from islice(remaining, count - 1)
    last = next(remaining, None)
    if last is not None:
        yield last if next(remaining, None) is None else ("…", "", "", "more in changes.csv")


def _write_sheet(workbook: Any, name: str, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """A sheet with a header that stays, a filter, and one column after the other by its kind."""
    sheet, names = workbook.add_worksheet(name), [one.name for one in columns]
    bold, grouped = workbook.add_format({"bold": True}), workbook.add_format({"num_format": "#,##0"})
    for index, one in enumerate(columns):
        width = _WIDE.get(one.name, min(24, max(11, len(one.name) + 2)))
        sheet.set_column(index, index, width, grouped if one.kind == "integer" else None)
    sheet.freeze_panes(1, names.index("filter_set") + 1 if "filter_set" in names else 1)
    for index, name in enumerate(names):  # those of filter sets are the user's
        _write_text(sheet, 0, index, name, bold)
    number = 0
    for number, row in enumerate(rows, start=1):
        # Not strict: a row may end early, as the one of _at_most does.
        for index, (one, value) in enumerate(zip(columns, row, strict=False)):
            if value is not None and value != "":
                _write_cell(sheet, number, index, one.kind, value)
    sheet.autofilter(0, 0, number, len(columns) - 1)


def _write_cell(sheet: Any, row: int, column: int, kind: str, value: Value) -> None:
    match kind:
        case "integer" | "number":
            sheet.write_number(row, column, value)
        case "boolean":
            sheet.write_boolean(row, column, value == "true")
        case "date" if (day := date.fromisoformat(str(value))) >= _FIRST_DAY:
            sheet.write_datetime(row, column, day)
        case _:
            _write_text(sheet, row, column, str(value))


def _write_text(sheet: Any, row: int, column: int, text: str, *style: Any) -> None:
    text = text.translate(_NOT_XML) if not text.isascii() else text
    # A character is two UTF-16 units at most, so a short text need not be encoded to be measured.
    if len(text) > LONGEST_TEXT // 2 and len(text.encode("utf-16-le")) > 2 * LONGEST_TEXT:
        text = text.encode("utf-16-le")[: 2 * (LONGEST_TEXT - 1)].decode("utf-16-le", errors="ignore") + "…"
    if text.startswith("<r>") and text.endswith("</r>"):
        # XlsxWriter takes such text for markup of its own, unless it comes in pieces.
        sheet.write_rich_string(row, column, text[0], text[1], text[2:], *style)
    else:
        sheet.write_string(row, column, text, *style)
