"""Text files as editors and spreadsheets leave them: UTF-8, with or without a byte-order mark.

What is no such text is told with its line and column; nothing is guessed or replaced.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from batchsum.errors import Problem


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
            if not any(line[1:8:2]) or (line[:1] == b"\0" and not any(line[0:8:2])):
                return Problem(file, 1, 1, "this is UTF-16 text; save it as UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        nul = line.find(b"\0")
        try:
            line.decode()
        except UnicodeDecodeError as error:
            if nul < 0 or error.start < nul:
                column = len(line[: error.start].decode()) + 1
                byte = line[error.start]
                return Problem(file, number, column, f"byte 0x{byte:02X} is not UTF-8; save the file as UTF-8")
        if nul >= 0:
            column = len(line[:nul].decode()) + 1
            return Problem(file, number, column, "a NUL byte: this is no text, or UTF-16; save the file as UTF-8")
    return Problem(file, 1, 1, "this file is not UTF-8; save it as UTF-8")
