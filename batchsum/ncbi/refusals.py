"""What an error of NCBI is about: this query, us, or NCBI's own trouble.

Only a word about the query (unknown, ambiguous, not a virus, a bad filter) rejects it, and only with 400, 404 or inside
a 200. Such words name the taxon, a filter's parameter or its value: gateways too speak of hosts and names, but of their
own, and repeat the path that was asked for. A refusal by status (401, 403, a redirect), or words about the API key, may
be about us: whoever asked settles that with the canary. Everything else is passing trouble and asked again, whatever
its status: gateways send their pages with 400 and 404 as well.

Source: `rpcStatus` of NCBI's OpenAPI document for Datasets v2; the codes are gRPC's.
"""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeGuard

from batchsum.errors import Refused
from batchsum.model.filters import FILTER_NAMES
from batchsum.model.queries import Failure, Request
from batchsum.text import one_line

_WITH_WORDS = (HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)
"""The statuses with which NCBI says what is wrong with a query."""

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
_INVALID_ARGUMENT = 3
_DENIED = (7, 16, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""Permission denied, unauthenticated; in a body, a code may be gRPC's or HTTP's own."""
_PASSING_CODES = (1, 2, 4, 8, 10, 12, 13, 14, 15)
"""Cancelled, unknown, deadline exceeded, exhausted, aborted, unimplemented, internal, unavailable, data loss."""
_NAMES_OF_CODES = (
    (16, re.compile(r"denied|unauthenticated", re.IGNORECASE)),
    (14, re.compile(r"cancel|unknown|deadline|exhausted|aborted|internal|unavailable|data.?loss", re.IGNORECASE)),
)
"""Codes as some gateways spell them, of the two kinds that matter here."""

_KEY = re.compile(r"\bapi[ _-]?key\b", re.IGNORECASE)

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_ADDRESS = re.compile(r"\S*(?:://|/virus/|/taxonomy/)\S*|\b[a-z0-9-]+(?:\.[a-z0-9-]+){2,}\b")

_OUR_VALUE = "\ue000"
"""Stands in a message for a value of the query."""


def _read_words() -> Iterator[tuple[str, re.Pattern[str]]]:
    """What error bodies say, one pattern a row, and the reason that it is: `passing` is trouble of NCBI's own."""
    # The taxonomy itself is NCBI's, and may be down.
    taxon = rf"(?=.*(?:\b(?:tax(?!onomy)|taxonomy (?:name|id)|(?:organism|virus)\b)|{_OUR_VALUE}))"
    filters = "|".join(name.removesuffix("s") for name in FILTER_NAMES if name != "host")
    _, *rows = Path(__file__).with_name("refusals.tsv").read_text(encoding="utf-8").splitlines()
    for row in rows:
        reason, _, words = row.partition("\t")
        yield reason, re.compile(words.replace("TAXON", taxon).replace("FILTERS", filters), re.IGNORECASE)


# In the order of the rows: a host that is not recognized is no unknown taxon.
_WORDS = tuple(_read_words())
_PASSING = re.compile("|".join(words.pattern for reason, words in _WORDS if reason == "passing"), re.IGNORECASE)


def is_refusal(answer: object) -> TypeGuard[Failure]:
    """Whether it was refused by status or for the API key: perhaps this query, perhaps us."""
    return isinstance(answer, Failure) and answer.status == "rejected" and answer.reason.startswith("http_")


def redirect(http_status: int, location: str) -> Failure:
    """A redirect, which is never followed: it could take the key along. `location` is where it leads."""
    return Failure("rejected", f"http_{http_status}", f"redirects to {location}" if location else "redirects")


def error_with_status(http_status: int, document: Mapping[str, Any] | None, asked: Request | None = None) -> Failure:
    """What an answer means that is neither a 200 nor a redirect; `document` is its JSON, None where it is none."""
    if http_status in _REFUSALS:
        return Failure("rejected", f"http_{http_status}", _phrase(http_status))
    if not 400 <= http_status < 600:
        return Failure("failed", "bad_answer", f"HTTP status {http_status}")
    message, code = message_and_code(document or {})
    if http_status in _WITH_WORDS:
        return error_in_words(http_status, message, code, asked)
    if _KEY.search(message) and not _PASSING.search(message):
        return Failure("rejected", f"http_{http_status}", message)
    # Bodies of throttling and gateway answers can echo the key or the address: only the status is told.
    return Failure("failed", f"http_{http_status}", _phrase(http_status))


def error_in_words(http_status: int, message: str, code: int | None = None, asked: Request | None = None) -> Failure:
    """What an error means that NCBI puts into words, with 400, 404 or inside a 200."""
    named = _ADDRESS.sub("", _with_our_values(message, asked))
    said = _QUOTED.sub("''", named)  # NCBI quotes the query, whose words must not look like trouble
    passes = code is not None and (code in _PASSING_CODES or code == 429 or code >= 500)
    if not passes and not _PASSING.search(said):
        if _KEY.search(said) or code in _DENIED:
            return Failure("rejected", f"http_{http_status}", message or "permission denied")
        for reason, words in _WORDS:
            if reason != "passing" and words.search(named):
                return Failure("rejected", reason, message)
        if code == _INVALID_ARGUMENT and message:
            return Failure("rejected", "bad_request", message)
    if http_status == HTTPStatus.OK:
        return Failure("failed", "bad_answer", f"NCBI says: {message or f'code {code}'}")
    return Failure("failed", f"http_{http_status}", _phrase(http_status))


def _with_our_values(message: str, asked: Request | None) -> str:
    """The message with a sign in place of each value of the query that a sentence may name."""
    if asked is None:
        return message
    values = (asked.taxon, *asked.filters.accessions, *(one for one in asked.filters if isinstance(one, str)))
    said = message.casefold()  # looked at first: a pattern for each of fifty thousand accessions takes seconds
    for value in sorted((one for one in values if one and one.casefold() in said), key=len, reverse=True):
        # Two letters may as well be a word (OR, IN), and three digits a status.
        if len(value) > (3 if value.isdigit() else 2):
            message = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", _OUR_VALUE, message, flags=re.IGNORECASE)
    return message


def message_and_code(document: Mapping[str, Any]) -> tuple[str, int | None]:
    """The message of an error body and its code, as far as it has them."""
    said: object = document
    while isinstance(said, Mapping):  # no recursion: a body may nest more deeply than Python lets functions call
        document = said
        values = (document.get(name) for name in ("message", "error"))
        said = next((one for one in values if isinstance(one, Mapping) or (isinstance(one, str) and one.strip())), None)
    code = document.get("code", document.get("status"))
    if isinstance(code, str) and re.fullmatch("[0-9]{1,3}", code):
        code = int(code)
    elif isinstance(code, str):
        code = next((number for number, name in _NAMES_OF_CODES if name.search(code)), None)
    return one_line(said) if isinstance(said, str) else "", code if type(code) is int else None


def refused(answer: Failure, *, has_key: bool, met_by: str) -> Refused:
    """The error that ends a run, since the canary is refused too. `met_by` says which query met it first."""
    status = answer.reason.removeprefix("http_")
    if status.startswith("3"):
        what = (
            f"the server {answer.detail} (HTTP {status}), and redirects are never followed; "
            "if that is the right server, write its address as base_url"
        )
    elif status == "401" and not has_key:
        what = "the server wants an API key (HTTP 401); name a file that holds one with --api-key-file"
    elif status == "407":
        what = "the proxy wants a user name and password (HTTP 407); write them into HTTPS_PROXY"
    elif has_key or _KEY.search(answer.detail):
        what = f"the server does not accept the API key (HTTP {status}); look at the key and its file"
    else:
        what = f"the server refuses this machine (HTTP {status}): NCBI may have blocked its address"
    return Refused(f"{what}; met by {met_by}")


def _phrase(http_status: int) -> str:
    return next((one.phrase for one in HTTPStatus if one == http_status), "no standard status")
