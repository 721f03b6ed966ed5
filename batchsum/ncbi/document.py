"""What every answer of NCBI has in common: strict JSON of the shapes that were promised, or a status and why.

Source: `rpcStatus` of NCBI's OpenAPI document for Datasets v2; why NCBI refuses is told from the words of its message.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from batchsum.model.queries import Failure
from batchsum.text import one_line, visible

LONGEST_TEXT = 8000
"""Characters of one field."""

_BLANKS = " \t\n\r"
"""JSON's own; str.strip() would take more."""
_ABSENT: Mapping[str, Any] = {}
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
    """An answer that is not what the specification promises; says in a few words what is broken."""


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


def rejection(message: str, default: str) -> Failure:
    """That NCBI refuses the query for good: the reason that its words give, else `default`."""
    for reason, pattern in _REASONS:
        if re.search(pattern, message, re.IGNORECASE):
            return Failure("rejected", reason, message)
    return Failure("rejected", default, message or "NCBI gave no reason")


# Proto3's JSON leaves out what has its default value, so a missing field is an empty one.


def object_in(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object `name` of an object, empty where it is missing. Raises BadAnswer."""
    inner = value.get(name)
    if inner is None:
        return _ABSENT
    if not isinstance(inner, dict):
        raise BadAnswer(f"{name} is no object")
    return inner


def list_in(value: Mapping[str, Any], name: str) -> list[Any]:
    """The list `name` of an object, empty where it is missing. Raises BadAnswer."""
    items = value.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        raise BadAnswer(f"{name} is no list")
    return items


def objects_in(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The list of objects `name` of an object, empty where it is missing. Raises BadAnswer."""
    items = list_in(value, name)
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


def _phrase(http_status: int) -> str:
    try:
        return HTTPStatus(http_status).phrase
    except ValueError:
        return "no standard status"


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
        value, end = _decode(text)  # which would leave unread what comes behind the object
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


# The standard parser takes NaN, and the last of several equal keys.
_decode = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_duplicates).raw_decode
