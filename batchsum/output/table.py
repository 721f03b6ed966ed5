"""The combined table: its columns, which every format and page uses; its rows; and what writes its plain formats.

A new column is a line of `columns.tsv` and a value at the same place in `row`. Nothing volatile stands in the table:
the same answers give the same bytes, in whatever order they came.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from batchsum.model.filters import FilterSet
from batchsum.model.job import Job
from batchsum.model.queries import BELIEVED, FILE_KINDS, STATUSES, FileSummary, Summary
from batchsum.store.rows import KeptRow
from batchsum.store.store import Run, Store

Value = str | int | float | Decimal | None
Row = tuple[Value, ...]
"""One value for each column; None and "" are both a missing value."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table or of the changes."""

    name: str
    about: str
    """What it means, in a sentence."""
    kind: str = "string"
    """`string`, `integer`, `number`, `boolean` or `date`, as Table Schema calls them. A boolean is true or missing: a
    filter that is false is not sent."""
    choices: tuple[str, ...] = ()
    """The only values there are; any where empty."""
    required: bool = False
    """Whether every row has a value."""


# The order counts: the page and the terminal list the words in it.
CHANGES = (
    "rolled", "new", "refiltered", "removed", "accepted", "became_suspect", "became_rejected", "failed", "skipped",
    "recovered", "vanished", "fell", "returned", "grew", "updated",
)  # fmt: skip

_CHOICES = {"status": STATUSES, "change": CHANGES}
_LINES = Path(__file__).with_name("columns.tsv").read_text(encoding="utf-8").splitlines()


def _columns(table: str) -> tuple[Column, ...]:
    return tuple(
        Column(one["column"], one["about"], one["kind"], _CHOICES.get(one["column"], ()), one["required"] == "required")
        for one in csv.DictReader(_LINES, delimiter="\t")
        if one["table"] == table
    )


SUMMARY = _columns("summary")
"""The columns of the table, in order."""
HELD = _columns("held")
"""What a job with holdings to compare has behind `messages`."""
CHANGED = _columns("changes")
"""The columns of changes.csv, in order."""
COLUMNS = tuple(column.name for column in SUMMARY)

MOST_XLSX_ROWS = 1_048_575
"""Rows that an Excel sheet holds below its header."""


def summary_columns(job: Job) -> tuple[Column, ...]:
    """The columns of the table of `job`, in order."""
    behind = COLUMNS.index("messages") + 1
    return (*SUMMARY[:behind], *HELD, *SUMMARY[behind:]) if has_held(job) else SUMMARY


def has_held(job: Job) -> bool:
    """Whether the table of `job` tells what the user holds."""
    return bool(job.holdings.files) and job.holdings.use == "compare"


_NOTHING = Summary(None)
_NO_FILES = FileSummary()


def held_values(kept: KeptRow, newest: date | None) -> Row:
    """The values of HELD for a row; `newest` is the newest release day in the file that holds it."""
    held, count = kept.held_record_count, kept.record_count
    if held is None:
        return (None, None, None)
    return (held, None if count is None else held - count, newest.isoformat() if newest else None)


def row(kept: KeptRow, filters: FilterSet, summary: Summary | None, held: Row = ()) -> Row:
    """One row, value by value in the order of COLUMNS, with those of HELD if there are any."""
    summary = summary or _NOTHING
    return (
        kept.taxon, kept.heard_tax_id, kept.scientific_name, kept.label, kept.filter_set,
        kept.status, kept.record_count, kept.previous_record_count, kept.record_count_change,
        kept.error, "|".join(summary.messages), *held, *filters.cells().values(),
        summary.assembly_count, summary.resource_updated_on,
        *summary.hydrated[:3], *summary.dehydrated,  # only what is dehydrated is ever rehydrated
        *chain.from_iterable(summary.available_files.get(kind, _NO_FILES) for kind in FILE_KINDS),
    )  # fmt: skip


def cell(value: Value) -> str:
    """A value as CSV shows it; text that a spreadsheet would run gets a leading apostrophe."""
    if isinstance(value, str):
        # Numbers come as numbers, so a count that fell keeps its minus without an apostrophe.
        text = f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
        # The csv module of Python 3.11 leaves a lone \r unquoted, and a reader would see two lines.
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    if isinstance(value, float):
        return f"{value:.15g}"
    return "" if value is None else str(value)


def write_delimited(path: Path, rows: Iterable[Row], *, columns: Iterable[str] = COLUMNS, delimiter: str = ",") -> None:
    """A header and the rows as CSV, or TSV by its delimiter: UTF-8, line ends as on Unix, missing values empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(map(cell, columns))  # those of counts.csv are named by the user
        # What stays as it is, the writer turns into text faster.
        writer.writerows(
            [value if value is None or value == "" or type(value) is int else cell(value) for value in row]
            for row in rows
        )


def write_jsonl(path: Path, rows: Iterable[Row], *, columns: Sequence[str] = COLUMNS) -> None:
    """One object a line, all columns in order, numbers as numbers, missing values null."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in rows:
            values: dict[str, Any] = {
                name: None if value == "" else value for name, value in zip(columns, row, strict=True)
            }
            file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")


DELIMITERS = {"csv": ",", "tsv": "\t"}
"""The delimited formats: a new one of them is written, read again and described by its line here."""

WRITERS: dict[str, Callable[..., None]] = {
    **{name: partial(write_delimited, delimiter=delimiter) for name, delimiter in DELIMITERS.items()},
    "jsonl": write_jsonl,
}
"""What writes the formats that need no package; `output.formats` knows the others."""


# counts.csv: a night as a matrix, a row for each taxon and a column for each filter set; believed counts only.

COUNTS = "counts.csv"
MOST_SETS = 500
"""Filter sets up to which the matrix is written: a wider one nobody reads."""

# A taxon that stands in the job several times has one row, where it stands first.
_COUNTED = """
SELECT taxon, tax_id, scientific_name, label, filter_set, status, record_count FROM rows WHERE run = ?
ORDER BY min(position) OVER (PARTITION BY taxon), position
"""


def has_counts(job: Job) -> bool:
    """Whether a night of `job` leaves the matrix."""
    widths = dict[str, int]()
    for one in job.every_set():
        widths[one.name] = one.windows.last if one.windows else 1  # each window of a series is a column of its own
        if len(widths) > MOST_SETS:
            return False
    return sum(widths.values()) <= MOST_SETS


def set_names(store: Store, run: Run) -> list[str]:
    """The filter sets of a night, in job order."""
    rows = store.query("SELECT filter_set FROM rows WHERE run = ? GROUP BY filter_set ORDER BY min(position)", run.run)
    return [name for (name,) in rows]


def count_columns(filter_sets: Iterable[str]) -> tuple[Column, ...]:
    """The columns of the matrix, in order: the taxon's, and one for each filter set."""
    first = SUMMARY[: COLUMNS.index("filter_set")]
    taken = [one.name for one in first]  # a set may be called `label`, and no reader expects two columns of one name
    about = "Genomes under the filter set {}; missing where no count was believed."
    sets = (
        Column(f"{name} (filter set)" if name in taken else name, about.format(name), "integer") for name in filter_sets
    )
    return (*first, *sets)


def count_rows(store: Store, run: Run, filter_sets: Sequence[str]) -> Iterator[Row]:
    """The rows of the matrix, in job order."""
    for taxon, group in groupby(store.walk(_COUNTED, run.run), key=lambda row: str(row[0])):
        rows = list(group)
        _, tax_id, scientific_name, *_ = rows[0]
        label = next((row[3] for row in rows if row[3]), "")
        counts = {row[4]: row[6] for row in rows if row[5] in BELIEVED}
        heard = tax_id if scientific_name else None  # else it is only what the job says
        yield (taxon, heard, scientific_name, label, *(counts.get(name) for name in filter_sets))
