"""A catalogue of somebody's own records."""

import gzip
import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.local_ncbi_server import serving

CAMEL = {
    "accession": "LAB_0001.1",
    "completeness": "COMPLETE",
    "host": {"lineage": [{"name": "Homo sapiens", "taxId": 9606}], "organismName": "Homo sapiens", "taxId": 9606},
    "isAnnotated": True,
    "isolate": {"collectionDate": "2025-03-02", "name": "ours"},
    "length": 29800,
    "location": {"geographicLocation": "USA: Boston, MA", "geographicRegion": "North America", "usaState": "MA"},
    "releaseDate": "2025-04-01T00:00:00Z",
    "sourceDatabase": "GenBank",
    "updateDate": "2025-05-01T00:00:00Z",
    "virus": {"organismName": "SARS-CoV-2", "pangolinClassification": "LP.8.1", "taxId": 2697049},
}
SNAKE = {
    "accession": "LAB_0002.1",
    "host": {"tax_id": 9031},
    "length": 1700,
    "location": {"geographic_location": "Viet Nam"},
    "release_date": "2025-06-01",
    "source_database": "RefSeq",
    "virus": {
        "tax_id": 990000001,
        "organism_name": "A new influenza",
        "lineage": [{"tax_id": 10239, "name": "Viruses"}, {"tax_id": 11320, "name": "Influenza A virus"},
                    {"tax_id": 990000000, "name": "new group"}],
    },
}  # fmt: skip


def write(path: Path, records: list[Any], how: str) -> Path:
    text = "".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records).encode()
    if how == "gzip":
        path.write_bytes(gzip.compress(text))
    elif how == "zip":
        with zipfile.ZipFile(path, "w") as package:
            package.writestr("README.md", "x")
            package.writestr("ncbi_dataset/data/data_report.jsonl", text)
    else:
        path.write_bytes(text)
    return path


@pytest.mark.parametrize("how", ["plain", "gzip", "zip"])
def test_own_records_are_served_and_no_others(tmp_path: Path, how: str) -> None:
    path = write(tmp_path / "holdings", [CAMEL, SNAKE], how)
    with serving(catalogue=[path], as_of=date(2026, 1, 1)) as served:
        assert served.count(10239) == 2
        assert (
            served.count(2697049, host="human", usa_state="MA", geo_location="USA", pangolin_classification="LP.8.1")
            == 1
        )
        assert served.count(2697049, annotated_only="true", complete_only="true", released_since="2025-04-01") == 1
        assert served.count(2697049, released_since="2025-04-02") == 0
        assert served.count(2697049, updated_since="2025-04-02") == 1
        assert served.count(11320) == served.count("A new influenza") == served.count("new group") == 1
        assert served.count(11320, host="birds", geo_location="Asia", refseq_only="true") == 1
        reports = served.ask("/virus", body={"filter": {"taxon": "10239"}}).json["reports"]
    assert {report["accession"] for report in reports} == {"LAB_0001.1", "LAB_0002.1"}
    first = next(report for report in reports if report["accession"] == "LAB_0001.1")
    assert first["isolate"] == {"collection_date": "2025-03-02", "name": "ours"}


def virus(accession: str, tax_id: int, *above: int) -> dict[str, Any]:
    lineage = [{"name": f"taxon {each}", "taxId": each} for each in above]
    return {"accession": accession, "virus": {"taxId": tax_id, "organismName": f"taxon {tax_id}", "lineage": lineage}}


def test_the_records_lineages_win_over_the_packages_tree(tmp_path: Path) -> None:
    """10244 moved below a new species 3431483; the package still has it directly below its genus, 10242."""
    moved = virus("X.1", 10244, 10239, 10240, 3431483)
    unmoved = virus("X.2", 10244)
    path = write(tmp_path / "data_report.jsonl", [moved, unmoved, virus("X.3", 10245)], "plain")
    with serving(catalogue=[path]) as served:
        assert served.count(3431483) == served.count("taxon 3431483") == 2
        assert served.count(10244) == 2
        assert served.count(10242) == 1, "what does not say its lineage stands where the tree has it"
        assert served.count(10240) == served.count(10239) == 3
        reply = served.ask("/taxonomy/taxon/10244/dataset_report").json
    assert reply["reports"][0]["taxonomy"]["parents"] == [1, 10239, 10240, 3431483]


def test_a_host_counts_below_its_own_lineage(tmp_path: Path) -> None:
    """A lineage from the top down moves 9606 away from the mammals, and the record that says none follows."""
    moved = {"taxId": 9606, "lineage": [{"taxId": 131567, "name": "cellular organisms"}, {"taxId": 990000003}]}
    records = [{**virus("X.1", 11320), "host": {"taxId": 9606}}, {**virus("X.2", 11320), "host": moved}]
    path = write(tmp_path / "data_report.jsonl", records, "plain")
    with serving(catalogue=[path]) as served:
        counts = [served.count(11320, host=host) for host in ("human", "990000003", "131567", "1", "mammals")]
    assert counts == [2, 2, 2, 2, 0]


def test_of_lineages_that_contradict_each_other_the_later_one_holds(tmp_path: Path) -> None:
    records = [virus("X.1", 11320, 10239, 990000001), virus("X.2", 11320, 10239, 990000002, 990000001),
               virus("X.3", 990000001, 10239, 11320), virus("X.4", 990000002, 11320, 990000001)]  # fmt: skip
    path = write(tmp_path / "data_report.jsonl", records, "plain")
    with serving(catalogue=[path]) as served:
        counts = [served.count(taxon) for taxon in (10239, 11320, 990000001, 990000002)]
        parents = [
            report["taxonomy"]["parents"]
            for report in served.ask("/taxonomy/taxon/11320,990000001,990000002/dataset_report").json["reports"]
        ]
    assert counts == [4, 3, 1, 1]
    assert all(above[:2] == [1, 10239] for above in parents)


def test_a_lineage_that_is_none_is_left_out(tmp_path: Path) -> None:
    lineages = [7, "x", {}, [7, None, {}], [{"taxId": "1"}, {"taxId": [1]}], [{"taxId": 1}]]
    records = [
        {"accession": f"X{number}.1", "virus": {"taxId": 11320, "lineage": lineage}}
        for number, lineage in enumerate(lineages)
    ]
    path = write(tmp_path / "data_report.jsonl", records, "plain")
    with serving(catalogue=[path]) as served:
        assert served.count(197911) == served.count(10239) == len(records)


def test_several_files_and_the_last_word_on_an_accession(tmp_path: Path) -> None:
    newer = {**CAMEL, "virus": {"taxId": 11520}}
    paths = [write(tmp_path / "a", [CAMEL, SNAKE], "plain"), write(tmp_path / "b", [newer], "gzip")]
    with serving(catalogue=paths) as served:
        assert (served.count(2697049), served.count(11520), served.count(10239)) == (0, 1, 2)


def test_bad_lines_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = ["{", "[]", "null", '{"virus": {"taxId": 11320}}', '{"accession": "X.1"}',
           '{"accession": "X.1", "virus": {"taxId": "11320"}}', '{"accession": "X.1", "virus": 7}', "[" * 100_000,
           '{"accession": "\\ud800", "virus": {"taxId": 11320}}']  # fmt: skip
    path = write(tmp_path / "holdings.jsonl", [*bad, "", CAMEL], "plain")
    with serving(catalogue=[path]) as served:
        assert served.count(10239) == 1
    said = [record.getMessage() for record in caplog.records]
    assert f"{path}:1: not JSON" in said
    assert f"{path}:5: X.1: no virus.tax_id" in said
    assert f"{len(bad)} lines of the catalogue could not be used; 1 records are served" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"PK\x03\x04rubbish", "catalogue"), (b"\x1f\x8brubbish", "catalogue")],
)
def test_files_that_are_none(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "holdings"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=words), serving(catalogue=[path]):
        pass


@pytest.mark.parametrize("how", ["gzip", "deflated"])
def test_a_damaged_file_is_said_to_be_none(tmp_path: Path, how: str) -> None:
    path = write(tmp_path / "holdings", [{**CAMEL, "accession": f"A{number**5}.1"} for number in range(500)], "gzip")
    if how == "deflated":
        text = gzip.decompress(path.read_bytes())
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            package.writestr("data_report.jsonl", text)
    content = bytearray(path.read_bytes())
    content[300:400] = [255 - byte for byte in content[300:400]]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"catalogue {path}: "), serving(catalogue=[path]):
        pass


def test_a_package_without_a_report(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("README.md", "x")
    with pytest.raises(ValueError, match=r"0 files data_report\.jsonl"), serving(catalogue=[path]):
        pass
