"""From a request to the document that answers it. Knows paths and parameters, nothing of sockets.

A path is matched before anything is decoded, and the piece that is a taxon or a name is decoded once: whatever it
contains (`%2F`, `..`, `?`, `#`, blanks), it stays one piece and reaches no other route.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from batchsum.local_ncbi.catalogue import Catalogue
from batchsum.local_ncbi.question import Parameter, Refusal, Values, named_taxa, parameters, read_document, read_query
from batchsum.local_ncbi.reports import (
    REPORTS_BODY,
    REPORTS_QUERY,
    report_page,
    suggest,
    taxonomy_metadata,
    taxonomy_page,
)
from batchsum.local_ncbi.summary import summary_document

PREFIX = "/datasets/v2"
VERSION = "18.32.0"  # whose patch, as a zero, is left out of the answer

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Route(NamedTuple):
    """What one path below the prefix is answered with."""

    endpoint: str
    """As faults name it."""
    method: str
    path: str
    """With the name of the parameter that is a piece of it, as `{taxon}`."""
    answer: Callable[[Catalogue, Values, str], dict[str, Any]]
    """Takes what was asked, and as of which day."""
    parameters: Mapping[str, Parameter]
    """What the query of a GET or the body of a POST may hold."""


_SUMMARY = parameters("accessions", "filters", "package")
_ROUTES = (
    Route("summary", "GET", "virus/taxon/{taxon}/genome", summary_document, _SUMMARY),
    Route("summary", "POST", "virus/genome", summary_document, _SUMMARY | parameters("taxa", "download")),
    Route("report", "GET", "virus/taxon/{taxon}/dataset_report", report_page, REPORTS_QUERY),
    Route("report", "POST", "virus", report_page, REPORTS_BODY),
    Route("taxonomy", "GET", "taxonomy/taxon/{taxons}/dataset_report", taxonomy_page, parameters("taxonomy")),
    Route("taxonomy", "POST", "taxonomy/dataset_report", taxonomy_page, parameters("taxonomy", "taxonomy_by_post")),
    Route("taxonomy", "GET", "taxonomy/taxon/{taxons}", taxonomy_metadata, parameters("taxonomy")),
    Route("taxonomy", "POST", "taxonomy", taxonomy_metadata, parameters("taxonomy", "taxonomy_by_post")),
    Route("taxonomy", "GET", "taxonomy/taxon_suggest/{taxon_query}", suggest, parameters("suggest")),
    Route("taxonomy", "POST", "taxonomy/taxon_suggest", suggest, parameters("suggest", "suggest_by_post")),
    Route("version", "GET", "version", lambda *_: {"version": VERSION, "major_ver": 18, "minor_ver": 32}, {}),
)
_PATTERNS = [(re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", f"{PREFIX}/{route.path}")), route) for route in _ROUTES]


def read_request(catalogue: Catalogue, method: str, target: str, body: bytes = b"") -> tuple[Route, Values]:
    """The route of a request target as it stands in the request line, and its parameters. Raises Refusal."""
    path, _, query = target.partition("?")
    route, named = _find_route(path)
    if ("GET" if method == "HEAD" else method) != route.method:
        raise Refusal(f"Method Not Allowed: {method[:20]} is not one of {route.method}", 405)
    pairs = _read_pairs(query)
    if method == "POST":
        # A POST has its parameters in the body alone.
        read_query(pairs, {})
        return route, read_document(_read_json(body), route.parameters)
    values: Values = {name: _decode_piece(piece) for name, piece in named.items()}
    # The taxonomy takes several taxa between commas, and NCBI's clients encode those too; some names have one.
    if (text := values.get("taxons")) is not None:
        values["taxons"] = (text,) if catalogue.matches(text) else tuple(part for part in text.split(",") if part)
    return route, read_query(pairs, route.parameters) | values


def names_in(catalogue: Catalogue, values: Values) -> set[str]:
    """What the taxa of a question are called, in small letters: as it says, and their ids and scientific names."""
    names: set[str] = set()
    for text in (*named_taxa(values.get("filter") or values), values.get("taxon_query", "")):
        matches = catalogue.matches(text)
        names.update((text.strip().casefold(), *(taxon.name.casefold() for taxon in matches)))
        names.update(str(taxon.tax_id) for taxon in matches)
    return names


def _find_route(path: str) -> tuple[Route, dict[str, str]]:
    """The route of a path, and the piece of it that is a parameter, by name and not yet decoded. Raises Refusal."""
    for pattern, route in _PATTERNS:
        if match := pattern.fullmatch(path):
            return route, match.groupdict()
    raise Refusal(f"Not Found: no such path {path[:200]!r}", 404)


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
