"""Records one by one, as `v2reportsVirusAssembly`, in pages.

The pages of a question and its summary are cut from the same selection, so that `total_count` is the
summary's `record_count`. As protobuf's JSON does it, a field at its default is left out; the total is not.
"""

import re
from hashlib import sha256
from typing import Any

from batchsum.local_ncbi.catalogue import Catalogue
from batchsum.local_ncbi.data_report import read_report
from batchsum.local_ncbi.question import Parameter, Values, bad_page_token, parameters, read_document
from batchsum.local_ncbi.records import GenomeRecord, us_states
from batchsum.local_ncbi.selection import Selection

MOST_ON_A_PAGE, USUAL_ON_A_PAGE = 1000, 20

# By GET the filters are fields of `filter`; accessions and taxa are not among them.
REPORTS_QUERY = {
    **{f"filter.{name}": parameter for name, parameter in parameters("filters").items()},
    **parameters("paging"),
}
_FILTER = parameters("taxa", "accessions", "filters")
REPORTS_BODY = {
    "filter": Parameter(lambda name, value: read_document(value, _FILTER)),
    **parameters("paging", "paging_by_post"),
}


def report_page(catalogue: Catalogue, values: Values, as_of: str) -> dict[str, Any]:
    """One page of records as of a day; `values` are the parameters as read."""
    filters = values.get("filter") or {
        short: value for name, value in values.items() if (short := name.removeprefix("filter.")) in _FILTER
    }
    # One record more than wanted tells whether there is a next page.
    size = page_size(values)
    after = _read_token(values.get("page_token", ""), filters)
    selection = Selection(catalogue, filters, as_of)
    found = selection.page(size + 1, after)
    is_short = values.get("returned_content") == "ACCESSIONS_ONLY"
    reports = [
        {"accession": record.accession} if is_short else virus_report(catalogue, record) for _, record in found[:size]
    ]
    page = without_defaults({"reports": reports}) | {"total_count": selection.totals().count}
    if len(found) > size:
        page["next_page_token"] = _token(found[size - 1][0], filters)
    return page


def page_size(values: Values) -> int:
    return min(values.get("page_size") or USUAL_ON_A_PAGE, MOST_ON_A_PAGE)


def _token(row: int, filters: Values) -> str:
    """For the page behind the record of this row. A token belongs to its question."""
    return f"{row}-{sha256(repr(sorted(filters.items())).encode()).hexdigest()[:16]}"


def _read_token(token: str, filters: Values) -> int:
    """The row of the last record seen; 0 where there is none."""
    if not token:
        return 0
    row = token.partition("-")[0]
    if not re.fullmatch("[0-9]{1,18}", row) or token != _token(int(row), filters):
        raise bad_page_token()
    return int(row)


def virus_report(catalogue: Catalogue, record: GenomeRecord) -> dict[str, Any]:
    if record.report:
        return read_report(record.report)
    lineage = {"pangolin_classification": record.pango_lineage} if record.pango_lineage else {}
    report: dict[str, Any] = {
        "accession": record.accession,
        "is_complete": bool(record.complete),
        "is_annotated": bool(record.annotated),
        "isolate": {},
        "source_database": "RefSeq",
        "protein_count": record.proteins,
        "gene_count": record.proteins,
        "host": _organism(catalogue, record.host_id),
        "virus": {**_organism(catalogue, record.tax_id), **lineage},
        "location": _location(record),
        "release_date": f"{record.released}T00:00:00Z",
        "update_date": f"{record.revised}T00:00:00Z",
        "nucleotide_completeness": "complete" if record.complete else "partial",
        "completeness": "COMPLETE" if record.complete else "PARTIAL",
        "length": record.length,
    }
    if not record.refseq:
        place = f"{record.country} {record.usa_state}".strip()
        name = f"{place}/{record.accession.partition('.')[0]}/{record.collected[:4]}"
        report["isolate"] = {"name": name, "collection_date": record.collected}
        report["source_database"] = "GenBank"
        # What nobody submitted says so, in the field where NCBI has the laboratory.
        affiliation = "made up by batchsum; no such sequence exists"
        report["submitter"] = {"names": ["Demo,B."], "affiliation": affiliation, "country": record.country}
    return without_defaults(report)


def without_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """As protobuf writes JSON: a field at its default is left out."""
    return {name: value for name, value in document.items() if value}


def _location(record: GenomeRecord) -> dict[str, str]:
    place = f"USA: {us_states()[record.usa_state]}" if record.usa_state else record.country
    location = {"geographic_location": place, "geographic_region": record.continent, "usa_state": record.usa_state}
    return without_defaults(location)


def _organism(catalogue: Catalogue, tax_id: int | None) -> dict[str, Any]:
    if tax_id is None or (taxon := catalogue.taxon(tax_id)) is None:
        return without_defaults({"tax_id": tax_id})
    # NCBI's lineages begin below the root.
    lineage = [{"tax_id": each.tax_id, "name": each.name} for each in (*catalogue.lineage(taxon)[1:], taxon)]
    organism = {"tax_id": tax_id, "organism_name": taxon.name, "common_name": taxon.common_name, "lineage": lineage}
    return without_defaults(organism)
