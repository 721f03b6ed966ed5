"""The records of a CSV or TSV file, one at a time, and where each of their cells stands.

The lines of the record at hand are kept, so that a problem is told at the character where its cell begins,
quoted line breaks or not.
"""

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NoReturn, TextIO

from batchsum.errors import Problem

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
