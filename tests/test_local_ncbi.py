"""The embedded server as a client meets it: counts, parameters, paths, refusals, headers."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from itertools import pairwise
from urllib.parse import quote

import pytest

from batchsum.local_ncbi.ratelimit import RateLimit, parse_rate
from tests.local_ncbi_server import Served, serving

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


PUBLISHED = {
    "accessions": ["NC_038294.1"],
    "refseq_only": "true",
    "annotated_only": "true",
    "released_since": "2025-01-15",
    "updated_since": "2025-01-15",
    "host": "human",
    "pangolin_classification": "LP.8.1",
    "geo_location": "USA",
    "usa_state": "CA",
    "complete_only": "true",
    "include_sequence": ["GENOME", "CDS", "PROTEIN"],
    "aux_report": ["BIOSAMPLE_REPORT"],
}


def test_published_example_is_answered(server: Served) -> None:
    assert server.summary(1335626, **PUBLISHED) == {"record_count": 0}


@pytest.mark.parametrize(
    "form",
    ["2025-01-15", "2025-01-15T00:00:00Z", "2025-01-15T00:00:00.000Z", "2025-01-15T00:00:00.000000+0000",
     "2025-01-15T02:00:00+02:00", "2025-01-14T23:59:59.5Z"],
)  # fmt: skip
def test_every_form_of_a_date_means_the_same_day(server: Served, form: str) -> None:
    count = server.count(2697049, released_since=form)
    assert count == server.count(2697049, released_since="2025-01-15") > 0
    assert count < server.count(2697049, released_since="2025-01-14")


@pytest.mark.parametrize("name", ["released_since", "updated_since"])
@pytest.mark.parametrize(
    "value",
    ["yesterday", "2025-02-30", "15/01/2025", "2025-01-15T00:00:00", "2025-1-5", "20250115", "2025-01-15 00:00:00Z",
     "2025-01-15T00:00:00 0000", "2025-01-15T25:00:00Z", "9999-12-31T23:59:59Z", "\u0662\u0660\u0662\u0665-01-15"],
)  # fmt: skip
def test_other_dates_are_refused(server: Served, name: str, value: str) -> None:
    reply = server.ask("/virus/taxon/11320/genome", {name: value})
    assert reply.status == 400
    assert name in reply.json["message"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"hosts": "human"}, "hosts"),
        ({"accessions[]": "NC_045512.2"}, "accessions[]"),
        ({"filter.host": "human"}, "filter.host"),
        ({"released_before": "2025-01-15"}, "released_before"),
        ({"refseq_only": "yes"}, "refseq_only"),
        ({"annotated_only": "True"}, "annotated_only"),
        ({"complete_only": "1"}, "complete_only"),
        ({"include_sequence": "['GENOME', 'CDS', 'PROTEIN']"}, "include_sequence"),
        ({"include_sequence": "genome"}, "include_sequence"),
        ({"aux_report": "BIOSAMPLE"}, "aux_report"),
        ({"host": ["human", "dog"]}, "host"),
        ({"host": "unicorn"}, "unicorn"),
    ],
)
def test_what_is_not_understood_is_refused(server: Served, query: dict[str, str], named: str) -> None:
    reply = server.ask("/virus/taxon/11320/genome", query)
    assert (reply.status, reply.json["code"]) == (400, 3)
    assert named in reply.json["message"]


def test_empty_values_are_no_filters(server: Served) -> None:
    absent = dict.fromkeys(PUBLISHED, "") | {
        "released_since": "0001-01-01T00:00:00Z",
        "updated_since": "0001-01-01T00:00:00Z",
        "refseq_only": "false",
    }
    assert server.count(11320, **absent) == server.count(11320)


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


@pytest.mark.parametrize(
    "body",
    [{}, {"taxon": 11320}, {"taxon": "11320", "host": ["human"]}, {"taxon": "11320", "refseq_only": "yes"},
     {"taxon": "11320", "accessions": "NC_045512.2"}, {"taxon": "11320", "hosts": "human"}, [], "11320", None,
     {"taxon": "11320", "include_sequence": ["genome"]}, {"taxon": "\ud800"}],
)  # fmt: skip
def test_bodies_that_are_refused(server: Served, body: object) -> None:
    reply = server.ask("/virus/genome", body=json.dumps(body).encode(), method="POST")
    assert (reply.status, reply.json["code"]) == (400, 3)


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


def test_every_answer_names_its_call(server: Served) -> None:
    reply = server.ask("/version", headers={"NCBI-PHID": "ABC123.7"})
    assert reply.headers["NCBI-PHID"].startswith("ABC123.7.")
    assert re.fullmatch(r"[0-9A-F]{32}\.1\.1\.m_1", server.ask("/nope").headers["NCBI-PHID"])
    assert "X-Datasets-Version" in reply.headers
    assert "X-RateLimit-Limit" not in reply.headers


def test_limit_is_ncbis_without_and_with_a_key() -> None:
    with serving(requests_per_second="ncbi") as served:
        bare = [served.ask("/version") for _ in range(7)]
        keyed = [served.ask("/version", headers={"api-key": "secret"}) for _ in range(11)]
        in_query = served.ask("/version", {"api_key": "other"})
    assert [reply.headers["X-RateLimit-Limit"] for reply in bare] == ["5"] * 7
    assert bare[0].headers["X-RateLimit-Remaining"] == "4"
    refused = [reply for reply in bare if reply.status == 429]
    assert refused, "seven requests at once fit into no second of five"
    assert refused[0].json["error"] == "API rate limit exceeded"
    assert refused[0].headers["X-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in refused[0].headers
    assert keyed[0].headers["X-RateLimit-Limit"] == in_query.headers["X-RateLimit-Limit"] == "10"
    assert [reply.status for reply in keyed[:10]] == [200] * 10


@pytest.mark.parametrize(("text", "rate"), [("3", 3), ("0.5", 0.5), ("unlimited", None)])
def test_rates(text: str, rate: float | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "fast", "Unlimited"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(ValueError, match="write a number above zero, or unlimited"):
        parse_rate(text)


def test_window_slides() -> None:
    """In no second, wherever it begins, more are granted than the limit; refused ones do not count."""
    limit = RateLimit("ncbi")
    granted = []
    for step in range(4000):
        now = step / 1000
        allowance = limit.ask("somebody", has_key=False, now=now)
        assert allowance is not None
        if allowance.granted:
            granted.append(now)
    assert len(granted) == 20
    assert all(late - early >= 1 for early, late in pairwise(granted[::5]))


def test_limit_below_one_a_second() -> None:
    limit = RateLimit(0.5)
    seen = [limit.ask("somebody", has_key=False, now=now) for now in (0.0, 1.9, 2.0)]
    assert [allowance and allowance.granted for allowance in seen] == [True, False, True]


def test_zero_can_be_left_out() -> None:
    with serving(zero="omit") as served:
        assert served.summary(11320, pangolin_classification="XBB.1.5") == {}
        assert served.ask("/virus/taxon/11320/dataset_report", {"filter.usa_state": "ZZ"}).json == {}


def test_access_log_tells_the_question_and_no_key() -> None:
    lines: list[str] = []
    with serving(access_log=lines.append) as served:
        served.ask("/virus/taxon/11320/genome", {"api_key": "s3cret"}, headers={"api-key": "s3cret"})
    assert len(lines) == 1
    assert "/virus/taxon/11320/genome" in lines[0]
    assert " 200 " in lines[0]
    assert "s3cret" not in lines[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"as_of": date(1999, 12, 31)}, "as-of 1999-12-31"),
        ({"requests_per_second": 0}, "above zero"),
        ({"latency": "soon"}, "write 200ms"),
        ({"faults": ["taxon=11320"]}, "nothing happens"),
    ],
)
def test_bad_options_are_told(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words), serving(**options):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground_prints_its_address_and_stops_cleanly(number: signal.Signals) -> None:
    program = "import asyncio; from batchsum.local_ncbi.server import serve; asyncio.run(serve(port=0))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert process.stdout is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/datasets/v2", base_url)
        assert Served(base_url).count(2697049) > 0
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, rest, errors) == (0, "", "")


def test_sample_list_is_known(server: Served) -> None:
    """Every taxon of a real nightly list is answered, and most of them have records."""
    counts = Counter(
        server.count(int(row["tax_id"])) > 0
        for row in csv.DictReader((DATA / "demo_taxa.tsv").read_text().splitlines(), delimiter="\t")
    )
    assert counts[True] > 35
