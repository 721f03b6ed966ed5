"""NCBI's own clients, unmodified, and what they send, against the embedded server."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from tests.fakes.local_ncbi_server import Served, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(as_of=date(2026, 11, 20)) as served:
        yield served


@pytest.fixture(scope="module")
def pyclient(server: Served) -> Iterator[Any]:
    openapi = pytest.importorskip("ncbi.datasets.openapi", reason="ncbi-datasets-pyclient is not installed")
    with openapi.ApiClient(openapi.Configuration(host=server.base_url)) as client:
        yield client
        # The generated client never closes its pool itself.
        client.rest_client.pool_manager.clear()


SINCE = datetime(2025, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize("taxon", ["2697049", "Influenza A virus", "12059", "11676", "10239"])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"refseq_only": True},
        {"annotated_only": True, "complete_only": True},
        {"host": "human", "geo_location": "USA", "usa_state": "CA"},
        {"released_since": SINCE},
        {"updated_since": SINCE, "geo_location": "Asia"},
        {"pangolin_classification": "LP.8.1"},
        {"host": "Felis catus"},
    ],
    ids=str,
)
def test_generated_python_client_finds_the_same_number(pyclient: Any, taxon: str, filters: dict[str, Any]) -> None:
    from ncbi.datasets.openapi.api.virus_api import VirusApi

    api = VirusApi(pyclient)
    summary = api.virus_genome_summary(taxon, **filters)
    reports = api.virus_reports_by_taxon(taxon, **{f"filter_{name}": value for name, value in filters.items()})
    assert reports.total_count == summary.record_count
    assert len(reports.reports or []) == min(20, summary.record_count)


def test_generated_python_client_takes_the_published_example(pyclient: Any) -> None:
    from ncbi.datasets.openapi.api.virus_api import VirusApi

    summary = VirusApi(pyclient).virus_genome_summary(
        "1335626",
        accessions=["NC_038294.1"],
        refseq_only=True,
        annotated_only=True,
        released_since=SINCE,
        updated_since=SINCE,
        host="9606",
        pangolin_classification="LP.8.1",
        geo_location="USA",
        usa_state="CA",
        complete_only=True,
        include_sequence=["GENOME", "CDS", "PROTEIN"],
        aux_report=["BIOSAMPLE_REPORT"],
    )
    assert summary.record_count == 0


def test_generated_python_client_reads_names_versions_and_errors(pyclient: Any) -> None:
    from ncbi.datasets.openapi.api.taxonomy_api import TaxonomyApi
    from ncbi.datasets.openapi.api.version_api import VersionApi
    from ncbi.datasets.openapi.api.virus_api import VirusApi
    from ncbi.datasets.openapi.exceptions import BadRequestException

    taxonomy = TaxonomyApi(pyclient)
    page = taxonomy.taxonomy_data_report(["2697049", "Influenza A virus", "no such name"])
    assert [report.taxonomy and report.taxonomy.tax_id for report in page.reports] == [2697049, 11320, None]
    assert 10239 in page.reports[0].taxonomy.parents
    assert "not recognized" in page.reports[2].errors[0].message
    suggestions = taxonomy.tax_name_query("Influenza A", tax_rank_filter="higher_taxon").sci_name_and_ids
    assert "11320" in [suggestion.tax_id for suggestion in suggestions]
    assert VersionApi(pyclient).version().version
    with pytest.raises(BadRequestException, match="is not a virus taxon"):
        VirusApi(pyclient).virus_genome_summary("9606")


def test_generated_python_client_turns_pages_by_post(pyclient: Any) -> None:
    from ncbi.datasets.openapi.api.virus_api import VirusApi
    from ncbi.datasets.openapi.models import V2VirusDataReportRequest, V2VirusDatasetFilter

    api = VirusApi(pyclient)
    request = V2VirusDataReportRequest(filter=V2VirusDatasetFilter(taxons=["11520"], host="9606"), page_size=1000)
    seen: set[str] = set()
    while True:
        page = api.virus_reports_by_post(request)
        seen |= {report.accession for report in page.reports}
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(seen) == page.total_count == api.virus_genome_summary("11520", host="9606").record_count > 1000


ABSENT = {"annotated_only": False, "complete_only": False, "refseq_only": False, "geo_location": "", "usa_state": "",
          "pangolin_classification": "", "host": "", "released_since": "0001-01-01T00:00:00Z",
          "updated_since": "0001-01-01T00:00:00Z", "accessions": None}  # fmt: skip


def suggest(server: Served, text: str, *, exact: bool) -> list[dict[str, Any]]:
    """As NCBI's program asks whether a name is a taxon."""
    body = {
        "exact_match": exact,
        "tax_rank_filter": "higher_taxon",
        "taxon_query": text,
        "taxon_resource_filter": "TAXON_RESOURCE_FILTER_ALL",
    }
    reply = server.ask("/taxonomy/taxon_suggest", body=body, headers={"X-Datasets-Client": "datasets-cli"})
    assert reply.status == 200
    # An empty string here would be taken for a message to the user, and end the program with exit code 1.
    assert "X-Datasets-User-Message" not in reply.headers
    found: list[dict[str, Any]] = reply.json.get("sci_name_and_ids", [])
    # The program reads these three without asking whether they are there.
    assert all({"sci_name", "tax_id", "matched_term"} <= set(each) for each in found)
    return found


@pytest.mark.parametrize(
    ("text", "tax_id", "host"), [("sars-cov-2", 2697049, "dog"), ("11320", 11320, "Gallus gallus")]
)
def test_calls_of_the_datasets_program(server: Served, text: str, tax_id: int, host: str) -> None:
    (taxon,) = suggest(server, text, exact=True)
    assert taxon["tax_id"] == str(tax_id)
    (report,) = server.ask("/taxonomy/dataset_report", body={"taxons": [text], "returned_content": "METADATA"}).json[
        "reports"
    ]
    assert report["taxonomy"]["tax_id"] == tax_id
    assert 10239 in report["taxonomy"]["parents"]
    (organism,) = suggest(server, host, exact=True)
    filters = {**ABSENT, "taxons": [text], "host": organism["tax_id"]}
    first = server.ask("/virus", body={"filter": filters, "page_size": 1}).json
    assert len(first["reports"]) == 1
    seen, request = 0, {"filter": filters, "page_size": 1000}
    while True:
        page = server.ask("/virus", body=request).json
        seen += len(page["reports"])
        if not page.get("next_page_token"):
            break
        request["page_token"] = page["next_page_token"]
    assert seen == first["total_count"] == server.count(text, host=host)


def test_names_the_datasets_program_asks_back_for(server: Served) -> None:
    assert len(suggest(server, "mus", exact=True)) == 2
    assert suggest(server, "Influenza A vir", exact=True) == []
    assert "11320" in [each["tax_id"] for each in suggest(server, "Influenza A vir", exact=False)]
    assert suggest(server, "99999999", exact=True) == []


def test_a_thousand_names_at_once(server: Served) -> None:
    reply = server.ask("/virus", body={"filter": {"taxon": "10239", "refseq_only": True}, "page_size": 1000})
    ids = list({str(report["virus"]["tax_id"]) for report in reply.json["reports"]})
    names = [*ids[:900], *(f"no such name {number}" for number in range(100))]
    request = {"taxons": names, "returned_content": "METADATA", "page_size": 1000}
    reports = server.ask("/taxonomy/dataset_report", body=request).json["reports"]
    assert sorted(report["query"][0] for report in reports) == sorted(names)
    assert sum("errors" in report for report in reports) == 100
    assert server.ask("/taxonomy/dataset_report", body={"taxons": ["1"] * 1001}).status == 400


def test_report_lines_for_who_asks_for_them(server: Served) -> None:
    reply = server.ask(
        "/virus/taxon/11320/dataset_report", {"page_size": "3"}, headers={"Accept": "application/x-ndjson"}
    )
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert len([json.loads(line) for line in reply.body.splitlines()]) == 3
    with serving(faults=["delay=1ms"]) as late:
        lines = late.ask("/virus/taxon/11320/dataset_report", headers={"Accept": "application/x-ndjson"}).body
    assert len([json.loads(line) for line in lines.splitlines()]) == 20


@pytest.mark.skipif(shutil.which("datasets") is None, reason="NCBI's datasets program is not on PATH")
@pytest.mark.parametrize("flags", [[], ["--host", "human", "--complete-only"], ["--refseq"]], ids=str)
def test_datasets_program_finds_the_same_number(server: Served, flags: list[str]) -> None:
    command = ["datasets", "summary", "virus", "genome", "taxon", "11320", "--limit", "0", *flags]
    environment = {**os.environ, "NCBI_GATEWAY_URL": server.base_url}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    filters = {"host": "human", "complete_only": "true"} if "--host" in flags else {}
    filters |= {"refseq_only": "true"} if "--refseq" in flags else {}
    assert json.loads(run.stdout)["total_count"] == server.count(11320, **filters)
