"""What the user holds, through the command line, against the embedded server loaded with the same records."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from batchsum.cli import main
from batchsum.cli.check import check_job
from batchsum.cli.progress import Progress
from batchsum.config.load import load_job
from batchsum.config.taxa_lock import LockedTaxon, TaxaLock, write_lock
from batchsum.ncbi.taxonomy import TaxonNode
from batchsum.notify.news import News
from batchsum.notify.words import message
from tests.builders.held_reports import TODAY, records, write_report
from tests.builders.jobs import job_text, rows, write_job
from tests.fakes.listener import listening
from tests.fakes.local_ncbi_server import Served, serving
from tests.fakes.raw_server import RawServer, error, summary

SETS = {
    "all": {},
    "human": {"host": "9606"},
    "complete": {"complete_only": True},
    "region": {"matrix": {"geo_location": ["Europe", "Kenya"]}},
    "monthly": {"windows": {"every": "30d", "last": 12}},
}
RECORDS = records(400)


@pytest.fixture(scope="module")
def ncbi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = write_report(tmp_path_factory.mktemp("ncbi") / "all.jsonl", [*RECORDS, *records(30, tax_id=1335626)])
    with serving(catalogue=[path], as_of=TODAY) as served:
        yield served


@pytest.fixture(autouse=True)
def tonight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSUM_TODAY", f"{TODAY}")


def job(directory: Path, use: str = "compare", *taxa: object, **sections: Any) -> Path:
    """A job that holds `held.zip` of SARS-CoV-2."""
    holdings = {"files": [{"taxon": 2697049, "file": "held.zip"}], "use": use}
    text = job_text(*(taxa or (2697049, 1335626)), filter_sets=SETS, holdings=holdings, **sections)
    return write_job(directory, text)


def run(path: Path, ncbi: Served, *options: str) -> int:
    return main(["run", str(path), "--base-url", ncbi.base_url, *options])


def manifest(path: Path) -> dict[str, Any]:
    return dict(json.loads((path.parent / "out" / path.stem / "run.json").read_text()))


def test_both_numbers_stand_in_the_table(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path = job(tmp_path)
    assert run(path, ncbi) == 0
    header = list(rows(path)[0])
    assert header[10:15] == ["messages", "held_record_count", "held_difference", "held_on", "accessions"]
    covered = [row for row in rows(path) if row["taxon"] == "2697049"]
    others = [row for row in rows(path) if row["taxon"] != "2697049"]
    assert [row["held_record_count"] for row in covered] == [row["record_count"] for row in covered]
    assert {(row["held_difference"], row["held_on"]) for row in covered} == {("0", "2025-11-29")}
    assert {(row["held_record_count"], row["held_difference"], row["held_on"]) for row in others} == {("", "", "")}
    assert len(covered) == len(others) == 17
    assert all(row["resource_updated_on"] for row in covered)
    (file,) = manifest(path)["holdings"]["files"]
    assert (file["held_record_count"], file["record_count"], file["missing"]) == (400, 400, {})
    assert not manifest(path)["warnings"]
    page = (path.parent / "out/night/report.html").read_text()
    assert "What you hold" in page
    assert "none is missing" in page


@pytest.mark.parametrize("taxon", ["T2697049", "betacoronavirus", "SARS"])
def test_a_holding_may_be_of_a_name(tmp_path: Path, ncbi: Served, taxon: str) -> None:
    """The records tell what a name stands for, where neither a lock nor an earlier night does."""
    write_report(tmp_path / "held.zip", RECORDS)
    path = write_job(tmp_path, job_text(2697049, filter_sets=SETS))
    if taxon == "SARS":  # which no record says
        node = TaxonNode(2697049, "T2697049", "species", (10239, 694002))
        write_lock(tmp_path / "taxa.lock", TaxaLock({taxon: LockedTaxon(node, "2025-11-01")}))
    assert run(path, ncbi, "--holding", f"{taxon}={tmp_path}/held.zip") == 0
    assert [row["held_record_count"] for row in rows(path)] == [row["record_count"] for row in rows(path)]
    (file,) = manifest(path)["holdings"]["files"]
    of_betacoronaviruses = {"taxon": 694002, "record_count": 430, "missing": 30}
    of_one = {"taxon": 2697049, "record_count": 400, "missing": 0}
    expected = of_betacoronaviruses if taxon == "betacoronavirus" else of_one
    assert {**file, "missing": sum(file["missing"].values())}.items() >= expected.items()


def test_a_name_that_no_record_has(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path = write_job(tmp_path, job_text("SARS", 2697049))
    assert run(path, ncbi, "--holding", f"SARS={tmp_path}/held.zip", "--rps", "unlimited") == 3
    assert manifest(path)["warnings"] == [
        f"{tmp_path}/held.zip: no record of SARS or below, but of 2697049; write the id of the holding's taxon,"
        " or correct the file"
    ]
    assert {row["held_record_count"] for row in rows(path)} == {""}


def test_missing_records_are_found_by_month(tmp_path: Path, ncbi: Served, capsys: pytest.CaptureFixture[str]) -> None:
    lacking = [one for one in RECORDS if not one["releaseDate"].startswith(("2025-03", "2025-07-1"))]
    write_report(tmp_path / "held.zip", lacking)
    path = job(tmp_path)
    assert run(path, ncbi) == 0
    (file,) = manifest(path)["holdings"]["files"]
    assert file["missing"] == {"2025-03": 31, "2025-07": 10}
    told = f"incomplete: held.zip: {len(lacking)} of {len(RECORDS)}"
    assert told in manifest(path)["warnings"]
    page = (path.parent / "out/night/report.html").read_text()
    assert told in page
    assert re.search(r"these are missing: 2025-03 <b>31</b>, 2025-07 <b>10</b>", page)
    assert 'batchsum_held_missing{job="night",file="held.zip"} 41' in (tmp_path / "out/night/metrics.prom").read_text()


def test_counted_rows_are_not_asked(tmp_path: Path, ncbi: Served) -> None:
    compared, path = job(tmp_path / "compare"), job(tmp_path, "count", 2697049)
    for one in (compared, path):
        write_report(one.parent / "held.zip", RECORDS)
    assert run(compared, ncbi) == run(path, ncbi) == 0
    counted = rows(path)
    columns = ("taxon", "filter_set", "status", "record_count")
    assert [[row[name] for name in columns] for row in counted] == [
        [row[name] for name in columns] for row in rows(compared)[: len(counted)]
    ]
    assert {(row["messages"], row["resource_updated_on"], row["hydrated_url"]) for row in counted} == {
        ("counted in held.zip", "", "")
    }
    assert "held_on" not in counted[0]
    assert "counted in held.zip" in (tmp_path / "out/night/report.html").read_text()


def many_rows(directory: Path, use: str = "count", **sections: Any) -> Path:
    """A job of 200 windows that a file holds, and one row of another taxon."""
    sets = {"daily": {"windows": {"every": "1d", "last": 200}}}
    taxa = [2697049, {"taxon": 1335626, "filter_sets": ["all"]}]
    text = job_text(
        *taxa, filter_sets={**sets, "all": {}},
        holdings={"files": [{"taxon": 2697049, "file": "held.zip"}], "use": use}, **sections,
    )  # fmt: skip
    return write_job(directory, text)


def test_a_sample_is_asked_all_the_same(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path = many_rows(tmp_path)
    assert run(path, ncbi) == 0
    first = manifest(path)["http_statuses"]["200"]
    # Twenty windows of two requests, of which some share an edge; the whole, what came since, and the other taxon.
    assert 21 + 3 <= first <= 40 + 3
    assert manifest(path)["requests"] == 1
    asked = questions(path)
    assert run(path, ncbi, "--fresh") == 0
    assert questions(path) == asked


def questions(path: Path) -> set[str]:
    """What was asked in the last night."""
    with closing(sqlite3.connect(path.parent / "out/night/state.sqlite3")) as state:
        return {key for (key,) in state.execute("SELECT request FROM answers WHERE run = (SELECT max(run) FROM runs)")}


def test_a_count_that_ncbi_does_not_have_is_suspect(
    tmp_path: Path, ncbi: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(tmp_path / "held.zip", RECORDS[:300])
    path = job(tmp_path, "count", 2697049)
    assert run(path, ncbi) == 3
    suspect = {row["filter_set"]: row for row in rows(path) if row["status"] == "suspect"}
    assert suspect["all"]["error"] == "differs: 300 in held.zip, but NCBI has 400"
    assert suspect["all"]["record_count"] == "300"
    assert {"human", "complete"} <= suspect.keys()
    assert "incomplete: held.zip: 300 of 400" in manifest(path)["warnings"]
    # What differed is asked again on the next night; a user's word makes it good.
    assert main(["explain", str(tmp_path / "out/night"), "2697049", "all"]) == 0
    assert "300 records in held.zip; NCBI has 400" in capsys.readouterr().out
    assert main(["accept", str(tmp_path / "out/night"), "2697049/all"]) == 3
    (accepted,) = [row for row in rows(path) if row["filter_set"] == "all"]
    assert (accepted["status"], accepted["record_count"], accepted["messages"]) == ("ok", "300", "counted in held.zip")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda path: path.unlink(), "held.zip"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "held.zip: cut off or damaged"),
        (lambda path: write_report(path, RECORDS, day=TODAY - timedelta(days=9)), "held.zip is of 2025-11-22, 10 days"),
    ],
)
def test_a_file_that_cannot_be_used_skips_its_rows_and_no_others(
    tmp_path: Path, ncbi: Served, broken: Callable[[Path], object], words: str
) -> None:
    held = write_report(tmp_path / "held.zip", RECORDS)
    path = job(tmp_path, "count")
    assert run(path, ncbi) == 0
    broken(held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHSUM_TODAY", f"{TODAY + timedelta(days=1)}")
        assert run(path, ncbi) == 3
        skipped = [row for row in rows(path) if row["taxon"] == "2697049"]
        assert {(row["status"], row["record_count"], row["messages"]) for row in skipped} == {("skipped", "", "")}
        assert {row["error"].startswith(f"holding: {words}") for row in skipped} == {True}
        assert {row["previous_record_count"] for row in skipped} > {"400"}
        assert {row["status"] for row in rows(path) if row["taxon"] != "2697049"} <= {"ok", "empty"}
        assert not [key for key in questions(path) if "2697049/genome?host" in key]
        # Mended, the night counts in it after all.
        write_report(held, RECORDS)
        assert run(path, ncbi, "--retry") == 0
        assert {row["messages"] for row in rows(path) if row["taxon"] == "2697049"} == {"counted in held.zip"}


@pytest.mark.parametrize(
    "broken", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:2000])]
)
def test_compared_with_nothing_every_row_is_what_ncbi_says(
    tmp_path: Path, ncbi: Served, broken: Callable[[Path], object]
) -> None:
    broken(write_report(tmp_path / "held.zip", RECORDS))
    path = job(tmp_path)
    assert run(path, ncbi) == 0
    assert {row["held_record_count"] for row in rows(path)} == {""}
    assert rows(path)[0]["record_count"] == "400"
    assert [one for one in manifest(path)["warnings"] if one.startswith("held.zip")]


def test_an_old_file_is_compared_all_the_same_and_told(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS[20:], day=TODAY - timedelta(days=21))
    path = job(tmp_path)
    assert run(path, ncbi) == 0
    assert (rows(path)[0]["held_record_count"], rows(path)[0]["held_difference"]) == ("380", "-20")
    (told,) = manifest(path)["warnings"]  # and nothing is incomplete: what is missing came later
    assert told.startswith("held.zip is of 2025-11-10, 21 days before this night")


def test_counting_goes_on_with_the_counts_of_comparing(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path = job(tmp_path)
    assert run(path, ncbi) == 0
    job(tmp_path, "count")
    write_report(tmp_path / "held.zip", RECORDS[:200])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHSUM_TODAY", f"{TODAY + timedelta(days=1)}")
        assert run(path, ncbi) == 3
    first = rows(path)[0]
    assert (first["status"], first["previous_record_count"], first["record_count"]) == ("suspect", "400", "200")
    assert first["error"].startswith("fell:")
    assert "refiltered" not in {row["change"] for row in rows(path, "changes.csv")}


def test_the_nearest_file_covers_a_row(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "corona.jsonl.gz", [*RECORDS[:100], *records(30, tax_id=1335626)])
    write_report(tmp_path / "sars.jsonl", RECORDS[:50])
    path = write_job(tmp_path, job_text(2697049, 1335626, 11320))
    holdings = ("--holding", f"694002={tmp_path}/corona.jsonl.gz", "--holding", f"2697049={tmp_path}/sars.jsonl")
    assert run(path, ncbi, *holdings) == 0
    assert [row["held_record_count"] for row in rows(path)] == ["50", "30", ""]


def test_a_killed_night_counts_again_and_asks_nothing_twice(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path, out = job(tmp_path), tmp_path / "out/night"
    command = [sys.executable, "-m", "batchsum", "run", str(path), "--base-url", ncbi.base_url, "--rps", "40"]
    with subprocess.Popen(command) as process:
        asked = set[str]()
        while len(asked) < 5:
            assert process.poll() is None
            with suppress(sqlite3.OperationalError):  # while its tables are made
                asked = questions(path)
        process.kill()
    before = questions(path)
    assert not (out / "run.json").exists()
    # Another file meanwhile: the night has one state of it.
    lacking = [one for one in RECORDS if not one["releaseDate"].startswith("2025-03")]
    write_report(tmp_path / "held.zip", lacking)
    assert run(path, ncbi) == 0
    assert asked <= before < questions(path)
    assert manifest(path)["http_statuses"]["200"] == len(questions(path))
    assert manifest(path)["holdings"]["files"][0]["missing"] == {"2025-03": 31}
    assert rows(path)[0]["held_record_count"] == str(len(lacking))


@pytest.mark.parametrize("use", ["compare", "count"])
def test_shards_make_the_same_table(tmp_path: Path, ncbi: Served, use: str) -> None:
    write_report(tmp_path / "held.zip", [one for one in RECORDS if not one["releaseDate"].startswith("2025-03")])
    path = job(tmp_path, use)
    code = run(path, ncbi)
    whole = tmp_path / "out/night"
    parts = [tmp_path / name for name in ("one", "two")]
    for number, part in enumerate(parts, start=1):
        assert run(path, ncbi, "--shard", f"{number}/2", "--out", str(part)) == 0
    merged = tmp_path / "merged"
    assert main(["merge", str(merged), *map(str, parts)]) == code
    for name in ("summary.csv", "changes.csv", "counts.csv", "datapackage.json"):
        assert (merged / name).read_bytes() == (whole / name).read_bytes()
    told = json.loads((merged / "run.json").read_text())
    assert told["holdings"] == manifest(path)["holdings"]
    assert told["warnings"] == manifest(path)["warnings"]
    # Of another file a shard makes no table with them.
    write_report(tmp_path / "held.zip", RECORDS)
    assert run(path, ncbi, "--shard", "2/2", "--out", str(parts[1])) == 0
    assert main(["merge", str(tmp_path / "other"), *map(str, parts)]) == 2


def test_check_tells_what_is_covered_and_saved(
    tmp_path: Path, ncbi: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(tmp_path / "held.zip", RECORDS, day=TODAY - timedelta(days=1))
    check = ["check", str(job(tmp_path, "count")), "--base-url", ncbi.base_url]
    assert main([*check]) == 0
    told = capsys.readouterr().out
    assert "held.zip: 400 records of taxon 2697049, 1 day old; it covers 17 rows" in told
    assert main([*check, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (file,) = report["holdings"]["files"]
    assert (file["rows"], file["age_days"]) == (17, 1)
    # The sample is all seventeen rows, windows with two edges each; the whole before the file's day is one more.
    assert (report["holdings"]["saved_requests"], report["holdings"]["comparing_requests"]) == (18, 19)
    assert report["requests"] == 18 + 19
    assert "18 requests saved by counting in files\n  19 requests above compare the files" in told
    write_report(tmp_path / "held.zip", RECORDS, day=TODAY + timedelta(days=2))
    assert main([*check]) == 0
    assert "2 days ahead of tonight; it covers" in capsys.readouterr().out
    (tmp_path / "held.zip").unlink()
    assert main([*check]) == 0  # the file may be there by then
    missing = "held.zip: No such file or directory"
    assert f"night.yaml:4:49: warning: {missing}; 17 rows of 34 will be skipped (use: count)" in capsys.readouterr().out
    assert run(job(tmp_path, "count"), ncbi) == 3
    assert main(["check", str(job(tmp_path)), "--base-url", ncbi.base_url]) == 0
    assert f": warning: {missing}\n" in capsys.readouterr().out


@pytest.mark.parametrize("format_", ["tsv", "jsonl", "parquet", "xlsx"])
def test_every_format_has_the_columns(tmp_path: Path, ncbi: Served, format_: str) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path = job(tmp_path)
    assert run(path, ncbi, "--format", format_) == 0
    fields = json.loads((tmp_path / "out/night/datapackage.json").read_text())["resources"][0]["schema"]["fields"]
    names = ["messages", "held_record_count", "held_difference", "held_on", "accessions"]
    assert [one["name"] for one in fields[10:15]] == names
    file = tmp_path / f"out/night/summary.{format_}"
    assert first_record(file)[10:15] == [
        ("messages", None),
        *zip(names[1:4], (400, 0, date(2025, 11, 29)), strict=True),
        ("accessions", None),
    ]


def first_record(file: Path) -> list[tuple[str, Any]]:
    """The first row of a table, typed, by its columns."""
    match file.suffix:
        case ".parquet":
            return list(pq.read_table(file).to_pylist()[0].items())
        case ".xlsx":
            header, first, *_ = openpyxl.load_workbook(file)["summary"].iter_rows(values_only=True)
            days = [one.date() if isinstance(one, datetime) else one for one in first]
            return list(zip(header, days, strict=True))
        case ".jsonl":
            values = json.loads(file.read_text().splitlines()[0])
        case _:
            header, first, *_ = (line.split("\t") for line in file.read_text().splitlines())
            values = {
                name: int(cell) if cell.isdigit() else cell or None for name, cell in zip(header, first, strict=True)
            }
    values["held_on"] = date.fromisoformat(values["held_on"])
    return list(values.items())


PROBLEMS = {
    "{files: []}": "files: is an empty list",
    "{}": "the key 'files' is missing; write files:",
    "{files: [{taxon: 011320, file: a.zip}]}": "taxon: '011320' has leading zeros; write 11320",
    "{files: [{taxon: 1}]}": "the key 'file' is missing; write the path",
    "{files: [{taxon: 1, file: a.zip}, {taxon: 1, file: b.zip}]}": "taxon 1 has a file already",
    "{files: [{taxon: 1, file: a.zip}, {taxon: 2, file: a.zip}]}": "a.zip is listed twice",
    "{files: [{taxon: 1, file: a.zip, use: count}]}": "unknown key 'use'",
    "{files: [{taxon: 1, file: a.zip}], use: ask}": "use: 'ask' is not one of compare, count",
    "{files: [{taxon: 1, file: a.zip}], max_age: 3}": "max_age: '3' is not a duration",
}


@pytest.mark.parametrize("section", PROBLEMS)
def test_problems_of_the_section(tmp_path: Path, section: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_job(tmp_path, job_text(11320) + f"holdings: {section}\n")
    assert main(["check", str(path)]) == 2
    assert re.search(rf"night.yaml:4:\d+: {re.escape(PROBLEMS[section])}", capsys.readouterr().err)


@pytest.mark.parametrize("text", ["2697049", "=a.zip", "2697049="])
def test_an_option_that_names_no_file(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_job(tmp_path, job_text(11320))
    assert main(["run", str(path), "--holding", text]) == 2
    assert "is not TAXON=FILE, as in 2697049=ncbi/sars-cov-2.zip" in capsys.readouterr().err
    assert main(["run", str(path), "--holding", "011320=a.zip"]) == 2
    assert "'011320' has leading zeros; write 11320" in capsys.readouterr().err
    assert main(["run", str(path), "--holding", "11320=\udcff.zip"]) == 2
    assert r"'\udcff.zip' is not UTF-8, and no table could name it" in capsys.readouterr().err


def test_a_taxon_that_is_given_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [part for name in ("a.zip", "b.zip") for part in ("--holding", f"2697049={name}")]
    assert main(["check", str(job(tmp_path)), *options]) == 2
    assert "a taxon is given two files" in capsys.readouterr().err


def test_a_job_without_holdings_has_none_of_it(tmp_path: Path, ncbi: Served) -> None:
    path = write_job(tmp_path, job_text(2697049, filter_sets=SETS))
    assert run(path, ncbi) == 0
    assert "holdings" not in manifest(path)
    assert not [name for name in rows(path)[0] if name.startswith("held")]
    assert "What you hold" not in (tmp_path / "out/night/report.html").read_text()
    assert "held" not in (tmp_path / "out/night/metrics.prom").read_text()


def test_taken_out_of_the_job_while_its_night_was_cut_off(tmp_path: Path, raw: RawServer) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path = job(tmp_path, "count", api={"requests_per_second": "unlimited"})
    raw.always(error(401, "who are you"))
    assert main(["run", str(path), "--base-url", raw.base_url]) == 5
    write_job(tmp_path, job_text(2697049, filter_sets=SETS))
    raw.always(summary(7))
    assert main(["run", str(path), "--base-url", raw.base_url, "--rps", "unlimited"]) == 0
    assert "holdings" not in manifest(path)
    assert manifest(path)["warnings"] == []
    assert {row["record_count"] for row in rows(path)[:4]} == {"7"}


def test_stopped_while_it_reads_the_same_command_goes_on(
    tmp_path: Path, ncbi: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path, told = job(tmp_path, "count"), list[str]()

    def stop(progress: Progress, words: str) -> None:
        told.append(words)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "reading", stop)
        assert run(path, ncbi, "--progress", "always") == 143
    assert told == ["reading held.zip, 0 records"]
    assert run(path, ncbi) == 0


def test_the_live_line_says_what_is_read() -> None:
    progress = Progress("night")
    progress.reading("reading held.zip, 310,000 records")
    assert progress.line(80) == ("night  reading held.zip, 310,000 records", True)


def test_check_counts_the_requests_of_comparing(tmp_path: Path, ncbi: Served) -> None:
    """As many as the embedded server gets that night, names and lineages aside."""
    for use in ("compare", "count"):
        path = many_rows(tmp_path / use, use)
        write_report(path.parent / "held.zip", RECORDS, day=TODAY)
        told = check_job(load_job(path), TODAY)
        assert run(path, ncbi) == 0
        assert told["requests"] == len(questions(path))


def test_the_example_for_cron_runs_the_night_with_a_new_package(tmp_path: Path, ncbi: Served) -> None:
    example = Path("configs/holdings.crontab.example").read_text().splitlines()[-1]
    command = example.split(maxsplit=5)[5].replace("/srv/batchsum", str(tmp_path))
    command = command.replace("/opt/batchsum/bin/batchsum", f"{sys.executable} -m batchsum")
    job(tmp_path).rename(tmp_path / "job.yaml")
    (tmp_path / "job.yaml").write_text((tmp_path / "job.yaml").read_text().replace("held.zip", "ncbi/sars-cov-2.zip"))
    (tmp_path / "ncbi").mkdir()
    write_report(tmp_path / "downloaded.zip", RECORDS)
    for name, script in {
        "datasets": f"while [ $# -gt 1 ]; do [ $1 = --filename ] && cp {tmp_path}/downloaded.zip $2; shift; done; true",
        "unzip": f"exec {sys.executable} -m zipfile -t $2",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "BATCHSUM_BASE_URL": ncbi.base_url}
    environment["PYTHONPATH"] = str(Path.cwd())
    told = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert {row["held_difference"] for row in rows(tmp_path / "job.yaml") if row["taxon"] == "2697049"} == {"0"}
    (tmp_path / "downloaded.zip").write_bytes((tmp_path / "downloaded.zip").read_bytes()[:-30])
    cut = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert (cut.returncode, cut.stdout) == (0, "")  # the night runs all the same, and cron mails the rest
    assert "batchsum compares the last package" in cut.stderr
    assert (tmp_path / "ncbi/sars-cov-2.zip").stat().st_size > (tmp_path / "new.zip").stat().st_size


def test_without_the_reader_nothing_is_asked(
    tmp_path: Path, ncbi: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)  # as where it is not installed
    path = job(tmp_path)
    for command in ("check", "run"):
        assert main([command, str(path), "--base-url", ncbi.base_url]) == 2
        told = capsys.readouterr()
        assert "pip install '.[holdings]' in a clone" in told.out + told.err
    assert not (path.parent / "out/night/state.sqlite3").exists()


def test_what_is_missing_reaches_hooks_and_chats(
    tmp_path: Path, ncbi: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(tmp_path / "held.zip", RECORDS[:300])
    hook = [sys.executable, "-c", "import sys; open('facts.json', 'w').write(sys.stdin.read())"]
    path = job(tmp_path, notify={"on_success": hook})
    assert run(path, ncbi, "-v") == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["warnings"] == ["incomplete: held.zip: 300 of 400"]
    said = message(News.of(facts)).splitlines()
    assert said[-1] == "• incomplete: held.zip: 300 of 400"
    assert "all answered, but a download of yours is incomplete; first night" in said[0]
    assert "incomplete: held.zip: 300 of 400" in capsys.readouterr().err
    page = (tmp_path / "out/night/report.html").read_text()
    assert "answered, but a download of yours is incomplete." in page
    assert "nothing in doubt" not in page


def test_a_chat_is_told_on_the_night_on_which_a_file_begins_to_lack_records(
    tmp_path: Path, ncbi: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(tmp_path, notify={"webhook_env": "CHAT"})
    with listening() as listener:
        monkeypatch.setenv("CHAT", listener.url)
        # What a night has told is not told again when it is replaced.
        for night, held, told in ((0, 400, 0), (1, 300, 1), (1, 300, 1), (2, 299, 1), (3, 400, 1), (4, 300, 2)):
            monkeypatch.setenv("BATCHSUM_TODAY", f"{TODAY + timedelta(days=night)}")
            write_report(tmp_path / "held.zip", RECORDS[:held])
            assert run(path, ncbi) == 0
            assert len(listener.posted) == told, night
        assert "incomplete: held.zip: 300 of 400" in json.loads(listener.posted[0].body)["text"]


def test_what_a_file_cannot_tell_is_asked(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    holdings = {"files": [{"taxon": 2697049, "file": "held.zip"}], "use": "count"}
    sets = {"duck": {"host": "duck"}, "human": {"host": "Homo sapiens"}}
    path = write_job(tmp_path, job_text(2697049, "T2697049", 10239, filter_sets=sets, holdings=holdings))
    assert run(path, ncbi) in (0, 3)
    told = {(row["taxon"], row["filter_set"]): row["messages"] for row in rows(path)}
    # A name is known by the records' own lineages; what stands above the file's taxon is not covered.
    assert told["2697049", "human"] == told["T2697049", "human"] == "counted in held.zip"
    assert told["2697049", "duck"] == told["10239", "human"] == ""


def test_what_differed_is_asked_again_on_the_next_night(tmp_path: Path, ncbi: Served) -> None:
    kept = [one for one in RECORDS if not one["releaseDate"].startswith("2025-08-1")]
    write_report(tmp_path / "held.zip", kept)
    sets = {"weekly": {"windows": {"every": "7d", "last": 52}}, "monthly": {"windows": {"every": "31d", "last": 12}}}
    holdings = {"files": [{"taxon": 2697049, "file": "held.zip"}], "use": "count"}
    path = write_job(tmp_path, job_text(2697049, filter_sets=sets, holdings=holdings))
    suspects = []
    for night in range(8):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BATCHSUM_TODAY", f"{TODAY + timedelta(days=night)}")
            write_report(tmp_path / "held.zip", kept, day=TODAY + timedelta(days=night))
            run(path, ncbi)
        suspects.append({row["filter_set"] for row in rows(path) if row["error"].startswith("differs:")})
    first = next(number for number, names in enumerate(suspects) if names)
    assert all(now >= before for before, now in zip(suspects[first:], suspects[first + 1 :], strict=False))


def test_what_came_since_the_day_of_a_file_is_no_difference(tmp_path: Path, ncbi: Served) -> None:
    write_report(tmp_path / "held.zip", RECORDS[10:], day=TODAY - timedelta(days=11))
    holdings = {"files": [{"taxon": 2697049, "file": "held.zip"}], "use": "count", "max_age": "20d"}
    sets = {
        "all": {},
        "human": {"host": "human"},
        "month": {"released_since": "30d"},
        "year": {"released_since": "365d"},
    }
    path = write_job(tmp_path, job_text(2697049, filter_sets=sets, holdings=holdings))
    assert run(path, ncbi) == 0
    assert [row["record_count"] for row in rows(path)] == ["390", "312", "19", "354"]
    assert not manifest(path)["warnings"]
    (file,) = manifest(path)["holdings"]["files"]
    assert (file["held_record_count"], file["record_count"], file["missing"]) == (390, 400, {})


def test_what_is_held_is_counted_in_an_outage_too(tmp_path: Path) -> None:
    write_report(tmp_path / "held.zip", RECORDS)
    path = job(tmp_path, "count", 2697049, api={"max_outage": "1s", "attempts": 1})
    assert main(["run", str(path), "--base-url", "http://127.0.0.1:9/datasets/v2"]) == 0
    assert rows(path)[0]["record_count"] == "400"
    assert manifest(path)["warnings"] == ["held.zip was not compared: NCBI gave no count of taxon 2697049 tonight"]
