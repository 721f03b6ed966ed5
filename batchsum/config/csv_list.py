"""Lists of taxa as people keep them: CSV and TSV with a header, TXT with one taxon a line.

A row becomes a ListedTaxon. Rows with the same filter cells share their filter sets, which are read once: a
million rows have a few hundred different ones.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TextIO

from batchsum.config.filter_sets import is_named_as_window, name_of
from batchsum.config.odd_values import odd_filters, odd_line
from batchsum.config.problems import OnceAKind, StopReading, kind_of, nearest, undecodable, unknown
from batchsum.errors import Problem
from batchsum.model.filters import (
    FILTER_NAMES,
    FILTER_PARSERS,
    LIST_FILTERS,
    SHEET_ERRORS,
    FilterSet,
    parse_taxon,
    parse_text,
)
from batchsum.model.job import ListedTaxon, NamedSet
from batchsum.text import counted

MOST_ROWS = 1_000_000
LONGEST_LINE = 1_000_000  # a file that is no list may be one endless line, which would fill the memory

COLUMNS = ("taxon", "label", "filter_set", *FILTER_NAMES)
ALSO_CALLED = {"taxid": "taxon", "tax_id": "taxon", "taxon_id": "taxon", "name": "label"}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

Sets = tuple[NamedSet, ...] | None
"""The filter sets of a row; None for all of the job."""
Told = tuple[int, str]
"""A cell, and what is wrong with it."""


@dataclass
class Listing:
    """What lists of taxa are read into, and what they may refer to."""

    today: date
    sets: dict[str, tuple[NamedSet, ...]] = field(default_factory=dict)
    """The filter sets a row may name. One with problems of its own is empty: naming it is no further problem."""
    alone: bool = False
    """A list without a YAML file, which can name no set but `all`."""
    taxa: list[ListedTaxon] = field(default_factory=list)
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def read_list(path: Path, listing: Listing) -> None:
    """Add the rows of one file, and what is wrong with them. Raises OSError where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:  # Excel writes a byte-order mark
            _ListFile(path, stream, listing).read()
    except UnicodeError:
        with path.open("rb") as raw:
            lines = iter(partial(raw.readline, LONGEST_LINE), b"")
            listing.problems.append(undecodable(str(path), lines))


class _ListFile:
    """One list on its way into a Listing.

    The lines of the record at hand are kept, so that a problem is told at the character where its cell begins, whether
    or not there are line breaks inside its quotes.
    """

    def __init__(self, path: Path, stream: TextIO, listing: Listing) -> None:
        self.file = str(path)
        self.stream = stream
        self.listing = listing
        self.has_header = path.suffix.lower() != ".txt"
        self.delimiter = ","
        self.line = 1
        """Where the record at hand begins."""
        self.lines: list[str] = []
        self.problems, self.warnings = OnceAKind(), OnceAKind()
        self.at: dict[str, int] = {}
        """Where the cell of each known column stands; a broken one is not among them, and the others are read."""
        self.has_broken = False

    def read(self) -> None:
        try:
            records = self.records()
            header = next(records, None) if self.has_header else ["taxon"]
            if header is not None:
                self.read_header(header)
                self.read_rows(header, records)
        except StopReading:
            pass
        finally:
            self.listing.problems += self.problems.told()
            self.listing.warnings += self.warnings.told()

    def read_header(self, header: list[str]) -> None:
        columns = [column_of(cell) for cell in header]
        if columns[0].startswith("sep="):
            self.stop(f"{header[0].strip()!r} is for Excel alone; remove this line", 0)
        # Not one name that is near a column: this is a list without a header, and its other lines are no help.
        if not any(map(_nearest_column, columns)):
            expected = f"the first line must be a header with the column taxon, not {header[0].strip()!r}"
            self.stop(f"{expected}; a list without one ends in .txt", 0)
        for cell, name in enumerate(columns):
            if name in COLUMNS and name not in self.at:
                self.at[name] = cell
                continue
            self.has_broken = True
            near, written = _nearest_column(name), header[cell].strip()
            near = "label" if near == "taxon" in columns else near  # beside an id, a species is what people read
            if not name:
                self.report(cell, "a column without a name; name it, or remove it")
            elif name in COLUMNS:
                self.report(cell, f"{written!r} names the column {name} a second time; remove one of them")
            elif near:
                self.report(cell, f"unknown column {written!r}; did you mean {near!r}?")
            else:
                self.report(cell, unknown("column", written, COLUMNS))
        if "taxon" not in self.at:
            if "taxon" not in map(_nearest_column, columns):
                self.report(0, "the header lacks the column taxon")
            raise StopReading

    def read_rows(self, header: list[str], records: Iterator[list[str]]) -> None:
        width, at_taxon, at_label = len(header), self.at["taxon"], self.at.get("label")
        filters = {column: cell for column, cell in self.at.items() if cell not in (at_taxon, at_label)}
        # The cells themselves are the key: most rows end here, and nothing of theirs is parsed again.
        known: dict[tuple[str, ...], tuple[Sets, list[Told], list[Told]]] = {}
        for row in records:
            if not row[0].strip() and not any(map(str.strip, row)):  # spreadsheets save an empty row as ,,,
                continue
            if len(row) != width:
                self.wrong_width(len(row), width)
                continue
            if row == header:  # files that were joined end to end repeat it
                self.report(None, "the header stands here again; remove this row")
                continue
            self.listing.rows += 1
            if self.listing.rows > MOST_ROWS:
                self.stop(f"more than {MOST_ROWS:,} rows; make several jobs of them")
            key = tuple([row[cell] for cell in filters.values()])  # a list inside is faster than a generator
            if key not in known:
                known[key] = self.read_filters({column: row[cell].strip() for column, cell in filters.items()})
            sets, faults_of_filters, oddities = known[key]
            for cell, message in oddities:
                self.warnings.add((cell, message), self.problem(cell, message))
            faults = [*faults_of_filters]
            taxon = _read(faults, at_taxon, "taxon", parse_taxon, row[at_taxon].strip())
            if not self.has_header and taxon and (oddity := odd_line(taxon)):
                self.warnings.add((at_taxon, kind_of(oddity)), self.problem(None, f"taxon: {oddity}"))
            label = row[at_label].strip() if at_label is not None else ""
            if label:
                _read(faults, at_label, "label", parse_text, label)
            for cell, message in faults:
                self.report(cell, message)
            if not faults:
                place = self.file, self.line, 1
                self.listing.taxa.append(ListedTaxon(taxon, label, sets, place=place))

    def wrong_width(self, cells: int, width: int) -> None:
        message = f"this row has {counted(cells, 'cell')} where the header has {width}"
        if cells > width:
            message += f"; a cell with a {DELIMITERS[self.delimiter]} inside needs quotes"
        self.report(None, message, kind=f"{'fewer' if cells < width else 'more'} cells")

    def read_filters(self, texts: dict[str, str]) -> tuple[Sets, list[Told], list[Told]]:
        """What the filter cells of a row say, by their columns: its sets, what is wrong, and what is only odd."""
        name = texts.pop("filter_set", "")
        written = {column: text for column, text in texts.items() if text}
        faults: list[Told] = []
        values = {
            column: _read(faults, self.at[column], column, partial(_parse_filter, column), text)
            for column, text in written.items()
        }
        chosen = FilterSet(**{column: value for column, value in values.items() if value is not None})
        sets = _read(faults, self.at.get("filter_set"), "filter_set", partial(self.sets_of, written, chosen), name)
        odd = () if faults else odd_filters(chosen, self.listing.today)
        return sets, sorted(faults), [(self.at[name], f"{name}: {why}") for name, why in odd]

    def sets_of(self, written: Mapping[str, str], chosen: FilterSet, name: str) -> Sets:
        """The filter sets of a row: None for all of the job, one of the job's, or its own."""
        listing = self.listing
        name = name and parse_text(name)
        if self.has_broken or not (written or name):  # where a column is broken, nobody knows what the row asks
            return None
        if chosen == FilterSet() and (sets := listing.sets.get(name)):
            return sets
        if not written and name not in listing.sets:
            if listing.alone:
                raise ValueError(f"{name!r} has no filters; fill in a filter's column, or write all, or nothing")
            raise ValueError(unknown("filter set", name, listing.sets))
        if is_named_as_window(name, listing.sets):
            raise ValueError(f"{name!r} is a window's name; give these filters another one")
        return (NamedSet(name or name_of(chosen, written), chosen),)

    # From lines to records.

    def records(self) -> Iterator[list[str]]:
        """The records, one at a time, the header first if there is one; blank lines and comments are left out."""
        lines: Iterator[str] = self.read_lines()
        for first in lines:
            if first.strip():
                break
            self.end_record()
        else:
            self.line = 1
            header = "the first line must be a header with the column taxon"
            self.stop(f"this file is empty; {header if self.has_header else 'write one taxon a line'}")
        lines = chain([first], lines)
        if self.has_header:
            self.delimiter = _delimiter(first)
            # Strict: the lenient reader swallows the rest of the file behind a stray quote.
            rows: Iterator[list[str]] = csv.reader(lines, delimiter=self.delimiter, strict=True)
        else:
            if _is_header(first):
                self.stop("a .txt has one taxon a line and no header; call this file .csv")
            rows = ([line] for line in lines)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                self.misquoted(str(error))
            else:
                if len(row) > 1 or (row and row[0].strip()):
                    yield row
            self.end_record()

    def end_record(self) -> None:
        self.line += len(self.lines)
        self.lines.clear()

    def read_lines(self) -> Iterator[str]:
        for line in iter(partial(self.stream.readline, LONGEST_LINE), ""):
            if self.line == 1 and "\0" in line:
                raise UnicodeError("UTF-16 is half NULs, and would be read as text with odd characters")
            if len(line) == LONGEST_LINE:
                self.stop(f"a line of more than {LONGEST_LINE:,} characters")
            # Inside a record, a line belongs to a quoted cell, whatever it begins with.
            if line.startswith("#") and not self.lines and not line.upper().startswith(SHEET_ERRORS):
                if not (self.line == 1 and _is_header(line[1:])):
                    self.line += 1
                    continue
                line = line[1:]
            self.lines.append(line)
            yield line

    def misquoted(self, said: str) -> None:
        if "expected after" in said:  # csv has one class of error, and only its words tell two mistakes apart
            self.report(None, 'text behind a closing quote; write a quote inside quotes as ""')
        elif '"' not in "".join(self.lines):
            self.stop("a cell of more than 131,072 characters; shorten it")
        else:
            last = len(cell_places(self.lines, self.delimiter)) - 1
            self.stop('a quote that is never closed; write a quote inside quotes as ""', last)

    def report(self, cell: int | None, message: str, kind: str = "") -> None:
        """Tell a problem of the record at hand, at its beginning or at one of its cells."""
        self.problems.add((cell, kind or kind_of(message)), self.problem(cell, message))

    def stop(self, message: str, cell: int | None = None) -> NoReturn:
        self.report(cell, message)
        raise StopReading

    def problem(self, cell: int | None, message: str) -> Problem:
        places = cell_places(self.lines, self.delimiter) if cell else []
        down, column = places[cell] if cell and cell < len(places) else (0, 1)
        return Problem(self.file, self.line + down, column, message)


def _read(faults: list[Told], cell: int | None, column: str, parse: Callable[[str], Any], text: str) -> Any:
    """What a cell says; None where something is wrong with it, which is one more of the `faults`."""
    try:
        return parse(text)
    except ValueError as error:
        faults.append((cell or 0, f"{column}: {error}"))
        return None


def _parse_filter(column: str, text: str) -> Any:
    if column not in LIST_FILTERS:
        return FILTER_PARSERS[column](text)
    items = [item.strip() for item in text.split("|")]
    if not all(items):
        raise ValueError("has an empty value before, behind or between | signs; remove the sign")
    return FILTER_PARSERS[column](items)


# The names of the header.


def column_of(written: str) -> str:
    """The column that a name of the header means: `Taxon ID` is `taxon`, `Geo-Location` is `geo_location`."""
    name = re.sub(r"[\s_-]+", "_", written.strip().casefold())
    return ALSO_CALLED.get(name, name)


def _nearest_column(name: str) -> str | None:
    """The column that an unknown name was perhaps meant to be: `lables` and `virus_name` are near `label`."""
    known = [*COLUMNS, *ALSO_CALLED]
    near = next((word for word in name.split("_") if word in known), "") or nearest(name, known)
    return ALSO_CALLED.get(near, near) if near else None


def _delimiter(header: str) -> str:
    """What separates the names of the header."""

    by_delimiter = {one: _names(header, one) for one in DELIMITERS}
    # The first of equals, which is the comma.
    return max(DELIMITERS, key=lambda one: ("taxon" in by_delimiter[one], len(by_delimiter[one])))


def _names(header: str, delimiter: str) -> list[str]:
    return [column_of(name.strip(' "\r\n')) for name in header.split(delimiter)]


def _is_header(line: str) -> bool:
    """Whether the names in a line are columns, each once, and one of them is taxon."""
    names = _names(line, _delimiter(line))
    return "taxon" in names and len(set(names)) == len(names) and set(names) <= set(COLUMNS)


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
