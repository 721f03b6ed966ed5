"""The combined table: its columns, which every format and page uses; its rows; and what writes its plain formats.

A new column is a Column in SUMMARY and a value at the same place in `row`. Nothing volatile stands in the table: the
same answers give the same bytes, in whatever order they came.
"""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from batchsum.model.filters import FilterSet
from batchsum.model.job import Job
from batchsum.model.queries import FILE_KINDS, STATUSES, FileSummary, Summary
from batchsum.store.rows import KeptRow

Value = str | int | float | Decimal | None
Row = tuple[Value, ...]
"""One value for each column; None and "" are both a missing value."""
Kind = Literal["string", "integer", "number", "boolean", "date"]
"""As Table Schema calls them. A boolean is true or missing: a filter that is false is not sent."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table or of the changes."""

    name: str
    about: str
    """What it means, in a sentence."""
    kind: Kind = "string"
    choices: tuple[str, ...] = ()
    """The only values there are; any where empty."""
    required: bool = False
    """Whether every row has a value."""


# The order counts: the page and the terminal list the words in it.
CHANGES = (
    "rolled", "new", "refiltered", "removed", "accepted", "became_suspect", "became_rejected", "failed", "skipped",
    "recovered", "vanished", "fell", "returned", "grew", "updated",
)  # fmt: skip

_FILES = {
    "all_genomic_fasta": "genome sequences, as FASTA",
    "genome_gff": "annotations, as GFF3",
    "genome_gbff": "records, as GenBank flat files",
    "rna_fasta": "RNA sequences, as FASTA",
    "prot_fasta": "protein sequences, as FASTA",
    "genome_gtf": "annotations, as GTF",
    "cds_fasta": "coding sequences, as FASTA",
    "sequence_report": "sequence reports",
    "annotation_report": "annotation reports",
}

_TAXON = Column("taxon", "NCBI Taxonomy ID or name, as the job writes it.", required=True)
_NAMES = (
    Column("tax_id", "NCBI Taxonomy ID of the taxon; missing while NCBI's taxonomy was not heard.", "integer"),
    Column("scientific_name", "Scientific name of the taxon; missing while NCBI's taxonomy was not heard."),
)
_LABEL = Column("label", "What the job calls the taxon.")
_FILTER_SET = Column("filter_set", "Name of the filter set.", required=True)
_PREVIOUS = Column("previous_record_count", "The last count that was believed, however many nights ago.", "integer")
_CHANGE = Column("record_count_change", "record_count less previous_record_count.", "integer")
_STATUS = "What became of the row: ok, empty (no records), suspect, rejected, failed or skipped."
_ERROR = "Why the row has no count that can be believed: one word, a colon, and what happened."

_FILTERS = (
    Column("accessions", "Filter: these nucleotide accessions, joined with |."),
    Column("refseq_only", "Filter: RefSeq genomes only.", "boolean"),
    Column("annotated_only", "Filter: annotated genomes only.", "boolean"),
    Column("released_since", "Filter: released on or after this day.", "date"),
    Column("released_before", "The end of a window: released before this day.", "date"),
    Column("updated_since", "Filter: updated on or after this day.", "date"),
    Column("host", "Filter: Taxonomy ID or name of the host."),
    Column("pangolin_classification", "Filter: Pango lineage, SARS-CoV-2 only."),
    Column("geo_location", "Filter: continent or country of the sample."),
    Column("usa_state", "Filter: two-letter code of a US state or territory."),
    Column("complete_only", "Filter: complete genomes only.", "boolean"),
    Column("include_sequence", "Sequences in the estimated download, joined with |."),
    Column("aux_report", "Reports in the estimated download, joined with |."),
)


def _package(name: str, what: str) -> tuple[Column, ...]:
    return (
        Column(f"{name}_estimated_file_size_mb", f"Estimated size of the download {what}, in MB.", "integer"),
        Column(f"{name}_url", f"Where the download {what} starts."),
        Column(f"{name}_cli_download_command_line", f"NCBI's command for the download {what}."),
    )


SUMMARY = (
    _TAXON,
    *_NAMES,
    _LABEL,
    _FILTER_SET,
    Column("status", _STATUS, choices=STATUSES, required=True),
    Column("record_count", "Genomes that NCBI has. Missing means unknown, never zero.", "integer"),
    _PREVIOUS,
    _CHANGE,
    Column("error", _ERROR),
    Column("messages", "What NCBI said beside the count, joined with |."),
    *_FILTERS,
    Column("assembly_count", "The same under an older name, as NCBI sends it.", "integer"),
    Column("resource_updated_on", "When NCBI last updated its data, as it writes the date or time."),
    *_package("hydrated", "with sequences"),
    *_package("dehydrated", "without sequences"),
    Column("dehydrated_cli_rehydrate_command_line", "NCBI's command that fetches the sequences afterwards."),
    *(
        column
        for kind in FILE_KINDS
        for column in (
            Column(f"{kind}_file_count", f"Files of {_FILES[kind]}.", "integer"),
            Column(f"{kind}_size_mb", f"Size of the {_FILES[kind]}, in MB.", "number"),
        )
    ),
)
"""The columns of the table, in order."""

CHANGED = (
    _TAXON,
    _LABEL,
    _FILTER_SET,
    Column("change", "What happened; the first word that fits.", choices=CHANGES, required=True),
    _PREVIOUS,
    Column("record_count", "Genomes that NCBI has tonight.", "integer"),
    _CHANGE,
    Column("change_percent", "record_count_change in percent of previous_record_count, two digits.", "number"),
    Column("status", "Tonight's status; missing for a row that was removed.", choices=STATUSES),
    Column("error", _ERROR),
)
"""The columns of changes.csv, in order."""

COUNTED = (_TAXON, *_NAMES, _LABEL)
"""The first columns of counts.csv; a column for each filter set follows."""


def set_column(name: str) -> Column:
    """The column of counts.csv for the filter set of this name."""
    # A set may be called `label`, and no reader expects two columns of one name.
    taken = name in [one.name for one in COUNTED]
    about = f"Genomes under the filter set {name}; missing where no count was believed."
    return Column(f"{name} (filter set)" if taken else name, about, "integer")


MOST_XLSX_ROWS = 1_048_575
"""Rows that an Excel sheet holds below its header."""

HELD = (
    Column("held_record_count", "Genomes that you hold, in the file that covers the row.", "integer"),
    Column("held_difference", "held_record_count less record_count.", "integer"),
    Column("held_on", "The newest release day in that file.", "date"),
)
"""What a job with holdings to compare has behind `messages`."""

COLUMNS = tuple(column.name for column in SUMMARY)


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
    """One row, value by value in the order of COLUMNS, with those of HELD if there are any; None and "" are both a
    missing value."""
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
        writer.writerow(columns)
        # What stays as it is, the writer turns into text faster.
        writer.writerows(
            [value if value is None or value == "" or type(value) is int else cell(value) for value in row]
            for row in rows
        )


def write_jsonl(path: Path, rows: Iterable[Row], *, columns: Iterable[str] = COLUMNS) -> None:
    """One object a line, all columns in order, numbers as numbers, missing values null."""
    columns = tuple(columns)
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in rows:
            values: dict[str, Any] = {
                name: None if value == "" else value for name, value in zip(columns, row, strict=True)
            }
            file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")


WRITERS: dict[str, Callable[..., None]] = {
    "csv": write_delimited,
    "tsv": partial(write_delimited, delimiter="\t"),
    "jsonl": write_jsonl,
}
"""What writes the formats that need no package; `output.formats` knows the others."""
