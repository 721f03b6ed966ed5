"""Names and ids looked up: taxonomy reports, up to 1,000 taxa at once, and suggestions for part of a name.

A name that is not known is no error of the request: its report says so, and the others are answered. A name
that several taxa have is answered with each of them.
"""

from typing import Any

from batchsum.local_ncbi.catalogue import Catalogue, Taxon
from batchsum.local_ncbi.question import Refusal, unknown_id, unknown_name
from batchsum.local_ncbi.virus_reports import page_size, without_defaults

MOST_TAXA = 1000
_MOST_SUGGESTIONS = 20
# Ranks that NCBI's report repeats under `classification`.
_CLASSIFIED = "superkingdom kingdom phylum class order family genus species domain realm acellular_root"


def taxonomy_page(catalogue: Catalogue, values: dict[str, Any]) -> dict[str, Any]:
    """A `v2reportsTaxonomyDataReportPage` of the taxa asked for, in their order."""
    known, unknown = _looked_up(catalogue, values)
    content = values.get("returned_content") or "COMPLETE"
    every: list[tuple[Taxon | None, list[str]]] = [*known, *((None, [text]) for text in unknown)]
    start, size = _read_offset(values.get("page_token", "")), page_size(values)
    reports = []
    for taxon, query in every[start : start + size]:
        if taxon is None:
            reports.append({"query": query, "errors": [_unknown_error(query[0])]})
        else:
            reports.append({"taxonomy": _node(catalogue, taxon, content), "query": query})
    page: dict[str, Any] = {"reports": reports, "total_count": len(every)}
    if start + size < len(every):
        page["next_page_token"] = f"p{start + size}"
    return page


def taxonomy_metadata(catalogue: Catalogue, values: dict[str, Any]) -> dict[str, Any]:
    """The older form of the same, `v2TaxonomyMetadataResponse`."""
    known, unknown = _looked_up(catalogue, values)
    nodes: list[dict[str, Any]] = [{"query": query, "taxonomy": _old_node(catalogue, taxon)} for taxon, query in known]
    nodes += [{"query": [text], "errors": [_unknown_error(text)]} for text in unknown]
    return {"taxonomy_nodes": nodes}


def _looked_up(catalogue: Catalogue, values: dict[str, Any]) -> tuple[list[tuple[Taxon, list[str]]], list[str]]:
    """Each taxon once, with what it was asked by, and the texts that are no taxon."""
    taxa = values.get("taxons", ())
    if not any(text.strip() for text in taxa):
        raise Refusal("No valid taxons were passed.")
    if len(taxa) > MOST_TAXA:
        raise Refusal(f"too many taxons: {len(taxa)}, at most {MOST_TAXA} at once")
    # One taxon may be asked for by several texts, such as its id and a name; it is reported once.
    queries: dict[Taxon, list[str]] = {}
    unknown = []
    for text in taxa:
        matches = catalogue.matches(text)
        if not matches:
            unknown.append(text)
        for taxon in matches:
            below = catalogue.children(taxon) if values.get("children") else []
            for each in (taxon, *below):
                queries.setdefault(each, []).append(text)
    wanted = set(values.get("ranks") or ())
    known = [pair for pair in queries.items() if not wanted or _rank(pair[0]) in wanted]
    return known, unknown


def _read_offset(token: str) -> int:
    if not token:
        return 0
    digits = token.removeprefix("p")
    if token == digits or not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise Refusal("invalid page_token: send it back with the request that it came from")
    return int(digits)


def _unknown_error(text: str) -> dict[str, Any]:
    is_id = text.isascii() and text.isdigit()
    refusal = unknown_id(text, "taxonomy") if is_id else unknown_name(text, "taxonomy")
    return {
        "taxonomy_error_code": "INVALID_TAXONOMY_TAXON",
        "reason": "Invalid taxon",
        "message": refusal.message,
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


def suggest(catalogue: Catalogue, values: dict[str, Any]) -> dict[str, Any]:
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
