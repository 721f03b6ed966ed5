"""A request as NCBI sees it: path, query, and the JSON twin for lists too long for a URL.

Nothing a user wrote is ever joined into a URL unquoted: no text can change which endpoint is asked.
"""

from functools import lru_cache
from typing import Any
from urllib.parse import quote

from batchsum.model.filters import FilterSet
from batchsum.model.queries import Request

LONGEST_LIST = 2000
"""Characters of encoded accessions above which the request goes as POST."""

_LISTS = ("accessions", "include_sequence", "aux_report")


def request_key(request: Request) -> str:
    """Path and query below the base URL: two requests with one key send the same.

    ValueError for a taxon that no quoting keeps in its place.
    """
    if request.taxon in ("", ".", ".."):
        raise ValueError(f"{request.taxon!r} is not the name of a taxon")
    return f"/virus/taxon/{quote(request.taxon, safe='')}/genome{_query(request.filters)}"


@lru_cache(maxsize=4096)
def _query(filters: FilterSet) -> str:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in filters.parameters())
    return f"?{query}" if query else ""


def post_body(request: Request) -> dict[str, Any] | None:
    """The same request as v2VirusDatasetRequest, or None where its accessions fit a URL."""
    if not request.filters.accessions:
        return None
    encoded = sum(len(f"&accessions={quote(accession)}") for accession in request.filters.accessions)
    if encoded - 1 <= LONGEST_LIST:
        return None
    body: dict[str, Any] = {"taxon": request.taxon}
    for name, value in request.filters.parameters():
        if name in _LISTS:
            body.setdefault(name, []).append(value)
        else:
            body[name] = True if value == "true" and name.endswith("_only") else value
    return body
