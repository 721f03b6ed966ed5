"""A downloaded data report as lines of JSON: plain, gzip, or inside the zip package that NCBI's `datasets` leaves.

It is read once, from beginning to end, through one open file: whoever puts a newer one in its place meanwhile does not
disturb. A file that is cut off, or written to while it is read, is an error and never a smaller count.
"""

import json
import lzma
import os
import stat
import zipfile
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from batchsum.errors import BatchsumError

REPORT_NAME = "data_report.jsonl"

_PACKED = 1 << 20
_PIECE = 1 << 24  # of unpacked text, at most: a bomb is no more
_BLOCK = 1 << 19  # counted at once: a thread that unpacks gets the interpreter between two of them only
_LONGEST_LINE = 4_000_000  # a record takes about two kilobytes
_GZIP = 16 + zlib.MAX_WBITS
# What unpacking raises. Not UTF-8 are names in a zip of which a byte was changed.
_DAMAGES = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError)
_MAGIC_GZIP, _MAGIC_ZIP = b"\x1f\x8b", b"PK"


class HoldingError(BatchsumError):
    """A holding that cannot be counted: one sentence with the file, what is wrong with it and what to do."""


class OpenedReport(NamedTuple):
    blocks: Iterator[bytes | memoryview]
    """Whole lines, some at a time."""
    day: date
    """The day of the file, UTC."""


@contextmanager
def open_report(file: Path) -> Iterator[OpenedReport]:
    """The lines of `file`. Raises HoldingError here, or while they are read.

    A thread unpacks the next piece while one is counted. It waits for nothing but the file, and so it ends with this,
    wherever the caller stops.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # looked at first: opening a pipe would wait for its other end
            raise HoldingError(f"{file} is no file; name the zip, or the {REPORT_NAME} that is in it")
        with file.open("rb") as opened, ThreadPoolExecutor(1) as thread:
            before = os.fstat(opened.fileno())
            pieces, day = _unpacked(file, opened, before)
            yield OpenedReport(_blocks(file, _one_ahead(pieces, thread)), day)
            after = os.fstat(opened.fileno())
    except OSError as error:
        raise HoldingError(f"{file}: {error.strerror or _damaged(error)}") from None
    except _DAMAGES as error:
        raise HoldingError(f"{file}: {_damaged(error)}") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise HoldingError(
            f"{file} was written to while it was read; let the download end under another name, and move it here then"
        )


def _damaged(error: Exception) -> str:
    return f"cut off or damaged ({error}); download it again, and test it with unzip -tq before it takes this place"


def _unpacked(file: Path, opened: BinaryIO, status: os.stat_result) -> tuple[Iterator[bytes], date]:
    start = opened.read(2)
    opened.seek(0)
    day = datetime.fromtimestamp(status.st_mtime, UTC).date()
    if not start:
        raise HoldingError(f"{file} is empty; download it again")
    if start in (BOM_UTF16_LE, BOM_UTF16_BE):
        raise HoldingError(f"{file} is UTF-16, as PowerShell's > writes it; save it as UTF-8, or download the zip")
    if start == _MAGIC_GZIP:
        return _gunzipped(opened), day
    if start != _MAGIC_ZIP:
        return iter(partial(opened.read, _PIECE), b""), day
    package = zipfile.ZipFile(opened)
    if any(entry.flag_bits & 1 for entry in package.infolist()):
        raise HoldingError(f"{file} is encrypted; download it again, or unpack it and name the {REPORT_NAME}")
    names = [name for name in package.namelist() if name.rpartition("/")[2] == REPORT_NAME]
    if len(names) != 1:
        raise HoldingError(
            f"{file} has {len(names) or 'no'} files {REPORT_NAME} in it, and not one; "
            "download it with `datasets download virus genome taxon`"
        )
    try:
        # 1980 is what programs write that keep no times.
        days = [date(*entry.date_time[:3]) for entry in package.infolist() if entry.date_time[0] > 1980]
    except ValueError:  # month zero
        days = []
    return iter(partial(package.open(names[0]).read, _PIECE), b""), max(days, default=day)


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    """What Python's gzip module gives, in half its time."""
    member = None
    while packed := file.read(_PACKED):
        # Behind a member another may follow, or zeros that fill a block up.
        while packed := packed if member else packed.lstrip(b"\0"):
            member = member or zlib.decompressobj(_GZIP)
            yield member.decompress(packed, _PIECE)
            packed, member = (member.unused_data, None) if member.eof else (member.unconsumed_tail, member)
    if member:
        raise EOFError("its end is missing")


def _one_ahead(pieces: Iterator[bytes], thread: ThreadPoolExecutor) -> Iterator[bytes]:
    ahead = thread.submit(next, pieces, None)
    while (piece := ahead.result()) is not None:
        ahead = thread.submit(next, pieces, None)
        yield piece


def _blocks(file: Path, pieces: Iterator[bytes]) -> Iterator[bytes | memoryview]:
    rest, mark = b"", BOM_UTF8
    for piece in pieces:
        if first := piece.find(b"\n") + 1:
            yield (rest + piece[:first]).removeprefix(mark)
            last = piece.rfind(b"\n") + 1
            while first < last:
                end = piece.rfind(b"\n", first, first + _BLOCK) + 1 or last
                yield memoryview(piece)[first:end]  # not copied
                first = end
            rest, mark = piece[last:], b""
        elif len(rest) < _LONGEST_LINE:  # of a longer one enough is kept: it is told as a line that cannot be read
            rest += piece
        if mark and len(rest) >= _LONGEST_LINE:  # the first line already: this is no report, however long it goes on
            yield rest
            return
    rest = rest.removeprefix(mark)
    if rest.strip():
        try:
            json.loads(rest)
        except (ValueError, RecursionError):
            raise HoldingError(f"{file} breaks off within its last line; download it again") from None
        yield rest
