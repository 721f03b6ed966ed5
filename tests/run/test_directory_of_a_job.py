"""The output directory: one job's alone, its memory and who may write it."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from batchsum.cli import main
from batchsum.model.job import FORMATS
from batchsum.output.published import published_rows
from tests.builders.november import Nights


def everything(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# One job a directory


def test_a_directory_belongs_to_one_job(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    nights.night(1, count=100)
    before = everything(nights.out)
    other = nights.job.with_name("other.yaml")
    other.write_text(f"version: 1\ntaxa: [11520]\noutput: {{dir: {nights.out}}}\n")
    nights.ncbi.asked.clear()
    assert main(["run", str(other), "--base-url", nights.ncbi.base_url]) == 2
    assert "write name: watch in " in capsys.readouterr().err
    assert main(["check", str(other), "--base-url", nights.ncbi.base_url]) == 2
    assert "write name: watch in " in capsys.readouterr().out
    assert everything(nights.out) == before
    assert nights.ncbi.asked == []
    other.write_text(f"version: 1\nname: watch\ntaxa: [11320]\noutput: {{dir: {nights.out}}}\n")
    assert main(["run", str(other), "--base-url", nights.ncbi.base_url]) == 0


def test_a_list_has_no_name_to_write_and_a_file_is_no_directory(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.write("taxa: [11320]")
    nights.night(1, count=100)
    taxa = nights.job.with_name("taxa.csv")
    taxa.write_text("taxon\n11320\n")
    capsys.readouterr()
    for out, code, words in (
        (nights.out, 2, "holds the nights of the job watch; write another --out\n"),
        (taxa, 6, f"{taxa} is a file; write another --out\n"),
        (taxa / "below", 6, "below cannot be written: Not a directory; write another --out\n"),
    ):
        assert main(["run", str(taxa), "--out", str(out), "--base-url", nights.ncbi.base_url]) == code
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", [*(f"summary.{one}" for one in FORMATS), "changes.csv", "counts.csv", "report.html"])
def test_a_table_of_nobody_is_left_alone(nights: Nights, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    nights.out.mkdir(parents=True)
    (nights.out / name).write_text("mine")
    assert nights.night(1) == 2
    assert f"holds a {name}" in capsys.readouterr().err
    assert everything(nights.out) == {name: b"mine"}


def test_a_format_is_added_to_those_of_the_job(nights: Nights) -> None:
    nights.write("taxa: [11320]\noutput: {formats: [csv]}")
    nights.night(1, "--format", "jsonl,tsv")
    assert {path.name for path in nights.out.glob("summary.*")} == {"summary.csv", "summary.jsonl", "summary.tsv"}
    nights.night(2)
    assert {path.name for path in nights.out.glob("summary.*")} == {"summary.csv"}


# counts.csv


def test_counts_are_a_matrix_of_what_is_believed(nights: Nights) -> None:
    nights.write(
        "taxa: [11320, {taxon: 11520, label: B, filter_sets: [label, all]}, {taxon: 11320, label: A}]\n"
        "filter_sets: {all: {}, label: {host: human}, weekly: {windows: {every: 7d, last: 2}}}"
    )
    nights.ncbi.answers = {"11520": (500, "down"), "11320": {"record_count": 0}}
    assert nights.night(1, count=5) == 3
    with (nights.out / "counts.csv").open() as file:
        assert file.read().splitlines() == [
            "taxon,tax_id,scientific_name,label,all,label (filter set),weekly/2026-10-12,weekly/2026-10-19",
            "11320,,,A,0,,0,0",
            "11520,,,B,,5,,",
        ]
    described = json.loads((nights.out / "datapackage.json").read_text())["resources"]
    (counts,) = (one for one in described if one["path"] == "counts.csv")
    assert [field["name"] for field in counts["schema"]["fields"]][3:5] == ["label", "all"]


def test_a_matrix_that_nobody_could_read_is_left_out(nights: Nights) -> None:
    nights.write("taxa: [11320]\nfilter_sets: {all: {}}")
    nights.night(1)
    assert (nights.out / "counts.csv").exists()
    nights.write("taxa: [11320]\nfilter_sets: {all: {}, weekly: {windows: {every: 1d, last: 500}}}")
    nights.night(2)
    assert not (nights.out / "counts.csv").exists()
    assert "counts.csv" not in nights.manifest()["files"]


# Memory


@pytest.mark.parametrize("form", FORMATS)
def test_a_lost_store_is_told_and_the_table_becomes_the_past(
    nights: Nights,
    form: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    nights.write(
        f"taxa: ['=5,000', {{taxon: 11320, label: '@flu'}}, 11520]\noutput: {{formats: [{form}]}}\n"
        "filter_sets: {all: {}, week: {released_since: 7d}, weekly: {host: human, windows: {every: 7d, last: 2}}}"
    )
    nights.ncbi.answers = {"11520": (500, "down")}
    assert nights.night(1, count=5000) == 3
    (nights.out / "state.sqlite3").unlink()
    nights.ncbi.answers = {"11320": {"record_count": 1000}, "11520": {"record_count": 9}}
    capfd.readouterr()
    assert nights.night(2, "--format", "csv", count=5001) == 3
    assert capfd.readouterr().err.splitlines()[0].startswith(f"batchsum: {nights.out / 'state.sqlite3'} is missing")
    assert nights.manifest()["warnings"][0].endswith(
        f"the table of 2026-11-01, summary.{form}, is taken for the last night"
    )
    found = {(row["taxon"], row["filter_set"]): row for row in nights.rows()}
    assert found["11320", "all"]["error"].startswith("fell: 1,000 is 80.0 % below 5,000")
    assert {row["previous_record_count"] for row in found.values()} == {"5000", "0", ""}
    words = {change[2] for change in nights.changes()}
    assert words == {"became_suspect", "grew", "recovered", "rolled"}
    assert nights.night(3) == 3
    assert capfd.readouterr().err.splitlines()[0].startswith("batchsum: watch, night of 2026-11-03: 4 of 12 rows have ")


def test_a_table_that_was_changed_becomes_nobodys_past(nights: Nights, capfd: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    nights.night(1, count=5000)
    (nights.out / "state.sqlite3").unlink()
    (nights.out / "summary.csv").write_text("what?")
    assert nights.night(2, count=1000) == 0
    first = capfd.readouterr().err.splitlines()[0]
    assert "is missing" in first
    assert first.endswith("no table with the digest of run.json lies there, so that this night has no past")
    assert "has no past" in nights.manifest()["warnings"][0]
    assert nights.table() == [("11320", "all", "1000", "")]


def test_a_store_of_no_bytes_is_a_lost_one(nights: Nights, capfd: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    nights.night(1, count=5000)
    (nights.out / "state.sqlite3").write_bytes(b"")
    assert nights.night(2, count=1000) == 3
    assert "is missing, and with it the nights before" in capfd.readouterr().err.splitlines()[0]


def test_a_table_that_nothing_here_can_read_is_told(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nights.write("taxa: [11320]\noutput: {formats: [parquet]}")
    nights.night(1, count=5000)
    (nights.out / "state.sqlite3").unlink()
    nights.write("taxa: [11320]")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert nights.night(2, count=1000) == 0
    why = "to read summary.parquet takes the package pyarrow, which is not here, so that this night has no past"
    assert capfd.readouterr().err.splitlines()[0].endswith(why)
    assert nights.manifest()["warnings"][0].endswith(why)


def test_every_cell_is_read_again_as_csv_shows_it(nights: Nights) -> None:
    nights.write(
        "taxa: [11320, {taxon: 'Virus é <r>x</r>', label: '=_x0041_'}]\n"
        f"output: {{formats: [{', '.join(FORMATS)}]}}\n"
        "filter_sets: {all: {}, odd: {accessions: [NC_1.1, AB12], refseq_only: true, released_since: 2025-01-15},"
        " january: {released_between: [2025-01-01, 2025-02-01]}}"
    )
    sizes = {"record_count": 3, "available_files": {"cds_fasta": {"file_count": 2}}}
    nights.ncbi.otherwise = lambda question: sizes if question.taxon == "11320" else (404, "<html>")
    nights.night(1)
    tables = [list(published_rows(nights.out / f"summary.{form}")) for form in FORMATS]
    assert tables[0][1]["accessions"] == "NC_1.1|AB12"
    assert tables[0][2]["released_before"] == "2025-02-01"
    assert tables[0][4]["label"] == "=_x0041_"
    assert tables == [tables[0]] * len(FORMATS)


def test_every_format_may_lie_where_the_name_is_no_utf_8(nights: Nights) -> None:
    nights.write(f"taxa: [11320]\noutput: {{formats: [{', '.join(FORMATS)}]}}")
    out = nights.out.with_name("\udcff")
    assert nights.night(1, "--out", str(out), count=7) == 0
    tables = [list(published_rows(out / f"summary.{form}")) for form in FORMATS]
    assert tables[0][0]["record_count"] == "7"
    assert tables == [tables[0]] * len(FORMATS)


def test_a_lost_store_is_told_whatever_the_night_comes_to(nights: Nights, capfd: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    nights.night(1, count=5000)
    (nights.out / "state.sqlite3").unlink()
    nights.ncbi.otherwise = lambda question: (500, "down")
    assert nights.night(2) == 4
    assert "is missing" in capfd.readouterr().err.splitlines()[0]
    assert nights.night(3, count=100) == 3, "and the past was not lost again"


@pytest.mark.parametrize("second", [{"record_count": 900}, (500, "down"), {}, (404, {"message": "unknown taxon"})])
def test_what_was_last_believed_outlives_the_store_also_behind_a_doubtful_table(nights: Nights, second: Any) -> None:
    nights.write("taxa: [11320]")
    nights.ncbi.answers = {"2697049": {"record_count": 9}}
    nights.night(1, count=5000)
    nights.ncbi.otherwise = lambda question: second
    assert nights.night(2) in (3, 4)
    nights.night(2)
    (nights.out / "state.sqlite3").unlink()
    assert nights.night(3, count=800) == 3
    assert nights.rows()[0]["error"].startswith("fell: 800 is 84.0 % below 5,000")
    assert nights.rows()[0]["previous_record_count"] == "5000"


def test_tonights_own_table_is_the_past_of_a_store_lost_tonight(nights: Nights) -> None:
    nights.write("taxa: [11320]\nfilter_sets: {all: {}, week: {released_since: 7d}}")
    nights.night(1, count=5000)
    (nights.out / "state.sqlite3").unlink()
    assert nights.night(1, count=800) == 3
    assert nights.manifest()["today"] == "2026-11-01"
    assert "the table of 2026-11-01, summary.csv, is taken for the last night" in nights.manifest()["warnings"][0]
    assert [row["error"].partition(":")[0] for row in nights.rows()] == ["fell", "with_wider"]


def test_a_retry_keeps_no_row_of_a_lost_store(nights: Nights, capfd: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320, 11520]")
    nights.ncbi.answers = {"11520": (500, "down")}
    assert nights.night(1, count=5000) == 3
    (nights.out / "state.sqlite3").unlink()
    capfd.readouterr()
    assert nights.night(1, "--retry", count=800) == 2
    assert not nights.ncbi.asked
    assert "run the job without --retry" in capfd.readouterr().err
    nights.ncbi.answers = {}
    assert nights.night(1) == 3
    assert nights.rows()[0]["error"].startswith("fell: 800 is 84.0 % below 5,000")


@pytest.mark.parametrize("command", [["explain", "OUT", "11320"], ["history", "OUT"], ["accept", "OUT", "11320"]])
def test_commands_that_read_the_store_say_that_it_is_missing(
    nights: Nights, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    nights.write("taxa: [11320]")
    nights.night(1)
    (nights.out / "state.sqlite3").unlink()
    assert main([str(nights.out) if word == "OUT" else word for word in command]) == 2
    assert "state.sqlite3 is missing, and with it the nights that were" in capfd.readouterr().err


# Rights


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o027, 0o640), (0o077, 0o600)])
def test_every_file_has_the_mode_of_the_umask(nights: Nights, umask: int, mode: int) -> None:
    nights.write("taxa: [11320]")
    old = os.umask(umask)
    try:
        nights.night(1)
        nights.night(2)
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in nights.out.iterdir()}
    assert {"state.sqlite3", ".lock", "batchsum.log", "run.json", "summary.csv"} <= modes.keys()
    assert set(modes.values()) == {mode}, modes
