"""CSV and TSV lists of taxa, row by row into the columns of a TaxonList.

Rows with the same filter cells share one tuple of sets, made once: a million rows mean a few hundred.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO

from batchsum.config.filter_sets import EVERYTHING, name_of
from batchsum.config.odd_values import odd_filters
from batchsum.config.problems import nearest, undecodable, unknown
from batchsum.errors import Problem
from batchsum.model.filters import FILTER_NAMES, FILTER_PARSERS, FilterSet, parse_taxon, parse_text
from batchsum.model.job import ListedTaxon, NamedSet

# The records of a CSV or TSV file, one at a time, and where each of their cells stands. The lines of the
# record at hand are kept, so that a problem is told at the character where its cell begins, quoted line
# breaks or not.


MOST_PROBLEMS = 10_000
LONGEST_LINE = 1_000_000

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


class StopReading(Exception):
    """Reading on would tell nothing new."""


class Records:
    """Iterated once: every record that is not a blank line, the header first."""

    def __init__(self, file: str, stream: TextIO, problems: list[Problem]) -> None:
        self.delimiter = ","
        self._file = file
        self._stream = stream
        self._problems = problems
        self._told = 0
        self.line = 1
        self._lines: list[str] = []
        """The physical lines of the record at hand, which begins in `line`."""

    def __iter__(self) -> Iterator[list[str]]:
        lines = self._read_lines()
        first = next(filter(str.strip, lines), None)
        if first is None:
            self.stop("this file is empty; the first line must be a header with the column taxon")
        self.delimiter = _delimiter(first)
        self.line += len(self._lines) - 1
        self._lines.clear()
        reader = csv.reader(self._again(first, lines), delimiter=self.delimiter, strict=True)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._misquoted(str(error))
            else:
                if len(row) > 1 or (row and row[0].strip()):
                    yield row
            self.line += len(self._lines)
            self._lines.clear()

    def _read_lines(self) -> Iterator[str]:
        for line in iter(partial(self._stream.readline, LONGEST_LINE), ""):
            if len(line) == LONGEST_LINE:
                self.stop(f"a line of more than {LONGEST_LINE:,} characters")
            self._lines.append(line)
            yield line

    def _again(self, first: str, lines: Iterator[str]) -> Iterator[str]:
        self._lines.append(first)
        yield first
        yield from lines

    def _misquoted(self, said: str) -> None:
        if "expected after" in said:
            self.report(None, 'text behind a closing quote; write a quote inside quotes as ""')
        else:
            last = len(cell_places(self._lines, self.delimiter)) - 1
            self.stop('a quote that is never closed; write a quote inside quotes as ""', last)

    def report(self, cell: int | None, message: str) -> None:
        """Tell a problem of the record at hand, at its beginning or at one of its cells.

        Raises StopReading where too much has been told.
        """
        self._told += 1
        if self._told > MOST_PROBLEMS:
            message = f"more than {MOST_PROBLEMS:,} problems; the rest of this file was not looked at"
        self._problems.append(self.problem(cell, message))
        if self._told > MOST_PROBLEMS:
            raise StopReading

    def stop(self, message: str, cell: int | None = None) -> NoReturn:
        self.report(cell, message)
        raise StopReading

    def problem(self, cell: int | None, message: str) -> Problem:
        places = cell_places(self._lines, self.delimiter) if cell is not None else []
        down, column = places[cell] if cell is not None and cell < len(places) else (0, 1)
        return Problem(self._file, self.line + down, column, message)


def _delimiter(header: str) -> str:
    """What separates the names of the header."""

    def fit(delimiter: str) -> tuple[bool, int]:
        names = [name.strip(' "\r\n').casefold() for name in header.split(delimiter)]
        return "taxon" in names, len(names)

    return max(DELIMITERS, key=fit)


def cell_places(record: Sequence[str], delimiter: str) -> list[tuple[int, int]]:
    """Where each cell of a record begins: lines below its first, and the column there."""
    places = [(0, 1)]
    at_start, quoted, inside = True, False, False
    for down, line in enumerate(record):
        for column, character in enumerate(line, start=1):
            if character == delimiter and not inside:
                places.append((down, column + 1))
                at_start, quoted = True, False
                continue
            if character == '"' and (at_start or quoted):
                quoted, inside = True, not inside
            at_start = False
    return places


MOST_ROWS = 1_000_000

Sets = tuple[NamedSet, ...] | None
"""The filter sets of a row; None for all of the job."""

COLUMNS = ("taxon", "label", "filter_set", *FILTER_NAMES)
_LISTS = ("accessions", "include_sequence", "aux_report")


@dataclass
class Listing:
    """What lists of taxa are read into, and what they may refer to."""

    today: date
    sets: dict[str, tuple[NamedSet, ...]]
    """The filter sets a row may name."""
    alone: bool = False
    """A list without a YAML file, which can name no set but `all`."""
    broken_sets: list[str] = field(default_factory=list)
    """Names of sets with problems of their own: naming one is no further problem."""
    taxa: list[ListedTaxon] = field(default_factory=list)
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def read_list(path: Path, file: str, listing: Listing) -> None:
    """Add the rows of one file, called `file` in messages, and what is wrong with them.

    Raises OSError where it cannot be read.
    """
    with path.open("rb") as raw:
        if b"\0" in (first := raw.readline(LONGEST_LINE)):
            listing.problems.append(undecodable(file, [first]))
            return
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            _ListFile(file, stream, listing).read()
    except StopReading:
        pass
    except UnicodeDecodeError:
        with path.open("rb") as raw:
            lines = iter(partial(raw.readline, LONGEST_LINE), b"")
            listing.problems.append(undecodable(file, lines))


class _ListFile:
    """One list on its way into a Listing."""

    def __init__(self, file: str, stream: TextIO, listing: Listing) -> None:
        self.file = file
        self.listing = listing
        self.records = Records(file, stream, listing.problems)
        self.report = self.records.report
        self.columns: list[str] = []
        self.broken: set[int] = set()
        """Columns that say nothing; those beside them are checked all the same."""

    def read(self) -> None:
        records = iter(self.records)
        if header := next(records, None):
            self.read_header(header)
            self.read_rows(records)

    def read_header(self, header: list[str]) -> None:
        self.columns = [cell.strip() for cell in header]
        if not any(nearest(name, COLUMNS) for name in self.columns):
            self.records.stop(f"the first line must be a header with the column taxon, not {self.columns[0]!r}", 0)
        hinted = False
        for cell, name in enumerate(self.columns):
            if name in COLUMNS and name not in self.columns[:cell]:
                continue
            self.broken.add(cell)
            if not name:
                self.report(cell, "a column without a name; name it, or remove it")
            elif name not in COLUMNS:
                self.report(cell, unknown("column", name, COLUMNS))
                hinted = hinted or nearest(name, COLUMNS) == "taxon"
            else:
                self.report(cell, f"the column {name} stands here twice")
        if "taxon" not in self.columns:
            if not hinted:
                self.report(0, "the header lacks the column taxon")
            raise StopReading

    def read_rows(self, records: Iterator[list[str]]) -> None:
        width, at_taxon = len(self.columns), self.columns.index("taxon")
        at_label = self.columns.index("label") if "label" in self.columns else None
        filter_cells = [cell for cell in range(width) if cell not in {at_taxon, at_label, *self.broken}]
        pick = itemgetter(*filter_cells) if filter_cells else lambda row: ()
        kinds: dict[object, _Kind] = {}
        for row in records:
            if len(row) != width:
                self.wrong_width(len(row), width)
                continue
            taxon = row[at_taxon].strip()
            if not taxon and not any(map(str.strip, row)):
                continue
            self.count_row()
            key = pick(row)
            kind = kinds.get(key)
            if kind is None:
                kind = kinds[key] = self.read_kind({self.columns[c]: (c, row[c].strip()) for c in filter_cells})
            for cell, message in kind.faults:
                self.report(cell, message)
            taxon_fits = self.fits(at_taxon, "taxon", taxon, parse_taxon)
            label = row[at_label].strip() if at_label is not None else ""
            label_fits = not label or self.fits(at_label, "label", label, parse_text)
            if taxon_fits and label_fits and not kind.faults:
                place = self.file, self.records.line, 1
                self.listing.taxa.append(ListedTaxon(taxon, label, kind.sets, place=place))

    def fits(self, cell: int | None, column: str, text: str, parse: Callable[[str], str]) -> bool:
        try:
            parse(text)
        except ValueError as error:
            self.report(cell, f"{column}: {error}")
            return False
        return True

    def count_row(self) -> None:
        self.listing.rows += 1
        if self.listing.rows > MOST_ROWS:
            self.records.stop(f"more than {MOST_ROWS:,} rows; make several jobs of them")

    def wrong_width(self, cells: int, width: int) -> None:
        hint = ""
        if cells > width:
            hint = f"; a cell with a {DELIMITERS[self.records.delimiter]} inside needs quotes"
        has = f"{cells} cell{'s' * (cells != 1)}"
        self.report(None, f"this row has {has} where the header has {width}{hint}")

    def read_kind(self, cells: dict[str, tuple[int, str]]) -> "_Kind":
        """What all rows with these filter cells have in common."""
        at_name, name = cells.pop("filter_set", (0, ""))
        written = {column: text for column, (_, text) in cells.items() if text}
        values: dict[str, Any] = {}
        faults: list[tuple[int, str]] = []
        for column, text in written.items():
            try:
                values[column] = FILTER_PARSERS[column](_items(text) if column in _LISTS else text)
            except ValueError as error:
                faults.append((cells[column][0], f"{column}: {error}"))
        sets: Sets = None
        chosen = FilterSet(**values)
        try:
            name = parse_text(name) if name else ""
            if not self.broken:  # else nobody knows what the row is filtered by
                sets = self.sets_of(name, written, chosen)
        except ValueError as error:
            faults.append((at_name, f"filter_set: {error}"))
        if not faults and values:
            for column, message in odd_filters(chosen, self.listing.today):
                self.listing.warnings.append(self.records.problem(cells[column][0], message))
        return _Kind(sets, tuple(sorted(faults)))

    def sets_of(self, name: str, written: Mapping[str, str], chosen: FilterSet) -> Sets:
        """The filter sets of a row: None for all of the job, one of the job's, or its own."""
        listing = self.listing
        if not written and not name:
            return None
        if name in listing.sets and chosen == FilterSet():
            return listing.sets[name]
        if not written and name not in listing.broken_sets:
            if listing.alone:
                raise ValueError(f"{name!r} has no filters; fill in a filter's column, or write all, or nothing")
            raise ValueError(unknown("filter set", name, [*listing.sets, *listing.broken_sets]))
        own = name or name_of(chosen, written)
        if own == EVERYTHING.name and chosen == FilterSet():
            return (EVERYTHING,)
        return (NamedSet(own, chosen),)


def _items(text: str) -> list[str]:
    """The values of a cell with a list."""
    items = [item.strip() for item in text.split("|")]
    if not all(items):
        raise ValueError("has an empty value before, behind or between | signs; remove the sign")
    return items


class _Kind(NamedTuple):
    """Rows with the same filter cells."""

    sets: Sets
    faults: tuple[tuple[int, str], ...]
    """Cell and message of what is wrong in them."""
