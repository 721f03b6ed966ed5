"""What is wrong with a job file, in words for a user: where it stands, what it is, what to write instead.

Pydantic's objections first, then names that nobody knows, then files that are no text.
"""

import difflib
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from batchsum.errors import Problem

MOST_LINES = 10
"""Lines that a message names."""

_SECRET_KEYS = ("key", "apikey", "ncbiapikey", "token", "apitoken", "accesstoken", "secret", "password")
_REQUIRED = {
    "version": "version: 1",
    "taxon": "an NCBI Taxonomy ID or a name as its value",
    "every": "the length of a window, as in every: 7d",
    "last": "how many windows, as in last: 12",
    "files": "files: [{taxon: 2697049, file: ncbi/sars-cov-2.zip}]",
    "file": "the path of what was downloaded, as in file: ncbi/sars-cov-2.zip",
}


class Complaint(NamedTuple):
    location: tuple[str | int, ...]
    message: str
    at_key: bool = False
    """About the key itself, not about its value."""


def complaints(error: ValidationError, model: type[BaseModel], start: Sequence[str | int]) -> Iterator[Complaint]:
    """One for each thing that `model` found wrong with what stands at `start`."""
    for detail in error.errors(include_url=False):
        inside = [step for step in detail["loc"] if isinstance(step, str)]
        location = (*start, *detail["loc"])
        name = next(step for step in reversed(location) if isinstance(step, str))  # the numbers of entries are no names
        holder = _model_at(model, inside[:-1])
        if detail["type"] == "extra_forbidden":
            yield Complaint(location, unknown_key(name, holder.model_fields), at_key=True)
        elif detail["type"] == "missing":
            yield Complaint(location, f"the key {name!r} is missing; write {_REQUIRED[name]}")
        elif detail["type"] == "list_type" and isinstance(detail["input"], str):
            yield Complaint(location, f"{name}: must be a list{_as_list(holder, name, detail['input'])}")
        else:
            yield Complaint(location, f"{name}: {_words(detail)}")


def _words(detail: Any) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["input"] is None:
        return "is empty; write a value, or leave it out"
    match detail["type"]:
        case "list_type":
            return "must be a list, as [one, two]"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a mapping, as {key: value}"
    raise AssertionError(f"no words for pydantic's {detail['type']}")


def _as_list(holder: type[BaseModel], name: str, written: str) -> str:
    """How to write a value as the list that it should be; what would be wrong with it then, if anything."""
    items = [item.strip() for item in written.split(",")]
    try:
        holder.model_validate({name: items})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["loc"][0] == name:
                return f", and {written[:60]!r} {_words(detail).removeprefix(repr(written)).lstrip()}"
    is_plain = len(written) <= 60 and re.fullmatch(r"[\w .,/'=+|-]+", written)
    return f"; write [{', '.join(items)}]" if is_plain else ", as [one, two]"


def _model_at(model: type[BaseModel], names: Iterable[str]) -> type[BaseModel]:
    """The model of a mapping inside `model`."""
    for name in names:
        written = model.model_fields[name].annotation
        for kind in (written, *get_args(written)):  # of a list its entries
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return model


def unknown_key(name: str, known: Iterable[str]) -> str:
    if re.sub(r"[^a-z]", "", name.lower()) in _SECRET_KEYS:  # api_key, API-Key and apiKey alike
        return (
            f"{name!r}: a key or token does not belong in a job file; put it into a file named by "
            "api.api_key_file, or into the environment variable NCBI_API_KEY"
        )
    return unknown("key", name, known)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """`unknown key 'hosts'; did you mean 'host'?`"""
    known = list(known)
    if near := nearest(name, known):
        return f"unknown {kind} {name!r}; did you mean {near!r}?"
    few = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"unknown {kind} {name!r}; known: {few}" if known else f"unknown {kind} {name!r}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, if any is."""
    folded = {word.casefold(): word for word in known}
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
            where = f"line{'s' * (len(places) > 1)} {shown}"
            yield replace(first, message=f"{first.message} ({len(lines):,} rows like this: {where})")


def kind_of(message: str) -> str:
    """A message without what differs from row to row: quoted text, numbers, and the advice behind a semicolon."""
    return re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[0-9][0-9,.]*", "", message).partition(";")[0]


# A file must be UTF-8, with or without a byte-order mark. What is not is told with its line and column; nothing
# is guessed or replaced.


def shown(path: Path) -> str:
    """The path as a user would type it: `a/../b` as `b` where both are the same place."""
    plain = os.path.normpath(path)
    return plain if os.path.realpath(plain) == os.path.realpath(path) else str(path)


def unreadable(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "this file does not exist"
        case IsADirectoryError():
            return "this is a directory, not a file"
        case PermissionError():
            return "this file cannot be read: permission denied"
    return f"this file cannot be read: {error.strerror or error}"


def decode(file: str, raw: bytes) -> str | Problem:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return undecodable(file, raw.splitlines(keepends=True))
    return undecodable(file, raw.splitlines(keepends=True)) if "\0" in text else text


def undecodable(file: str, lines: Iterable[bytes]) -> Problem:
    """The first place where `lines` are no UTF-8 text, and what they seem to be instead."""
    for number, line in enumerate(lines, start=1):
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                return Problem(file, 1, 1, "this is UTF-16 text; save it as UTF-8")
            if line.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
                return Problem(file, 1, 1, "this is a spreadsheet; save it as CSV (UTF-8)")
            if len(line) > 1 and (not any(line[1:8:2]) or not any(line[0:8:2])):
                return Problem(file, 1, 1, "this is UTF-16 text; save it as UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        # What is not UTF-8 comes as half of a surrogate pair, 0xDC00 and the byte.
        if bad := re.search("[\0\ud800-\udfff]", line.decode("utf-8", "surrogateescape")):
            what = f"byte 0x{ord(bad[0]) - 0xDC00:02X} is not UTF-8"
            if bad[0] == "\0":
                what = "a NUL byte: this is no text, or UTF-16"
            return Problem(file, number, bad.start() + 1, f"{what}; save the file as UTF-8")
    return Problem(file, 1, 1, "this file is not UTF-8; save it as UTF-8")
