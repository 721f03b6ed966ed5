"""The embedded server as a client meets it: what is counted, and what is refused."""

import csv
import gzip
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from urllib.parse import quote

import pytest

from tests.fakes.local_ncbi_server import Served, serving

DATA = files("batchsum.local_ncbi") / "data"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(as_of=date(2026, 11, 20)) as served:
        yield served


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(gzip.decompress((DATA / name).read_bytes()).decode().splitlines(), delimiter="\t"))


def genomes_below(wanted: str) -> int:
    """Counted anew, by walking up from every genome."""
    parent = {row["tax_id"]: row["parent_tax_id"] for row in table("virus_taxonomy.tsv.gz")}
    count = 0
    for row in table("virus_refseq.tsv.gz"):
        tax_id = row["tax_id"]
        while tax_id and tax_id != wanted:
            tax_id = parent[tax_id]
        count += bool(tax_id)
    return count


@pytest.mark.parametrize("tax_id", ["10239", "11320", "2955291", "197911", "12059", "11118", "2697049", "42789"])
def test_refseq_count_is_the_number_of_genomes_of_the_subtree(server: Served, tax_id: str) -> None:
    assert server.count(tax_id, refseq_only="true") == genomes_below(tax_id)


def test_whole_tree_holds_every_genome_once(server: Served) -> None:
    assert server.count(10239, refseq_only="true") == len(table("virus_refseq.tsv.gz"))


@pytest.mark.parametrize(
    "name",
    [
        "Influenza A virus",
        "influenza a VIRUS",
        " Influenza A virus ",
    ],
)
def test_names_are_the_id_in_any_case(server: Served, name: str) -> None:
    assert server.count(name) == server.count(11320) > 1000


@pytest.mark.parametrize(("name", "tax_id"), [("SARS-CoV-2", 2697049), ("viruses", 10239), ("MERS", 1335626)])
def test_common_names(server: Served, name: str, tax_id: int) -> None:
    assert server.count(name) == server.count(tax_id) > 0


def test_slashes_of_a_name_are_one_piece_of_the_path(server: Served) -> None:
    name = "Influenza A virus (A/Puerto Rico/8/1934(H1N1))"
    assert server.count(name) == server.count(211044) == 8
    assert server.ask(f"/virus/taxon/{quote(name)}/genome").status == 404


@pytest.mark.parametrize(
    "taxon", ["..", "../../version", "x/genome?host=human", "a#b", "50%", "a q b", "ñandú", "..%2f", "%00", "\x00", "."]
)
def test_nothing_in_a_taxon_reaches_another_route(server: Served, taxon: str) -> None:
    reply = server.ask(f"/virus/taxon/{quote(taxon, safe='')}/genome")
    assert reply.status == 400
    assert reply.json["message"] == f"The taxonomy name '{taxon.strip()}' is not a recognized virus taxon."


@pytest.mark.parametrize("piece", ["%zz", "%f", "%ff", "%c3%28", "%ed%a0%80"])
def test_percent_encoding_that_is_no_text_is_refused(server: Served, piece: str) -> None:
    assert server.ask(f"/virus/taxon/{piece}/genome").status == 400


@pytest.mark.parametrize(
    "path", ["/", "", "/nope", "/virus/taxon//genome", "/virus/taxon/1/genome/", "/virus//taxon/1/genome", "/Version"]
)
def test_unknown_paths(server: Served, path: str) -> None:
    reply = server.ask(path)
    assert (reply.status, reply.json["code"]) == (404, 5)


@pytest.mark.parametrize(
    ("taxon", "words"),
    [
        ("9606", "The taxonomy ID '9606' is valid for 'Homo sapiens', but it is not a virus taxon"),
        ("house mouse", "The taxonomy name 'house mouse' (taxid: '10090') is valid, but it is not a virus taxon"),
        ("99999999", "The taxonomy ID '99999999' does not match any existing taxids for 'virus'"),
        ("011320", "The taxonomy ID '011320' does not match any existing taxids"),
        ("9" * 5000, "does not match any existing taxids"),
        ("environmental samples", "is an exact match for more than one taxid. Please select one of these taxids:\n"),
        ("no such virus", "The taxonomy name 'no such virus' is not a recognized virus taxon."),
        ("Influenza A vir", "is not exact. Try using one of the suggested taxids:\nInfluenza A virus (no_rank"),
    ],
)  # fmt: skip
def test_taxa_that_cannot_be_counted(server: Served, taxon: str, words: str) -> None:
    reply = server.ask(f"/virus/taxon/{quote(taxon, safe='')}/genome")
    assert (reply.status, reply.json["code"]) == (400, 3)
    assert words in reply.json["message"]


@pytest.mark.parametrize("host", ["human", "Homo sapiens", "9606", "HUMAN"])
def test_hosts_by_id_scientific_and_common_name(server: Served, host: str) -> None:
    assert server.count(11320, host=host) == server.count(11320, host="9606") > 0


@pytest.mark.parametrize(
    ("above", "below"),
    [("birds", "chicken"), ("mammals", "human"), ("Carnivora", "domestic cat"), ("vertebrates", "birds"),
     ("Camelidae", "Arabian camel"), ("7157", "Aedes aegypti")],
)  # fmt: skip
def test_a_host_includes_what_is_below_it(server: Served, above: str, below: str) -> None:
    assert server.count(10239, host=above) > server.count(10239, host=below) > 0


def test_lineage_is_that_lineage_alone(server: Served) -> None:
    assert server.count(2697049, pangolin_classification="BA.2") > 0
    assert server.count(2697049, pangolin_classification="BA") == 0
    assert server.count(11320, pangolin_classification="BA.2") == 0


def test_accessions_with_and_without_version(server: Served) -> None:
    assert server.count(2697049, accessions="NC_045512.2") == 1
    assert server.count(2697049, accessions=["NC_045512", "NC_045512.2", "NC_038294.1"]) == 1
    assert server.count(11320, accessions="NC_045512.2") == 0


def test_package_parts_change_sizes_and_files(server: Served) -> None:
    plain = server.summary(11320)
    assert set(plain["available_files"]) == {"all_genomic_fasta"}
    full = server.summary(11320, include_sequence=["GENOME", "CDS", "PROTEIN"], aux_report=["ANNOTATION"])
    assert set(full["available_files"]) == {"all_genomic_fasta", "cds_fasta", "prot_fasta", "annotation_report"}
    assert full["hydrated"]["estimated_file_size_mb"] > plain["hydrated"]["estimated_file_size_mb"]
    with_samples = server.summary(11320, aux_report="BIOSAMPLE_REPORT")
    assert with_samples["hydrated"]["estimated_file_size_mb"] > plain["hydrated"]["estimated_file_size_mb"]
    assert server.summary(11320, include_sequence="NONE")["available_files"] == {}
    assert "dehydrated" not in plain
    assert plain["record_count"] == full["record_count"] == full["assembly_count"]


def test_the_whole_resource_has_one_date(server: Served) -> None:
    answers = [server.summary(10239), server.summary(2697049, host="human"), server.summary(11320, refseq_only="true")]
    assert {answer["resource_updated_on"] for answer in answers} == {"2026-11-20T14:33:00Z"}


def test_command_line_repeats_the_question(server: Served) -> None:
    hydrated = server.summary("Influenza A virus", host="human", complete_only="true")["hydrated"]
    assert hydrated["cli_download_command_line"] == (
        "datasets download virus genome taxon 'Influenza A virus' --complete-only --host human"
    )
    assert hydrated["url"].endswith("/virus/taxon/Influenza%20A%20virus/genome/download?complete_only=true&host=human")


def test_post_is_the_same_question(server: Served) -> None:
    same = {"host": "human", "complete_only": True, "released_since": "2024-01-01T00:00:00Z"}
    reply = server.ask("/virus/genome", body={"taxon": "11320", **same, "usa_state": None})
    asked = {name: str(value).lower() if value is True else value for name, value in same.items()}
    assert reply.json["record_count"] == server.count(11320, **asked) > 0
    several = server.ask("/virus/genome", body={"taxons": ["11320", "2697049", "SARS-CoV-2"]})
    assert several.json["record_count"] == server.count(11320) + server.count(2697049)
    alone = server.ask("/virus/genome", body={"accessions": ["NC_045512.2"]})
    assert alone.json["record_count"] == 1


def test_thousands_of_accessions_by_post(server: Served) -> None:
    accessions = [row["accession"] for row in table("virus_refseq.tsv.gz")[:5000]]
    reply = server.ask("/virus/genome", body={"accessions": accessions, "taxon": "10239"})
    assert reply.json["record_count"] == 5000


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/version"), ("POST", "/version"), ("GET", "/virus/genome")])
def test_other_methods_are_refused(server: Served, method: str, path: str) -> None:
    reply = server.ask(path, method=method)
    assert (reply.status, reply.json["code"]) == (405, 12)


def test_head_is_get_without_a_body(server: Served) -> None:
    get, head = (server.ask("/virus/taxon/11320/genome", method=method) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_version(server: Served) -> None:
    document = server.ask("/version").json
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["version"])


def test_error_is_json_for_who_accepts_json_and_else_text(server: Served) -> None:
    path = "/virus/taxon/9606/genome"
    assert server.ask(path).headers["Content-Type"] == "application/json"
    plain = server.ask(path, headers={"Accept": "*/*"})
    assert plain.headers["Content-Type"].startswith("text/plain")
    assert plain.json["code"] == 3


def test_sample_list_is_known(server: Served) -> None:
    """Every taxon of a real nightly list is answered, and most of them have records."""
    counts = Counter(
        server.count(int(row["tax_id"])) > 0
        for row in csv.DictReader((DATA / "demo_taxa.tsv").read_text().splitlines(), delimiter="\t")
    )
    assert counts[True] > 35
