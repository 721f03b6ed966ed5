"""Records one by one (`v2reportsVirusAssembly`) and names looked up, in pages; and suggestions for part of a name.

The pages of a question and its summary are cut from the same selection, so that `total_count` is the summary's
`record_count`. As protobuf's JSON does it, a field at its default is left out; the total is not.

A name that is not known is no error of the request: its report says so, and the others are answered. A name that
several taxa have is answered with each of them.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from batchsum.local_ncbi.catalogue import Catalogue, Selection, Taxon
from batchsum.local_ncbi.data_report import read_report
from batchsum.local_ncbi.question import Parameter, Refusal, Values, parameters, read_document, unknown_taxon
from batchsum.local_ncbi.records import GenomeRecord, us_states

MOST_ON_A_PAGE, USUAL_ON_A_PAGE = 1000, 20
MOST_TAXA, MOST_SUGGESTIONS = 1000, 20

# By GET the filters are fields of `filter`; accessions and taxa are not among them.
REPORTS_QUERY = {f"filter.{name}": one for name, one in parameters("filters").items()} | parameters("paging")
_FILTER = parameters("taxa", "accessions", "filters")
_READ_FILTER = Parameter(lambda name, value: read_document(value, _FILTER))
REPORTS_BODY = {"filter": _READ_FILTER} | parameters("paging", "paging_by_post")


def report_page(catalogue: Catalogue, values: Values, as_of: str) -> dict[str, Any]:
    """One page of records as of a day; `values` are the parameters as read."""
    filters = values.get("filter") or {
        short: value for name, value in values.items() if (short := name.removeprefix("filter.")) in _FILTER
    }
    # One record more than wanted tells whether there is a next page.
    size = page_size(values)
    after = _read_token(values.get("page_token", ""), question := sorted(filters.items()))
    selection = Selection(catalogue, filters, as_of)
    found = selection.page(size + 1, after)
    is_short = values.get("returned_content") == "ACCESSIONS_ONLY"
    reports = [
        {"accession": record.accession} if is_short else virus_report(catalogue, record) for _, record in found[:size]
    ]
    page = without_defaults({"reports": reports}) | {"total_count": selection.totals().records}
    if len(found) > size:
        page["next_page_token"] = _token(found[size - 1][0], question)
    return page


def page_size(values: Values) -> int:
    return min(values.get("page_size") or USUAL_ON_A_PAGE, MOST_ON_A_PAGE)


def _token(row: int, question: Sequence[object]) -> str:
    """For the page behind this row of what was found. A token belongs to its question."""
    return f"{row}-{sha256(repr(question).encode()).hexdigest()[:16]}"


def _read_token(token: str, question: Sequence[object]) -> int:
    """The last row seen; 0 where there is none."""
    if not token:
        return 0
    row = token.partition("-")[0]
    if not re.fullmatch("[0-9]{1,18}", row) or token != _token(int(row), question):
        raise Refusal("invalid page_token: send it back with the request that it came from")
    return int(row)


def virus_report(catalogue: Catalogue, record: GenomeRecord) -> dict[str, Any]:
    if record.report:
        return read_report(record.report)
    place = f"USA: {us_states()[record.usa_state]}" if record.usa_state else record.country
    location = {"geographic_location": place, "geographic_region": record.continent, "usa_state": record.usa_state}
    report: dict[str, Any] = {
        "accession": record.accession,
        "is_complete": bool(record.complete),
        "is_annotated": bool(record.annotated),
        "isolate": {},
        "source_database": "RefSeq",
        "protein_count": record.proteins,
        "gene_count": record.proteins,
        "host": _organism(catalogue, record.host_id),
        "virus": _organism(catalogue, record.tax_id) | {"pangolin_classification": record.pango_lineage},
        "location": location,
        "release_date": f"{record.released}T00:00:00Z",
        "update_date": f"{record.revised}T00:00:00Z",
        "nucleotide_completeness": "complete" if record.complete else "partial",
        "completeness": "COMPLETE" if record.complete else "PARTIAL",
        "length": record.length,
    }
    if not record.refseq:
        origin = f"{record.country} {record.usa_state}".strip()
        name = f"{origin}/{record.accession.partition('.')[0]}/{record.collected[:4]}"
        report["isolate"] = {"name": name, "collection_date": record.collected}
        report["source_database"] = "GenBank"
        # What nobody submitted says so, in the field where NCBI has the laboratory.
        affiliation = "made up by batchsum; no such sequence exists"
        report["submitter"] = {"names": ["Demo,B."], "affiliation": affiliation, "country": record.country}
    return without_defaults(report)


def without_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """As protobuf writes JSON: a field at its default is left out, in the objects within as well."""
    inner = {name: without_defaults(value) if isinstance(value, dict) else value for name, value in document.items()}
    return {name: value for name, value in inner.items() if value}


def _organism(catalogue: Catalogue, tax_id: int | None) -> dict[str, Any]:
    if tax_id is None or (taxon := catalogue.taxon(tax_id)) is None:
        return {"tax_id": tax_id}
    # NCBI's lineages begin below the root.
    lineage = [{"tax_id": each.tax_id, "name": each.name} for each in (*catalogue.lineage(taxon)[1:], taxon)]
    return {"tax_id": tax_id, "organism_name": taxon.name, "common_name": taxon.common_name, "lineage": lineage}


def taxonomy_page(catalogue: Catalogue, values: Values, _as_of: str) -> dict[str, Any]:
    """A `v2reportsTaxonomyDataReportPage` of the taxa asked for, in their order, then of the texts that are none."""
    taxa = values.get("taxons", ())
    start = _read_token(values.get("page_token", ""), taxa)
    reports, end = _taxonomy_reports(catalogue, values, _node), start + page_size(values)
    page = {"reports": reports[start:end], "total_count": len(reports)}
    return page | {"next_page_token": _token(end, taxa)} if end < len(reports) else page


def taxonomy_metadata(catalogue: Catalogue, values: Values, _as_of: str) -> dict[str, Any]:
    """The older form of the same, `v2TaxonomyMetadataResponse`."""
    return {"taxonomy_nodes": _taxonomy_reports(catalogue, values, _old_node)}


def _taxonomy_reports(
    catalogue: Catalogue, values: Values, node: Callable[[Catalogue, Taxon], dict[str, Any]]
) -> list[dict[str, Any]]:
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
        below = [child for taxon in matches for child in catalogue.children(taxon)] if values.get("children") else []
        for taxon in (*matches, *below):
            queries.setdefault(taxon, []).append(text)
        if not matches:
            error = {
                "taxonomy_error_code": "INVALID_TAXONOMY_TAXON",
                "reason": "Invalid taxon",
                "message": unknown_taxon(text, "taxonomy").message,
                "invalid_identifiers": [text],
            }
            unknown.append({"query": [text], "errors": [error]})
    wanted, is_short = values.get("ranks"), values.get("returned_content") == "TAXIDS"
    return [
        {"query": texts, "taxonomy": {"tax_id": taxon.tax_id} if is_short else node(catalogue, taxon)}
        for taxon, texts in queries.items()
        if not wanted or _rank(taxon, "NO_RANK") in wanted
    ] + unknown


def _rank(taxon: Taxon, none: str = "") -> str:
    return none if taxon.rank == "no rank" else taxon.rank.upper().replace(" ", "_")


def _node(catalogue: Catalogue, taxon: Taxon) -> dict[str, Any]:
    return without_defaults(
        {
            "tax_id": taxon.tax_id,
            "rank": _rank(taxon),
            "current_scientific_name": {"name": taxon.name},
            "curator_common_name": taxon.common_name,
            "group_name": "viruses" if catalogue.is_virus(taxon) else "",
            "parents": [each.tax_id for each in catalogue.lineage(taxon)],
            "children": [each.tax_id for each in catalogue.children(taxon)],
        }
    )


def _old_node(catalogue: Catalogue, taxon: Taxon) -> dict[str, Any]:
    return without_defaults(
        {
            "tax_id": taxon.tax_id,
            "organism_name": taxon.name,
            "common_name": taxon.common_name,
            "lineage": [each.tax_id for each in catalogue.lineage(taxon)],
            "children": [each.tax_id for each in catalogue.children(taxon)],
            "rank": _rank(taxon),
        }
    )


def suggest(catalogue: Catalogue, values: Values, _as_of: str) -> dict[str, Any]:
    """Taxa for a name or part of it. `higher_taxon` means any rank, `species` (the default) species and below."""
    text = (values.get("taxon_query") or values.get("organism_query") or "").strip()
    if not text:
        raise Refusal("taxon_query must not be empty")
    found = catalogue.matches(text)
    if not found and not values.get("exact_match") and not (text.isascii() and text.isdigit()):
        found = catalogue.suggestions(text, MOST_SUGGESTIONS)
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
