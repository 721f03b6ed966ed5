"""Bytes to Summary or Failure: no count is believed that is not exactly what the specification promises.

An odd value beside a good count costs its own cell, and a message says so.

Source: `v2DownloadSummary` of NCBI's OpenAPI document for Datasets v2. No field is required there, zeros are left
out (proto3 JSON), and an answer of 200 can carry errors.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar

from batchsum.model.queries import FILE_KINDS, Answer, Failure, FileSummary, Package, Request, Summary
from batchsum.ncbi.document import BadAnswer, object_in, objects_in, parse_document, text_in
from batchsum.ncbi.refusals import error_in_words, message_and_code
from batchsum.text import one_line

T = TypeVar("T")

LARGEST_COUNT = 2**53  # up to here a whole number is exact for readers of JSON that know floats only
MOST_MESSAGES = 20

_KNOWN = frozenset(Summary.__slots__)
_ABSENT: Mapping[str, Any] = {}
_NO_TEXTS: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)


def parse_answer(http_status: int, body: bytes, asked: Request | None = None) -> Answer:
    """What NCBI said, for any status but a redirect's; `asked` is the query that an error may name."""
    document = parse_document(http_status, body, asked)
    if isinstance(document, Failure):
        return document
    try:
        return _parse_summary(document, asked)
    except BadAnswer as error:
        return Failure("failed", "bad_answer", str(error))


def _parse_summary(value: dict[str, Any], asked: Request | None) -> Answer:
    # An empty object is a zero (below), but one that speaks of other things is no summary.
    if value and _KNOWN.isdisjoint(value):
        message, code = message_and_code(value)
        if message or code is not None:
            return error_in_words(HTTPStatus.OK, message, code, asked)
        raise BadAnswer("no field of a download summary is in it")
    odd = list[str]()
    errors, messages = _cell(odd, _NO_TEXTS, _texts, value)
    record_count = _count(value, "record_count")
    if record_count is None and "record_count" in value:
        raise BadAnswer("record_count is no count: null")
    if record_count is None and errors:
        return error_in_words(HTTPStatus.OK, errors[0], asked=asked)
    files = _cell(odd, _ABSENT, object_in, value, "available_files")
    summary = Summary(
        record_count,
        _cell(odd, None, _count, value, "assembly_count"),
        _cell(odd, None, _timestamp, value),
        _package(odd, value, "hydrated"),
        _package(odd, value, "dehydrated"),
        {kind: _file_summary(odd, files, kind) for kind in FILE_KINDS if files.get(kind) is not None},
        (*messages, *(f"left empty: {what}" for what in odd))[:MOST_MESSAGES],
        errors,
    )
    if record_count is not None:
        return summary
    if odd:  # of what cannot be read nobody knows whether it contradicts zero
        raise BadAnswer(odd[0])
    # NCBI's JSON leaves out zeros: a missing count is zero unless something beside it says otherwise.
    return summary if summary.has_data() else replace(summary, record_count=0)


def _cell(odd: list[str], empty: T, read: Callable[..., T], *where: Any) -> T:
    """What `read` finds; where that is not what was promised, `empty`, and a word in `odd`: it costs no count."""
    try:
        return read(*where)
    except BadAnswer as error:
        odd.append(str(error))
        return empty


def _count(value: Mapping[str, Any], name: str) -> int | None:
    number = value.get(name)
    if number is None or (type(number) is int and 0 <= number <= LARGEST_COUNT):  # isinstance would take True
        return number
    raise BadAnswer(f"{name} is no count: {_shown(number)}")


def _size(value: Mapping[str, Any], name: str) -> float | None:
    number = value.get(name)
    if number is None or (type(number) in (int, float) and 0 <= number <= LARGEST_COUNT):
        return number
    raise BadAnswer(f"{name} is no size: {_shown(number)}")


def _timestamp(value: Mapping[str, Any]) -> str | None:
    text = text_in(value, "resource_updated_on")
    try:
        if text and (not _TIMESTAMP.fullmatch(text) or not datetime.fromisoformat(text[:19])):
            raise ValueError
    except ValueError:
        raise BadAnswer(f"resource_updated_on is no date: {_shown(text)}") from None
    return text or None


def _shown(value: object) -> str:
    return one_line(json.dumps(value))[:40]


def _package(odd: list[str], value: Mapping[str, Any], name: str) -> Package:
    package = _cell(odd, _ABSENT, object_in, value, name)
    return Package(
        _cell(odd, None, _count, package, "estimated_file_size_mb"),
        _cell(odd, "", text_in, package, "url") or None,
        _cell(odd, "", text_in, package, "cli_download_command_line") or None,
        _cell(odd, "", text_in, package, "cli_rehydrate_command_line") or None,
    )


def _file_summary(odd: list[str], files: Mapping[str, Any], kind: str) -> FileSummary:
    one = _cell(odd, _ABSENT, object_in, files, kind)
    return FileSummary(_cell(odd, None, _count, one, "file_count"), _cell(odd, None, _size, one, "size_mb"))


def _texts(value: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Errors, and all messages: an error may stand in either list."""
    errors = [_told(error) for error in objects_in(value, "errors")]
    messages = []
    for message in objects_in(value, "messages"):
        for kind in ("error", "warning"):
            if message.get(kind):
                messages.append(_told(object_in(message, kind)))
                if kind == "error":
                    errors.append(messages[-1])
    return tuple(errors[:MOST_MESSAGES]), tuple(messages[:MOST_MESSAGES])


def _told(report: Mapping[str, Any]) -> str:
    names = ["message", "reason", *(name for name in report if name.endswith("_code"))]
    texts = filter(None, (text_in(report, name) for name in names))
    return one_line(next(texts, "an error without a message"))
