"""What was asked, read strictly; and what the gateway says where it cannot answer.

A parameter that is not the endpoint's, is given twice without being a list, or has a value of another kind is refused,
as NCBI's gateway does, so that a job cannot believe that a filter was applied which was not. An empty value and the
year 1 are filters left out: NCBI's own program sends them so. Dates come in the three forms seen in the wild: RFC 3339
(`2025-01-15T00:00:00Z`), the generated client's (`2025-01-15T00:00:00.000000+0000`) and plain (`2025-01-15`).

Every refusal is a `Refusal` with the HTTP status and a body `{code, message}` in the form of `rpcStatus`, whose code is
gRPC's. A taxon or host that cannot be resolved is an invalid argument: HTTP 400, code 3. The words for names are those
of NCBI's own program for the same findings (ncbi/datasets#246, #373, #385, #435, #589).
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

SEQUENCES = ("GENOME", "CDS", "PROTEIN", "NONE")
REPORTS = ("DATASET_REPORT", "ANNOTATION", "BIOSAMPLE_REPORT")
_TABLE_FIELDS = """
unspecified nucleotide_accession species_tax_id species_name genus family nucleotide_length isolate_name sequence_type
nuc_completeness geo_location us_state host_name host_tax_id collection_date bioproject biosample polyprotein_name
protein_name protein_accession protein_synonym cds_span
"""
TABLE_FIELDS = tuple(_TABLE_FIELDS.split())

_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?:[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:?\d{2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Filters:
    """A question about records. Days are `YYYY-MM-DD`; empty and False mean: not filtered."""

    taxa: tuple[str, ...] = ()
    accessions: tuple[str, ...] = ()
    refseq_only: bool = False
    annotated_only: bool = False
    released_since: str = ""
    updated_since: str = ""
    host: str = ""
    pangolin_classification: str = ""
    geo_location: str = ""
    usa_state: str = ""
    complete_only: bool = False
    include_sequence: tuple[str, ...] = ()
    aux_report: tuple[str, ...] = ()


def read_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _bad(name, value, "a string")
    # JSON lets half a surrogate pair pass, which SQLite and the answer cannot hold.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _bad(name, value, "valid UTF-8") from None
    return value


def read_boolean(name: str, value: object) -> bool:
    if value is True or value == "true":
        return True
    if value is False or value in ("false", ""):
        return False
    raise _bad(name, value, "true or false")


def read_number(name: str, value: object) -> int:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text == "":
        return 0
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _bad(name, value, "a whole number that is not negative")
    return int(text)


def read_day(name: str, value: object) -> str:
    """The first day whose records count: a record belongs to midnight UTC of its date."""
    if value == "":
        return ""
    text = read_text(name, value)
    if not _DATE.fullmatch(text):
        raise _bad(name, value, "a date-time such as 2025-01-15T00:00:00Z")
    if text.startswith("0001-01-01"):
        return ""
    try:
        moment = datetime.fromisoformat(text.upper())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        # Records have days, not times: what was released at midnight is not "since" a later hour of that day.
        if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
            moment += timedelta(days=1)
    except (ValueError, OverflowError):
        raise _bad(name, value, "a date-time such as 2025-01-15T00:00:00Z") from None
    return moment.date().isoformat()


def read_choice(choices: Collection[str]) -> Callable[[str, object], str]:
    def read(name: str, value: object) -> str:
        if not isinstance(value, str) or (value and value not in choices):
            raise _bad(name, value, f"one of {', '.join(choices)}")
        return value

    return read


Reader = Callable[[str, object], Any]

# Reader of each parameter, and whether it is a list.
FILTERS: dict[str, tuple[Reader, bool]] = {
    "accessions": (read_text, True),
    "refseq_only": (read_boolean, False),
    "annotated_only": (read_boolean, False),
    "released_since": (read_day, False),
    "updated_since": (read_day, False),
    "host": (read_text, False),
    "pangolin_classification": (read_text, False),
    "geo_location": (read_text, False),
    "usa_state": (read_text, False),
    "complete_only": (read_boolean, False),
}
PACKAGE: dict[str, tuple[Reader, bool]] = {
    "include_sequence": (read_choice(SEQUENCES), True),
    "aux_report": (read_choice(REPORTS), True),
}
# A body may name one taxon or several; a path has it outside of the query.
TAXA: dict[str, tuple[Reader, bool]] = {"taxon": (read_text, False), "taxons": (read_text, True)}


def read_query(pairs: Iterable[tuple[str, str]], known: Mapping[str, tuple[Reader, bool]]) -> dict[str, Any]:
    """The values of a query string, by parameter; a list is given by repeating its name."""
    values: dict[str, Any] = {}
    for name, text in pairs:
        # The key may stand in the query as well; it is no filter.
        if name == "api_key":
            continue
        if name not in known:
            raise _unknown(name)
        read, is_list = known[name]
        if is_list:
            values.setdefault(name, []).append(read(name, text))
        elif name in values:
            raise Refusal(f'too many values for field "{name}"')
        else:
            values[name] = read(name, text)
    return values


def read_document(document: object, known: Mapping[str, tuple[Reader, bool]]) -> dict[str, Any]:
    """The values of a JSON body, by field; null is a field left out."""
    if not isinstance(document, dict):
        raise Refusal("the body must be a JSON object")
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            raise _unknown(name)
        read, is_list = known[name]
        if value is None:
            continue
        if not is_list:
            values[name] = read(name, value)
        elif isinstance(value, list):
            values[name] = [read(name, item) for item in value]
        else:
            raise _bad(name, value, "a list")
    return values


def make_filters(values: Mapping[str, Any], taxon: str | None = None) -> Filters:
    """Filters of what was read; `taxon` is the one in the path."""
    taxa = [taxon] if taxon is not None else [values.get("taxon", ""), *values.get("taxons", ())]
    fields = {name: value for name, value in values.items() if name in FILTERS or name in PACKAGE}
    for name, (_, is_list) in (*FILTERS.items(), *PACKAGE.items()):
        if is_list:
            fields[name] = tuple(item for item in fields.get(name, ()) if item)
    return Filters(taxa=tuple(text for text in taxa if text), **fields)


# gRPC's codes, as far as they are used by name here.
INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 3, 5, 8, 12

# gRPC's code for an HTTP status; everything else of the 5xx family is "unavailable".
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 3, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}


class Refusal(Exception):
    """An answer other than 200: the message for people, and the HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    @property
    def document(self) -> dict[str, object]:
        return {"code": code_for(self.status), "message": self.message, "details": []}


def code_for(status: int) -> int:
    return _CODES.get(status, INVALID_ARGUMENT if status < 500 else 14)


def no_such_route(path: str) -> Refusal:
    return Refusal(f"Not Found: no such path {path[:200]!r}", 404)


def unknown_id(tax_id: str, kind: str) -> Refusal:
    return Refusal(f"The taxonomy ID '{tax_id}' does not match any existing taxids for '{kind}'")


def unknown_name(name: str, kind: str, suggestions: Sequence[str] = ()) -> Refusal:
    if suggestions:
        listed = "\n".join(suggestions)
        return Refusal(f"The taxonomy name '{name}' is not exact. Try using one of the suggested taxids:\n{listed}")
    recognized = "is not a recognized virus taxon" if kind == "virus" else "is not recognized"
    return Refusal(f"The taxonomy name '{name}' {recognized}.")


def ambiguous_name(name: str, matches: Sequence[str]) -> Refusal:
    listed = "\n".join(matches)
    return Refusal(
        f"The taxonomy name '{name}' is an exact match for more than one taxid. "
        f"Please select one of these taxids:\n{listed}"
    )


def not_a_virus(asked: str, tax_id: int, name: str) -> Refusal:
    if asked.isdigit():
        return Refusal(f"The taxonomy ID '{asked}' is valid for '{name}', but it is not a virus taxon.")
    return Refusal(f"The taxonomy name '{asked}' (taxid: '{tax_id}') is valid, but it is not a virus taxon.")


def _unknown(name: str) -> Refusal:
    return Refusal(f"unknown parameter {name[:100]!r}")


def _bad(name: str, value: object, wanted: str) -> Refusal:
    return Refusal(f"parsing field {name!r}: {str(value)[:100]!r} is not {wanted}")
