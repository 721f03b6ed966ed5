"""Bytes to Summary or Failure: nothing counts as data that is not exactly what the specification promises.

Source: `v2DownloadSummary` of NCBI's OpenAPI document for Datasets v2. No field is required there, zeros are left
out (proto3 JSON), and an answer of 200 can carry errors.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

from batchsum.model.queries import FILE_KINDS, Answer, Failure, FileSummary, Package, Summary
from batchsum.text import one_line, visible

# What every answer of NCBI has in common: strict JSON, or a status and why. Source: `rpcStatus` of NCBI's
# OpenAPI document for Datasets v2; why it refuses is told from the words of its message.


_BLANKS = " \t\n\r"

_REASONS = (
    ("not_a_virus", r"not (?:a |an )?(?:virus|viral)|non-?vir(?:us|al)|outside of viruses"),
    ("ambiguous_name", r"ambiguous|not exact|more than one|multiple (?:taxa|matches)"),
    ("bad_request", r"\bhost\b"),
    (
        "unknown_taxon",
        r"(?=.*\b(?:tax\w*|organism|name)\b).*(?:unknown|invalid|not (?:a )?(?:valid|found|recogni[sz]ed)"
        r"|no such|does not exist|does not match any|unrecogni[sz]ed|is not a recogni[sz]ed)",
    ),
)


class BadAnswer(ValueError):
    """Said in a few words: what is broken."""


def parse_document(http_status: int, body: bytes) -> dict[str, Any] | Failure:
    """The JSON object of a 200, whatever it is about, or why there is none."""
    if http_status == HTTPStatus.OK:
        try:
            return _parse_json(body)
        except BadAnswer as error:
            return Failure("failed", "bad_answer", str(error))
    if http_status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
        default = "unknown_taxon" if http_status == HTTPStatus.NOT_FOUND else "bad_request"
        return rejection(_status_message(body), default)
    if 400 <= http_status < 600:
        # Bodies of throttling and gateway answers can echo the key or the address: only the status is told.
        passing = http_status in (408, 425, 429) or http_status >= 500
        lasting = not passing or http_status in (
            HTTPStatus.NOT_IMPLEMENTED,
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
        )
        detail = _status_message(body) if lasting else ""
        return Failure("rejected" if lasting else "failed", f"http_{http_status}", detail or _phrase(http_status))
    return Failure("failed", "bad_answer", f"HTTP status {http_status}")


def _phrase(http_status: int) -> str:
    try:
        return HTTPStatus(http_status).phrase
    except ValueError:
        return "no standard status"


def rejection(message: str, default: str) -> Failure:
    for reason, pattern in _REASONS:
        if re.search(pattern, message, re.IGNORECASE):
            return Failure("rejected", reason, message)
    return Failure("rejected", default, message or "NCBI gave no reason")


def _status_message(body: bytes) -> str:
    """The message of an rpcStatus; empty for HTML and whatever else a gateway may send."""
    try:
        status = _parse_json(body)
    except BadAnswer:
        return ""
    message = status.get("message") or status.get("error") or ""
    return one_line(message) if isinstance(message, str) else ""


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode().strip(_BLANKS)
        value, end = _decode(text)
    except RecursionError:
        raise BadAnswer("nested too deeply") from None
    except UnicodeDecodeError:
        raise BadAnswer("not UTF-8") from None
    except BadAnswer:
        raise
    except ValueError:
        what = "cut off or not JSON" if text else "empty"
        raise BadAnswer(f"the body is {what}") from None
    if end != len(text):
        raise BadAnswer("the body is cut off or not JSON")
    if not isinstance(value, dict):
        raise BadAnswer("the body is JSON, but no object")
    return value


def _no_constant(name: str) -> float:
    raise BadAnswer(f"{name} is not a number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadAnswer("a key stands twice in one object")
    return value


_decode = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_duplicates).raw_decode


LARGEST_COUNT = 2**53
LONGEST_TEXT = 8000
MOST_MESSAGES = 20

_KNOWN = frozenset(Summary.__slots__)
_ABSENT: Mapping[str, Any] = {}
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
        _files(_object(value, "available_files")),
        messages,
        errors,
    )
    # NCBI's JSON leaves out zeros: a missing count is zero unless something beside it says otherwise.
    return replace(summary, record_count=0) if record_count is None and not summary.has_data() else summary


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name)
    if inner is None:
        return _ABSENT
    if not isinstance(inner, dict):
        raise BadAnswer(f"{name} is no object")
    return inner


def _list(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = value.get(name)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadAnswer(f"{name} is no list of objects")
    return items


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


def _text(value: Mapping[str, Any], name: str) -> str | None:
    text = value.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadAnswer(f"{name} is no text")
    if len(text) > LONGEST_TEXT:
        raise BadAnswer(f"{name} has {len(text):,} characters")
    return visible(text).strip() or None


def _timestamp(value: Mapping[str, Any]) -> str | None:
    text = _text(value, "resource_updated_on")
    try:
        if text is not None and (not _TIMESTAMP.fullmatch(text) or not datetime.fromisoformat(text[:19])):
            raise ValueError
    except ValueError:
        raise BadAnswer("resource_updated_on is no date") from None
    return text


def _package(value: Mapping[str, Any], name: str) -> Package:
    package = _object(value, name)
    if not package:
        return _NO_PACKAGE
    return Package(
        _count(package, "estimated_file_size_mb"),
        _text(package, "url"),
        _text(package, "cli_download_command_line"),
        _text(package, "cli_rehydrate_command_line"),
    )


def _files(value: Mapping[str, Any]) -> dict[str, FileSummary]:
    found = {}
    for kind in FILE_KINDS:
        if (one := value.get(kind)) is None:
            continue
        if type(one) is not dict:
            raise BadAnswer(f"{kind} is no object")
        count, size = one.get("file_count"), one.get("size_mb")
        # What is not plainly right is looked at again, by who knows the words for it.
        if type(count) is not int or not 0 <= count <= LARGEST_COUNT:
            count = _count(one, "file_count")
        if type(size) is not float or not 0 <= size <= LARGEST_COUNT:
            size = _size(one, "size_mb")
        found[kind] = FileSummary(count, size)
    return found


def _texts(value: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Errors, and all messages: an error may stand in either list."""
    errors = [_told(error) for error in _list(value, "errors")]
    messages = []
    for message in _list(value, "messages"):
        for kind in ("error", "warning"):
            if message.get(kind):
                messages.append(_told(_object(message, kind)))
                if kind == "error":
                    errors.append(messages[-1])
    return tuple(errors[:MOST_MESSAGES]), tuple(messages[:MOST_MESSAGES])


def _told(report: Mapping[str, Any]) -> str:
    text = _text(report, "message") or _text(report, "reason")
    if text is None:
        text = next((_text(report, name) for name in report if name.endswith("_code")), None)
    return one_line(text or "an error without a message")
