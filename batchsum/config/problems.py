"""What is wrong with a job file, in words for a user: where it stands, what it is, what to write instead.

Names that nobody knows first, then mistakes that many rows have, then files that are no text.
"""

import difflib
import re
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from batchsum.errors import JobFileError, Problem
from batchsum.model.filters import FILTER_NAMES

MOST_LINES = 10
"""Lines that a message names."""

_IN_EXCEL = "in Excel by Save as 'CSV UTF-8 (comma delimited)'"
_SECRET_KEYS = ("key", "apikey", "ncbiapikey", "token", "apitoken", "accesstoken", "secret", "password")
_MEANT_AS = {
    "species": "taxon", "organism": "taxon", "country": "geo_location", "location": "geo_location",
    "rps": "requests_per_second", "url": "base_url",
}  # fmt: skip
"""Names that people give to a key or a column, but do not surely mean it by."""


class StopReading(Exception):
    """Reading on in a file would tell nothing new."""


def unknown_key(name: str, known: Iterable[str]) -> str:
    if re.sub(r"[^a-z]", "", name.lower()) in _SECRET_KEYS:  # api_key, API-Key and apiKey alike
        return (
            f"{name!r}: a key or token does not belong in a job file; put it into a file named by "
            "api.api_key_file, or into the environment variable NCBI_API_KEY"
        )
    if name in FILTER_NAMES and name not in (known := list(known)):
        return f"unknown key {name!r}: filters stand in a set of filter_sets, as in {{human: {{host: human}}}}"
    return unknown("key", name, known)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """`unknown key 'hosts'; did you mean 'host'?`"""
    known = list(known)
    if near := nearest(name, known):
        return f"unknown {kind} {name!r}; did you mean {near!r}?"
    few = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"unknown {kind} {name!r}; known: {few}" if known else f"unknown {kind} {name!r}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or meant by it, if any is."""
    folded = {word.casefold(): word for word in known}
    if (meant := _MEANT_AS.get(name.casefold())) in folded:
        return meant
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    # By its letters an abbreviation is far from its word, but it begins like it.
    alike = near or [word for word in folded if word[:3] == name.casefold()[:3]]
    return folded[alike[0]] if name and alike else None


class OnceAKind:
    """Mistakes that many rows have: the first of each kind, with the number of rows and where they are."""

    def __init__(self) -> None:
        self._found: dict[Hashable, tuple[Problem, list[int]]] = {}

    def add(self, kind: Hashable, problem: Problem) -> None:
        self._found.setdefault(kind, (problem, []))[1].append(problem.line)

    def told(self) -> Iterator[Problem]:
        for first, lines in self._found.values():
            if len(lines) == 1:
                yield first
                continue
            places = [str(line) for line in dict.fromkeys(lines)]
            shown = ", ".join(places[:MOST_LINES]) + ", ..." * (len(places) > MOST_LINES)
            where = f": lines {shown}" if len(places) > 1 else f", all in line {shown}"
            yield replace(first, message=f"{first.message} ({len(lines):,} rows like this{where})")


def kind_of(message: str) -> str:
    """A message without what differs from row to row: quoted text, numbers, and the advice behind a semicolon."""
    return re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[0-9][0-9,.]*", "", message).partition(";")[0]


# A file must be UTF-8, with or without a byte-order mark. What is not is told with its line and column; nothing
# is guessed or replaced.


def unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "this file does not exist"
    if isinstance(error, IsADirectoryError):
        return "this is a directory, and not a file; name a file in it, or move it away"
    return f"this file cannot be read: {error.strerror or error}"


def decode(file: str, raw: bytes) -> str:
    """The text of a file. Raises JobFileError with the first place where it is none."""
    with suppress(UnicodeDecodeError):
        if "\0" not in (text := raw.decode("utf-8-sig")):
            return text
    raise JobFileError([undecodable(file, raw.splitlines(keepends=True))])


def undecodable(file: str, lines: Iterable[bytes]) -> Problem:
    """The first place where `lines` are no UTF-8 text, and what they seem to be instead."""
    for number, line in enumerate(lines, start=1):
        if number == 1:
            if line.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
                return Problem(file, 1, 1, f"this is a spreadsheet; save it as CSV, {_IN_EXCEL}")
            has_mark = line.startswith((b"\xff\xfe", b"\xfe\xff"))
            if has_mark or (len(line) > 1 and not (any(line[1:8:2]) and any(line[0:8:2]))):
                excel = "" if file.endswith((".yaml", ".yml")) else f", {_IN_EXCEL}"
                return Problem(file, 1, 1, f"this is UTF-16 text; save it as UTF-8{excel}")
            line = line.removeprefix(b"\xef\xbb\xbf")
        # What is not UTF-8 comes as half of a surrogate pair, 0xDC00 and the byte.
        if bad := re.search("[\0\ud800-\udfff]", line.decode("utf-8", "surrogateescape")):
            what = f"byte 0x{ord(bad[0]) - 0xDC00:02X} is not UTF-8"
            if bad[0] == "\0":
                what = "a NUL byte: this is no text, or UTF-16"
            return Problem(file, number, bad.start() + 1, f"{what}; save the file as UTF-8")
    return Problem(file, 1, 1, "this file is not UTF-8; save it as UTF-8")
