"""Bytes to Summary or Failure: no count is believed that is not exactly what the specification promises.

An odd value beside a good count costs its own cell, and a message says so.

Source: `v2DownloadSummary` of NCBI's OpenAPI document for Datasets v2. No field is required there, zeros are left
out (proto3 JSON), and an answer of 200 can carry errors.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

from batchsum.model.queries import FILE_KINDS, Answer, Failure, FileSummary, Package, Request, Summary
from batchsum.ncbi.refusals import error_in_words, error_with_status, message_and_code
from batchsum.text import one_line, visible

LONGEST_TEXT = 8000
"""Characters of one field."""
LARGEST_COUNT = 2**53  # up to here a whole number is exact for readers of JSON that know floats only
EARLIEST_YEAR = 1988  # NCBI's first
MOST_MESSAGES = 20

_KNOWN = frozenset(Summary._fields)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)

P = TypeVar("P", Package, FileSummary)
K = TypeVar("K", dict[str, Any], list[Any])


class BadAnswer(Exception):
    """An answer that is not what the specification promises; says in a few words what is broken."""


def parse_answer(http_status: int, body: bytes, asked: Request | None = None) -> Answer:
    """What NCBI said, for any status but a redirect's; `asked` is the query that an error may name."""
    try:
        document = parse_document(http_status, body, asked)
        return document if isinstance(document, Failure) else _parse_summary(document, asked)
    except BadAnswer as error:
        return Failure("failed", "bad_answer", str(error))


def _parse_summary(value: dict[str, Any], asked: Request | None) -> Answer:
    # An empty object is a zero (below), but one that speaks of other things is no summary.
    if value and _KNOWN.isdisjoint(value):
        message, code = message_and_code(value)
        if message or code is not None:
            return error_in_words(HTTPStatus.OK, message, code, asked)
        raise BadAnswer("no field of a download summary is in it")
    odd: list[str] = []
    errors, messages = _texts(value, odd)
    record_count = _cell(value, "record_count", odd)
    if record_count is None and "record_count" in value:
        raise BadAnswer(f"record_count is no count: {_shown(value['record_count'])}")
    if record_count is None and errors:
        return error_in_words(HTTPStatus.OK, errors[0], asked=asked)
    files = _cell(value, "available_files", odd) or {}
    summary = Summary(
        record_count,
        _cell(value, "assembly_count", odd),
        _cell(value, "resource_updated_on", odd),
        _part(value, "hydrated", Package, odd),
        _part(value, "dehydrated", Package, odd),
        {kind: _part(files, kind, FileSummary, odd) for kind in FILE_KINDS if files.get(kind) is not None},
        (*messages, *(f"left empty: {what}" for what in odd))[:MOST_MESSAGES],
        errors,
    )
    if record_count is not None:
        return summary
    if odd:  # of what cannot be read nobody knows whether it contradicts zero
        raise BadAnswer(odd[0])
    # NCBI's JSON leaves out zeros: a missing count is zero unless something beside it says otherwise.
    return summary if summary.has_data() else summary._replace(record_count=0)


def _cell(value: Mapping[str, Any], name: str, odd: list[str]) -> Any:
    """The cell `name` of an object; what is not as promised leaves it empty, with a word in `odd`."""
    if (cell := value.get(name)) is None:
        return None
    try:
        return _READERS[name](cell, name)
    except BadAnswer as error:
        odd.append(str(error))
        return None


def _part(value: Mapping[str, Any], name: str, kind: type[P], odd: list[str]) -> P:
    """The object `name` of an object, cell by cell."""
    part = _cell(value, name, odd)
    return kind(*[_cell(part, field, odd) for field in kind._fields]) if part else kind()


def _count(cell: Any, name: str) -> int:
    if type(cell) is int and 0 <= cell <= LARGEST_COUNT:  # isinstance would take True
        return cell
    raise BadAnswer(f"{name} is no count: {_shown(cell)}")


def _size(cell: Any, name: str) -> float:
    if type(cell) in (int, float) and 0 <= cell <= LARGEST_COUNT:
        return cell  # type: ignore[no-any-return]
    raise BadAnswer(f"{name} is no size: {_shown(cell)}")


def _object(cell: Any, name: str) -> dict[str, Any]:
    if isinstance(cell, dict):
        return cell
    raise BadAnswer(f"{name} is no object")


def _date(cell: Any, name: str) -> str | None:
    text = checked_text(cell, name)
    if text and not _is_date(text):
        raise BadAnswer(f"{name} is no date: {_shown(text)}")
    return text or None


def _text(cell: Any, name: str) -> str | None:
    return checked_text(cell, name) or None


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("record_count", "assembly_count", "estimated_file_size_mb", "file_count"), _count),
    **dict.fromkeys(("url", "cli_download_command_line", "cli_rehydrate_command_line"), _text),
    **dict.fromkeys(("hydrated", "dehydrated", "available_files", *FILE_KINDS), _object),
    "size_mb": _size,
    "resource_updated_on": _date,
}
"""What is in each cell of a summary, or BadAnswer."""


@lru_cache(maxsize=16)  # all answers of a night have one date or two
def _is_date(text: str) -> bool:
    try:
        # The zeros of Go's and of Unix' clocks, 0001-01-01 and 1970-01-01, stand for no date.
        return bool(_TIMESTAMP.fullmatch(text)) and datetime.fromisoformat(text[:19]).year >= EARLIEST_YEAR
    except ValueError:
        return False


def _texts(value: Mapping[str, Any], odd: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Errors, and all messages: an error may stand in either list."""
    if "errors" not in value and "messages" not in value:
        return (), ()
    errors, messages = list[str](), list[str]()
    try:
        for error in objects_in(value, "errors"):
            errors.append(_told(error))
        for message in objects_in(value, "messages"):
            for kind in ("error", "warning"):
                if message.get(kind):
                    messages.append(_told(field_in(message, kind, dict)))
                    if kind == "error":
                        errors.append(messages[-1])
    except BadAnswer as broken:  # costs what stands behind it, and no error that NCBI has told before
        odd.append(str(broken))
    return tuple(errors[:MOST_MESSAGES]), tuple(messages[:MOST_MESSAGES])


def _shown(value: object) -> str:
    try:
        return one_line(json.dumps(value))[:40]
    except RecursionError:  # writing JSON takes a little more of the stack than reading it
        return "nested too deeply"


def _told(report: Mapping[str, Any]) -> str:
    names = ["message", "reason", *(name for name in report if name.endswith("_code"))]
    texts = filter(None, (text_in(report, name) for name in names))
    return one_line(next(texts, "an error without a message"))


def parse_document(http_status: int, body: bytes, asked: Request | None = None) -> dict[str, Any] | Failure:
    """The JSON object of a 200, whatever it is about, else what is wrong; that may be about what was `asked`.

    Raises BadAnswer for a 200 without one.
    """
    if http_status == HTTPStatus.OK:
        return _parse_json(body)
    try:
        return error_with_status(http_status, _parse_json(body), asked)
    except BadAnswer:
        return error_with_status(http_status, None)


# Proto3's JSON leaves out what has its default value, so a missing field is an empty one.


def field_in(value: Mapping[str, Any], name: str, kind: type[K]) -> K:
    """The object (dict) or list `name` of an object, empty where it is missing. Raises BadAnswer."""
    inner = value.get(name)
    if not isinstance(inner, kind | None):
        raise BadAnswer(f"{name} is no {'object' if kind is dict else 'list'}")
    return inner or kind()


def objects_in(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The list of objects `name` of an object, empty where it is missing. Raises BadAnswer."""
    items = field_in(value, name, list)
    if not all(isinstance(item, dict) for item in items):
        raise BadAnswer(f"{name} is no list of objects")
    return items


def text_in(value: Mapping[str, Any], name: str) -> str:
    """The text `name` of an object, fit to be shown; empty where it is missing. Raises BadAnswer."""
    text = value.get(name)
    return "" if text is None else checked_text(text, name)


def checked_text(text: Any, name: str) -> str:
    """`text` itself, fit to be shown. Raises BadAnswer where it is none, or longer than any that is meant."""
    if not isinstance(text, str):
        raise BadAnswer(f"{name} is no text")
    if len(text) > LONGEST_TEXT:
        raise BadAnswer(f"{name} has {len(text):,} characters")
    return visible(text).strip()


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        value = _decode(body.decode())
    except RecursionError:
        raise BadAnswer("nested too deeply") from None
    except UnicodeDecodeError:
        raise BadAnswer("not UTF-8") from None
    except ValueError:
        what = "cut off or not JSON" if body.strip() else "empty"
        raise BadAnswer(f"the body is {what}") from None
    if not isinstance(value, dict):
        raise BadAnswer("the body is JSON, but no object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadAnswer("a key stands twice in one object")
    return value


# The standard parser takes the last of several equal keys.
_decode = json.JSONDecoder(object_pairs_hook=_no_duplicates).decode
