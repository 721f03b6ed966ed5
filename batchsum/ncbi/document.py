"""What every answer of NCBI has in common: strict JSON, or a status and why.

Source: `rpcStatus` of NCBI's OpenAPI document for Datasets v2; why it refuses is told from the words of its message.
"""

import json
import re
from http import HTTPStatus
from typing import Any

from batchsum.model.queries import Failure

LONGEST_DETAIL = 300

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


def one_line(text: str) -> str:
    """Text from outside, fit for a cell and a log line."""
    folded = " ".join(visible(text).split())
    return folded if len(folded) <= LONGEST_DETAIL else folded[: LONGEST_DETAIL - 1] + "…"


def visible(text: str) -> str:
    """Without what nobody can see, and what no file can hold (half of a surrogate pair)."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


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
