"""What every answer of NCBI has in common: strict JSON of the shapes that were promised, or a status and why."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from batchsum.model.queries import Failure, Request
from batchsum.ncbi.refusals import error_with_status
from batchsum.text import visible

LONGEST_TEXT = 8000
"""Characters of one field."""


class BadAnswer(ValueError):
    """An answer that is not what the specification promises; says in a few words what is broken."""


def parse_document(http_status: int, body: bytes, asked: Request | None = None) -> dict[str, Any] | Failure:
    """The JSON object of a 200, whatever it is about, or why there is none; an error may be about what was `asked`."""
    try:
        document = _parse_json(body)
    except BadAnswer as error:
        if http_status == HTTPStatus.OK:
            return Failure("failed", "bad_answer", str(error))
        return error_with_status(http_status, None)
    return document if http_status == HTTPStatus.OK else error_with_status(http_status, document, asked)


# Proto3's JSON leaves out what has its default value, so a missing field is an empty one.


def object_in(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object `name` of an object, empty where it is missing. Raises BadAnswer."""
    inner = value.get(name)
    if not isinstance(inner, dict | None):
        raise BadAnswer(f"{name} is no object")
    return inner or {}


def list_in(value: Mapping[str, Any], name: str) -> list[Any]:
    """The list `name` of an object, empty where it is missing. Raises BadAnswer."""
    items = value.get(name)
    if not isinstance(items, list | None):
        raise BadAnswer(f"{name} is no list")
    return items or []


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


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        value = _decode(body.decode())
    except RecursionError:
        raise BadAnswer("nested too deeply") from None
    except UnicodeDecodeError:
        raise BadAnswer("not UTF-8") from None
    except BadAnswer:
        raise
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
