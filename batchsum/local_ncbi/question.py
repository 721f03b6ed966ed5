"""What was asked, read strictly; and what the gateway says where it cannot answer.

A parameter that is not the endpoint's, is given twice without being a list, or has a value of another kind is refused,
as NCBI's gateway does, so that a job cannot believe that a filter was applied which was not. An empty value and the
year 1 are filters left out: NCBI's own program sends them so. Dates come in the three forms seen in the wild: RFC 3339
(`2025-01-15T00:00:00Z`), the generated client's (`2025-01-15T00:00:00.000000+0000`) and plain (`2025-01-15`).

A taxon or host that cannot be resolved is an invalid argument: HTTP 400, code 3. The words for names are those of
NCBI's own program for the same findings (ncbi/datasets#246, #373, #385, #435, #589).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

from batchsum.local_ncbi.records import read_table

_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?:[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:?\d{2}))?",
    re.ASCII,
)


Values = dict[str, Any]
"""What was asked, by parameter: texts, booleans, numbers, days as `YYYY-MM-DD`, or lists of texts.

A filter that is left out or empty filters nothing.
"""


def named_taxa(values: Values) -> tuple[str, ...]:
    """The taxa of a question about records; one may be named, or several."""
    return tuple(text for text in (values.get("taxon", ""), *values.get("taxons", ())) if text)


class Parameter(NamedTuple):
    """How the value of a parameter is read, and whether it is a list of such values."""

    read: Callable[[str, object], Any]
    is_list: bool = False


def parameters(*groups: str) -> dict[str, Parameter]:
    """The parameters of these groups of `data/parameters.tsv`, by name."""
    rows = (row for row in read_table("parameters.tsv") if row["group"] in groups)
    return {row["parameter"]: Parameter(_reader(row["value"]), row["list"] == "list") for row in rows}


def read_query(pairs: Iterable[tuple[str, str]], known: Mapping[str, Parameter]) -> Values:
    """The values of a query string, by parameter; a list is given by repeating its name."""
    document: Values = {}
    for name, text in pairs:
        # The key may stand in the query as well; it is no filter.
        if name == "api_key":
            continue
        if _parameter(name, known).is_list:
            document.setdefault(name, []).append(text)
        elif name in document:
            raise Refusal(f'too many values for field "{name}"')
        else:
            document[name] = text
    return read_document(document, known)


def read_document(document: object, known: Mapping[str, Parameter]) -> Values:
    """The values of a JSON body, by field; null is a field left out."""
    if not isinstance(document, dict):
        raise Refusal("the body must be a JSON object")
    values: Values = {}
    for name, value in document.items():
        parameter = _parameter(name, known)
        if value is None:
            continue
        if not parameter.is_list:
            values[name] = parameter.read(name, value)
        elif isinstance(value, list):
            values[name] = [read for item in value if (read := parameter.read(name, item))]
        else:
            raise _bad(name, value, "a list")
    return values


def _parameter(name: str, known: Mapping[str, Parameter]) -> Parameter:
    if name not in known:
        raise Refusal(f"unknown parameter {name[:100]!r}")
    return known[name]


# gRPC's code for an HTTP status; every other one is an invalid argument or, from 500 on, "unavailable".
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 3, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}
RESOURCE_EXHAUSTED = _CODES[429]


class Refusal(Exception):
    """An answer other than 200: the message for people, and the HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    @property
    def document(self) -> dict[str, object]:
        """`rpcStatus`, with gRPC's code for the HTTP status."""
        code = _CODES.get(self.status, 3 if self.status < 500 else 14)
        return {"code": code, "message": self.message, "details": []}


def unknown_taxon(text: str, kind: str, near: str = "") -> Refusal:
    """`text` is no taxon. `kind` is what it is asked for as; `near` lists taxa to choose from, one a line."""
    # No id is near another: near ones are told for names alone, as NCBI does.
    if text.isascii() and text.isdigit():
        return Refusal(f"The taxonomy ID '{text}' does not match any existing taxids for '{kind}'")
    if near:
        return Refusal(f"The taxonomy name '{text}' is not exact. Try using one of the suggested taxids:\n{near}")
    recognized = "is not a recognized virus taxon" if kind == "virus" else "is not recognized"
    return Refusal(f"The taxonomy name '{text}' {recognized}.")


def _bad(name: str, value: object, wanted: str) -> Refusal:
    return Refusal(f"parsing field {name!r}: {str(value)[:100]!r} is not {wanted}")


def _read_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _bad(name, value, "a string")
    if not is_unicode(value):
        raise _bad(name, value, "valid UTF-8")
    return value


def is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which JSON lets pass and nothing can hold or send."""
    return text.encode(errors="ignore").decode() == text


def _read_boolean(name: str, value: object) -> bool:
    if value is True or value == "true":
        return True
    if value is False or value in ("false", ""):
        return False
    raise _bad(name, value, "true or false")


def _read_number(name: str, value: object) -> int:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text == "":
        return 0
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _bad(name, value, "a whole number that is not negative")
    return int(text)


def _read_day(name: str, value: object) -> str:
    """The first day whose records count: a record belongs to midnight UTC of its date."""
    if value == "":
        return ""
    text = _read_text(name, value)
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        if text.startswith("0001-01-01"):
            return ""
        moment = datetime.fromisoformat(text.upper())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        # Records have days, not times: what was released at midnight is not "since" a later hour of that day.
        day = moment.date() + timedelta(days=moment.time() > time.min)
    except (ValueError, OverflowError):
        raise _bad(name, value, "a date-time such as 2025-01-15T00:00:00Z") from None
    return day.isoformat()


_READERS = {"text": _read_text, "boolean": _read_boolean, "number": _read_number, "day": _read_day}


def _reader(kind: str) -> Callable[[str, object], Any]:
    """The reader of a kind of values, or of the words between which there is a choice."""
    choices = kind.split()

    def read_choice(name: str, value: object) -> str:
        if not isinstance(value, str) or (value and value not in choices):
            raise _bad(name, value, f"one of {', '.join(choices)}")
        return value

    return _READERS.get(kind, read_choice)
