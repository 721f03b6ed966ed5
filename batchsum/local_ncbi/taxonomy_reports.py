"""Names and ids looked up: taxonomy reports, up to 1,000 taxa at once, and suggestions for part of a name.

A name that is not known is no error of the request: its report says so, and the others are answered. A name
that several taxa have is answered with each of them.
"""

import re
from typing import Any

from batchsum.local_ncbi.catalogue import Catalogue, Taxon
from batchsum.local_ncbi.question import Refusal, Values, bad_page_token, unknown_taxon
from batchsum.local_ncbi.virus_reports import page_size, without_defaults

MOST_TAXA = 1000
_MOST_SUGGESTIONS = 20


def taxonomy_page(catalogue: Catalogue, values: Values) -> dict[str, Any]:
    """A `v2reportsTaxonomyDataReportPage` of the taxa asked for, in their order, then of the texts that are none."""
    taxa = values.get("taxons", ())
    if not any(text.strip() for text in taxa):
        raise Refusal("No valid taxons were passed.")
    if len(taxa) > MOST_TAXA:
        raise Refusal(f"too many taxons: {len(taxa)}, at most {MOST_TAXA} at once")
    token = values.get("page_token") or "p0"
    if not re.fullmatch("p[0-9]{1,9}", token):
        raise bad_page_token()
    # One taxon may be asked for by several texts, such as its id and a name; it is reported once.
    queries: dict[Taxon, list[str]] = {}
    unknown = []
    for text in taxa:
        matches = catalogue.matches(text)
        for taxon in matches:
            queries.setdefault(taxon, []).append(text)
        if not matches:
            unknown.append({"query": [text], "errors": [_unknown_error(text)]})
    reports = [{"query": texts, "taxonomy": _node(catalogue, taxon)} for taxon, texts in queries.items()] + unknown
    start = int(token[1:])
    end = start + page_size(values)
    page = {"reports": reports[start:end], "total_count": len(reports)}
    return page | {"next_page_token": f"p{end}"} if end < len(reports) else page


def _unknown_error(text: str) -> dict[str, Any]:
    return {
        "taxonomy_error_code": "INVALID_TAXONOMY_TAXON",
        "reason": "Invalid taxon",
        "message": unknown_taxon(text, "taxonomy").message,
        "invalid_identifiers": [text],
    }


def _rank(taxon: Taxon) -> str:
    return "" if taxon.rank == "no rank" else taxon.rank.upper().replace(" ", "_")


def _node(catalogue: Catalogue, taxon: Taxon) -> dict[str, Any]:
    return without_defaults(
        {
            "tax_id": taxon.tax_id,
            "rank": _rank(taxon),
            "current_scientific_name": {"name": taxon.name},
            "curator_common_name": taxon.common_name,
            "group_name": "viruses" if catalogue.is_virus(taxon) else "",
            "parents": [each.tax_id for each in catalogue.lineage(taxon)],
        }
    )


def suggest(catalogue: Catalogue, values: Values) -> dict[str, Any]:
    """Taxa for a name or part of it. `higher_taxon` means any rank, `species` (the default) species and below."""
    text = (values.get("taxon_query") or values.get("organism_query") or "").strip()
    if not text:
        raise Refusal("taxon_query must not be empty")
    found = catalogue.matches(text)
    if not found and not values.get("exact_match") and not (text.isascii() and text.isdigit()):
        found = catalogue.suggestions(text, _MOST_SUGGESTIONS)
    if values.get("tax_rank_filter") != "higher_taxon":
        found = [taxon for taxon in found if any(each.rank == "species" for each in (*catalogue.lineage(taxon), taxon))]
    return {"sci_name_and_ids": [_suggestion(catalogue, taxon, text) for taxon in found]} if found else {}


def _suggestion(catalogue: Catalogue, taxon: Taxon, text: str) -> dict[str, Any]:
    is_common = taxon.common_name and taxon.common_name.casefold().startswith(text.casefold())
    suggestion = {
        "sci_name": taxon.name,
        "tax_id": str(taxon.tax_id),
        "common_name": taxon.common_name,
        "matched_term": taxon.common_name if is_common else taxon.name,
        "rank": _rank(taxon),
        "group_name": "viruses" if catalogue.is_virus(taxon) else "",
    }
    return without_defaults(suggestion)
