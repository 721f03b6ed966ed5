"""Bytes to Summary or Failure: nothing counts as data that is not exactly what the specification promises.

Source: `v2DownloadSummary` of NCBI's OpenAPI document for Datasets v2. No field is required there, zeros are left
out (proto3 JSON), and an answer of 200 can carry errors.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from batchsum.model.queries import FILE_KINDS, Answer, Failure, FileSummary, Package, Summary
from batchsum.ncbi.document import BadAnswer, object_in, objects_in, parse_document, rejection, text_in
from batchsum.text import one_line

LARGEST_COUNT = 2**53
MOST_MESSAGES = 20

_KNOWN = frozenset(Summary.__slots__)
_NO_PACKAGE = Package()
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)


def parse_answer(http_status: int, body: bytes) -> Answer:
    """What NCBI said, for any status that is about the query and not about us (401, 403 and redirects)."""
    document = parse_document(http_status, body)
    if isinstance(document, Failure):
        return document
    try:
        return _parse_summary(document)
    except BadAnswer as error:
        return Failure("failed", "bad_answer", str(error))


def _parse_summary(value: dict[str, Any]) -> Answer:
    # An empty object is a zero (below), but one that speaks of other things is no summary.
    if value and _KNOWN.isdisjoint(value):
        if isinstance(message := value.get("message") or value.get("error"), str):
            return rejection(one_line(message), "bad_request")
        raise BadAnswer("no field of a download summary is in it")
    errors, messages = _texts(value) if "errors" in value or "messages" in value else ((), ())
    record_count = _count(value, "record_count", null_allowed=False)
    if record_count is None and errors:
        return rejection(errors[0], "bad_request")
    summary = Summary(
        record_count,
        _count(value, "assembly_count"),
        _timestamp(value),
        _package(value, "hydrated"),
        _package(value, "dehydrated"),
        _files(object_in(value, "available_files")),
        messages,
        errors,
    )
    # NCBI's JSON leaves out zeros: a missing count is zero unless something beside it says otherwise.
    return replace(summary, record_count=0) if record_count is None and not summary.has_data() else summary


def _count(value: Mapping[str, Any], name: str, *, null_allowed: bool = True) -> int | None:
    number = value.get(name)
    if type(number) is int and 0 <= number <= LARGEST_COUNT:
        return number
    if number is None and (null_allowed or name not in value):
        return None
    raise BadAnswer(f"{name} is no count: {one_line(json.dumps(number))[:40]}")


def _size(value: Mapping[str, Any], name: str) -> float | None:
    number = value.get(name)
    if number is None or (type(number) in (int, float) and 0 <= number <= LARGEST_COUNT):
        return number
    raise BadAnswer(f"{name} is no size")


def _timestamp(value: Mapping[str, Any]) -> str | None:
    text = text_in(value, "resource_updated_on")
    try:
        if text and (not _TIMESTAMP.fullmatch(text) or not datetime.fromisoformat(text[:19])):
            raise ValueError
    except ValueError:
        raise BadAnswer("resource_updated_on is no date") from None
    return text or None


def _package(value: Mapping[str, Any], name: str) -> Package:
    package = object_in(value, name)
    if not package:
        return _NO_PACKAGE
    return Package(
        _count(package, "estimated_file_size_mb"),
        text_in(package, "url") or None,
        text_in(package, "cli_download_command_line") or None,
        text_in(package, "cli_rehydrate_command_line") or None,
    )


def _files(value: Mapping[str, Any]) -> dict[str, FileSummary]:
    found = {}
    for kind in FILE_KINDS:
        if value.get(kind) is not None:
            files = object_in(value, kind)
            found[kind] = FileSummary(_count(files, "file_count"), _size(files, "size_mb"))
    return found


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
    text = text_in(report, "message") or text_in(report, "reason")
    if not text:
        text = next((text_in(report, name) for name in report if name.endswith("_code")), "")
    return one_line(text or "an error without a message")
