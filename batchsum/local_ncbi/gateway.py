"""From a request to the document that answers it. Knows paths and parameters, nothing of sockets.

A path is split at its slashes before anything is decoded, and each piece is decoded once: whatever a taxon
contains (`%2F`, `..`, `?`, `#`, blanks), it stays one piece and reaches no other route.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from batchsum.local_ncbi import taxonomy_reports, virus_reports
from batchsum.local_ncbi.catalogue import Catalogue
from batchsum.local_ncbi.data_report import is_unicode
from batchsum.local_ncbi.question import (
    FILTERS,
    PACKAGE,
    TABLE_FIELDS,
    TAXA,
    Filters,
    Reader,
    Refusal,
    make_filters,
    no_such_route,
    read_boolean,
    read_choice,
    read_document,
    read_query,
)
from batchsum.local_ncbi.selection import Selection
from batchsum.local_ncbi.summary import summary_document

PREFIX = "/datasets/v2"
VERSION = "18.32.0"
Document = dict[str, Any]

_DATASET_BODY = {
    **TAXA,
    **FILTERS,
    **PACKAGE,
    "table_fields": (read_choice(TABLE_FIELDS), True),
    "format": (read_choice(("tsv", "csv", "jsonl")), False),
    "use_psg": (read_boolean, False),
}
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """A request that has found its route: what answers it, and what it brought along."""

    endpoint: str
    answer: "Callable[[Gateway, RoutedRequest, str], Document]"
    argument: str = ""
    """The piece of the path that is a taxon or a name, decoded."""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """The query's parameters in their order."""
    body: object = None
    """The JSON of a POST, parsed and not yet looked at."""
    taxa: tuple[str, ...] = ()
    """The taxa that it names, for faults that are about one."""


class Gateway:
    """Answers as of one day from one catalogue. `zero` is how nothing is told: "count" (a 0) or "omit"."""

    def __init__(self, catalogue: Catalogue, as_of: date, base_url: str, zero: str = "count") -> None:
        self.catalogue = catalogue
        self.as_of = as_of
        self.base_url = base_url
        self.zero = zero

    def read(self, method: str, target: str, body: bytes = b"") -> RoutedRequest:
        """The question of a request target as it stands in the request line. Raises Refusal."""
        path, _, query = target.partition("?")
        if not path.startswith(f"{PREFIX}/"):
            raise no_such_route(path)
        # Split before anything is decoded: a %2F inside of a taxon is no slash of the path.
        pieces = path.removeprefix(f"{PREFIX}/").split("/")
        route, argument = _find_route(pieces)
        if route is None:
            raise no_such_route(path)
        if method not in route and not (method == "HEAD" and "GET" in route):
            raise Refusal(f"Method Not Allowed: {method[:20]} is not one of {', '.join(route)}", 405)
        endpoint, answer = route["GET" if method == "HEAD" else method]
        if method == "POST":
            document = _read_json(body)
            return RoutedRequest(endpoint, answer, "", _read_pairs(query), document, _taxa_of(document))
        text = _decode_piece(argument)
        taxa = self._listed(text) if endpoint == "taxonomy" else (text,) if text else ()
        return RoutedRequest(endpoint, answer, text, _read_pairs(query), None, taxa)

    def _listed(self, text: str) -> tuple[str, ...]:
        # The taxonomy takes several taxa between commas, and NCBI's clients encode those too; some names have one.
        return (text,) if self.catalogue.matches(text) else tuple(part for part in text.split(",") if part)

    def document(self, request: RoutedRequest, *, stale_days: int = 0) -> Document:
        """The answer as of `stale_days` before the server's day. Raises Refusal."""
        return request.answer(self, request, (self.as_of - timedelta(days=stale_days)).isoformat())

    def summary_by_taxon(self, request: RoutedRequest, as_of: str) -> Document:
        return self._summary(make_filters(read_query(request.pairs, FILTERS | PACKAGE), request.argument), as_of)

    def summary_by_post(self, request: RoutedRequest, as_of: str) -> Document:
        return self._summary(make_filters(self._body(request, _DATASET_BODY)), as_of)

    def _summary(self, filters: Filters, as_of: str) -> Document:
        totals = Selection(self.catalogue, filters, as_of).totals()
        return summary_document(totals, filters, as_of, self.base_url, zero=self.zero)

    def reports_by_taxon(self, request: RoutedRequest, as_of: str) -> Document:
        values = read_query(request.pairs, virus_reports.REPORTS_QUERY)
        filters = make_filters(
            {name.removeprefix("filter."): value for name, value in values.items()}, request.argument
        )
        return virus_reports.report_page(self.catalogue, filters, values, as_of, zero=self.zero)

    def reports_by_post(self, request: RoutedRequest, as_of: str) -> Document:
        values = self._body(request, virus_reports.REPORTS_BODY)
        filters = values.get("filter") or Filters()
        return virus_reports.report_page(self.catalogue, filters, values, as_of, zero=self.zero)

    def taxonomy_by_taxa(self, request: RoutedRequest, as_of: str) -> Document:
        values = read_query(request.pairs, taxonomy_reports.TAXONOMY_OPTIONS)
        return taxonomy_reports.taxonomy_page(self.catalogue, request.taxa, values)

    def taxonomy_by_post(self, request: RoutedRequest, as_of: str) -> Document:
        values = self._body(request, taxonomy_reports.TAXONOMY_BODY)
        return taxonomy_reports.taxonomy_page(self.catalogue, values.get("taxons", ()), values)

    def metadata_by_taxa(self, request: RoutedRequest, as_of: str) -> Document:
        values = read_query(request.pairs, taxonomy_reports.TAXONOMY_OPTIONS)
        return taxonomy_reports.taxonomy_metadata(self.catalogue, request.taxa, values)

    def metadata_by_post(self, request: RoutedRequest, as_of: str) -> Document:
        values = self._body(request, taxonomy_reports.TAXONOMY_BODY)
        return taxonomy_reports.taxonomy_metadata(self.catalogue, values.get("taxons", ()), values)

    def suggest_by_text(self, request: RoutedRequest, as_of: str) -> Document:
        values = read_query(request.pairs, taxonomy_reports.SUGGEST_OPTIONS)
        return taxonomy_reports.suggest(self.catalogue, request.argument, values)

    def suggest_by_post(self, request: RoutedRequest, as_of: str) -> Document:
        values = self._body(request, taxonomy_reports.SUGGEST_BODY)
        text = values.get("taxon_query") or values.get("organism_query") or ""
        return taxonomy_reports.suggest(self.catalogue, text, values)

    def _body(self, request: RoutedRequest, known: Mapping[str, tuple[Reader, bool]]) -> dict[str, Any]:
        # A POST has its parameters in the body alone.
        read_query(request.pairs, {})
        return read_document(request.body, known)

    def version(self, request: RoutedRequest, as_of: str) -> Document:
        read_query(request.pairs, {})
        major, minor, patch = VERSION.split(".")
        numbers = {"major_ver": int(major), "minor_ver": int(minor), "patch_ver": int(patch)}
        return {"version": VERSION, **{name: number for name, number in numbers.items() if number}}


_Answer = Callable[[Gateway, RoutedRequest, str], Document]
_Route = Mapping[str, tuple[str, _Answer]]

# Pieces of the path; "*" is the one that is an argument.
_ROUTES: dict[tuple[str, ...], _Route] = {
    ("virus", "taxon", "*", "genome"): {"GET": ("summary", Gateway.summary_by_taxon)},
    ("virus", "genome"): {"POST": ("summary", Gateway.summary_by_post)},
    ("virus", "taxon", "*", "dataset_report"): {"GET": ("report", Gateway.reports_by_taxon)},
    ("virus",): {"POST": ("report", Gateway.reports_by_post)},
    ("taxonomy", "dataset_report"): {"POST": ("taxonomy", Gateway.taxonomy_by_post)},
    ("taxonomy", "taxon", "*", "dataset_report"): {"GET": ("taxonomy", Gateway.taxonomy_by_taxa)},
    ("taxonomy", "taxon", "*"): {"GET": ("taxonomy", Gateway.metadata_by_taxa)},
    ("taxonomy",): {"POST": ("taxonomy", Gateway.metadata_by_post)},
    ("taxonomy", "taxon_suggest"): {"POST": ("taxonomy", Gateway.suggest_by_post)},
    ("taxonomy", "taxon_suggest", "*"): {"GET": ("taxonomy", Gateway.suggest_by_text)},
    ("version",): {"GET": ("version", Gateway.version)},
}


def _find_route(pieces: list[str]) -> tuple[_Route | None, str]:
    for pattern, route in _ROUTES.items():
        if len(pattern) == len(pieces) and all(
            want in ("*", piece) for want, piece in zip(pattern, pieces, strict=True)
        ):
            argument = pieces[pattern.index("*")] if "*" in pattern else ""
            if argument or "*" not in pattern:
                return route, argument
    return None, ""


def _decode_piece(piece: str) -> str:
    """A piece of a path, percent-decoded once. Raises Refusal where that gives no text."""
    try:
        if _BAD_PERCENT.search(piece):
            raise ValueError
        return unquote_to_bytes(piece).decode()
    except ValueError:
        raise Refusal(f"malformed percent-encoding in the path: {piece[:100]!r}") from None


def _read_pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=20_000)
    except UnicodeDecodeError:
        raise Refusal("the query is not valid UTF-8") from None
    except ValueError:
        raise Refusal("too many parameters") from None


def _read_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal("the body is not valid JSON") from None


def _taxa_of(document: object) -> tuple[str, ...]:
    """The taxa a body names, for faults; whether they are well-formed is somebody else's question."""
    if not isinstance(document, dict):
        return ()
    inner = document.get("filter")
    taxa = _taxa_of(inner) if isinstance(inner, dict) else ()
    listed = document.get("taxons")
    named = [document.get("taxon"), document.get("taxon_query"), *(listed if isinstance(listed, list) else ())]
    return taxa + tuple(text for text in named if isinstance(text, str) and is_unicode(text))
