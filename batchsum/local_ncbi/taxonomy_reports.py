"""Names and ids looked up: taxonomy reports, up to 1,000 taxa at once, and suggestions for part of a name.

A name that is not known is no error of the request: its report says so, and the others are answered. A name
that several taxa have is answered with each of them.
"""

import re
from collections.abc import Callable
from typing import Any

from batchsum.local_ncbi.catalogue import Catalogue, Taxon
from batchsum.local_ncbi.question import Refusal, Values, bad_page_token, unknown_taxon
from batchsum.local_ncbi.virus_reports import page_size, without_defaults

MOST_TAXA = 1000
_MOST_SUGGESTIONS = 20
# Ranks that NCBI's report repeats under `classification`.
_CLASSIFIED = "superkingdom kingdom phylum class order family genus species domain realm acellular_root"


LookedUp = list[tuple[Taxon | None, list[str]]]
"""Each taxon once, with the texts that asked for it; then the texts that are no taxon."""


def taxonomy_page(catalogue: Catalogue, values: Values) -> dict[str, Any]:
    """A `v2reportsTaxonomyDataReportPage` of the taxa asked for, in their order."""
    found = _looked_up(catalogue, values)
    content = values.get("returned_content") or "COMPLETE"
    token = values.get("page_token") or "p0"
    if not re.fullmatch("p[0-9]{1,9}", token):
        raise bad_page_token()
    start = int(token[1:])
    end = start + page_size(values)
    reports = _reports(found[start:end], lambda taxon: _node(catalogue, taxon, content))
    page: dict[str, Any] = {"reports": reports, "total_count": len(found)}
    if end < len(found):
        page["next_page_token"] = f"p{end}"
    return page


def taxonomy_metadata(catalogue: Catalogue, values: Values) -> dict[str, Any]:
    """The older form of the same, `v2TaxonomyMetadataResponse`."""
    return {"taxonomy_nodes": _reports(_looked_up(catalogue, values), lambda taxon: _old_node(catalogue, taxon))}


def _reports(found: LookedUp, node: Callable[[Taxon], dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"query": query, **({"taxonomy": node(taxon)} if taxon else {"errors": [_unknown_error(query[0])]})}
        for taxon, query in found
    ]


def _looked_up(catalogue: Catalogue, values: Values) -> LookedUp:
    taxa = values.get("taxons", ())
    if not any(text.strip() for text in taxa):
        raise Refusal("No valid taxons were passed.")
    if len(taxa) > MOST_TAXA:
        raise Refusal(f"too many taxons: {len(taxa)}, at most {MOST_TAXA} at once")
    # One taxon may be asked for by several texts, such as its id and a name; it is reported once.
    queries: dict[Taxon, list[str]] = {}
    unknown: LookedUp = []
    for text in taxa:
        matches = catalogue.matches(text)
        if not matches:
            unknown.append((None, [text]))
        for taxon in matches:
            below = catalogue.children(taxon) if values.get("children") else []
            for each in (taxon, *below):
                queries.setdefault(each, []).append(text)
    wanted = set(values.get("ranks") or ())
    return [*((taxon, texts) for taxon, texts in queries.items() if not wanted or _rank(taxon) in wanted), *unknown]


def _unknown_error(text: str) -> dict[str, Any]:
    return {
        "taxonomy_error_code": "INVALID_TAXONOMY_TAXON",
        "reason": "Invalid taxon",
        "message": unknown_taxon(text, "taxonomy").message,
        "invalid_identifiers": [text],
    }


def _rank(taxon: Taxon) -> str:
    return taxon.rank.upper().replace(" ", "_")


def _node(catalogue: Catalogue, taxon: Taxon, content: str) -> dict[str, Any]:
    if content == "TAXIDS":
        return {"tax_id": taxon.tax_id}
    lineage = catalogue.lineage(taxon)
    ranked = {each.rank: {"name": each.name, "id": each.tax_id} for each in (*lineage, taxon)}
    every: dict[str, Any] = {
        "tax_id": taxon.tax_id,
        "rank": _rank_if_any(taxon),
        "current_scientific_name": {"name": taxon.name},
        "curator_common_name": taxon.common_name,
        "group_name": "viruses" if catalogue.is_virus(taxon) else "",
        "classification": {rank: ranked[rank] for rank in _CLASSIFIED.split() if rank in ranked},
        "parents": [each.tax_id for each in lineage],
        "children": [each.tax_id for each in catalogue.children(taxon)],
    }
    if content == "COMPLETE" and (genomes := catalogue.count_genomes(taxon)):
        every["counts"] = [{"type": "COUNT_TYPE_ASSEMBLY", "count": genomes}]
    return without_defaults(every)


def _old_node(catalogue: Catalogue, taxon: Taxon) -> dict[str, Any]:
    every: dict[str, Any] = {
        "tax_id": taxon.tax_id,
        "organism_name": taxon.name,
        "common_name": taxon.common_name,
        "lineage": [each.tax_id for each in catalogue.lineage(taxon)],
        "children": [each.tax_id for each in catalogue.children(taxon)],
        "rank": _rank_if_any(taxon),
    }
    return without_defaults(every)


def _rank_if_any(taxon: Taxon) -> str:
    return "" if taxon.rank == "no rank" else _rank(taxon)


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
    resource = (values.get("taxon_resource_filter") or "TAXON_RESOURCE_FILTER_ALL").rpartition("_")[2]
    if resource != "ALL":
        # The catalogue has genomes of viruses, and neither genes nor organelles of anything.
        found = [taxon for taxon in found if resource == "GENOME" and catalogue.count_genomes(taxon)]
    return {"sci_name_and_ids": [_suggestion(catalogue, taxon, text) for taxon in found]} if found else {}


def _suggestion(catalogue: Catalogue, taxon: Taxon, text: str) -> dict[str, Any]:
    is_common = taxon.common_name and taxon.common_name.casefold().startswith(text.casefold())
    every = {
        "sci_name": taxon.name,
        "tax_id": str(taxon.tax_id),
        "common_name": taxon.common_name,
        "matched_term": taxon.common_name if is_common else taxon.name,
        "rank": _rank_if_any(taxon),
        "group_name": "viruses" if catalogue.is_virus(taxon) else "",
    }
    return without_defaults(every)
