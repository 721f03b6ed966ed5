"""`batchsum history` and `batchsum explain`, after nights that were run."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batchsum.cli import main
from batchsum.store.store import Store
from tests.builders.jobs import night
from tests.fakes.raw_server import error, raw_server
from tests.fakes.scripted_ncbi import ScriptedNcbi, scripted_ncbi


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nights: 100, 110, and a fall to 20 that is not believed."""
    directory = tmp_path_factory.mktemp("nights")
    job = directory / "watch.yaml"
    job.write_text(
        "version: 1\ntaxa: [{taxon: 11320, label: Flu A}, 11520]\nfilter_sets: {all: {}, human: {host: human}}\n"
    )
    with scripted_ncbi() as ncbi:
        for count in (100, 110, 20):
            ncbi.answers = {"11320": {"record_count": count}}
            night(job, ncbi)
    return directory / "out" / "watch"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_history_is_a_table_for_people(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in said(capsys, "history", str(out)).splitlines()]
    assert lines[0][:3] == ["taxon", "name", "filter_set"]
    assert lines[1] == ["11320", "Flu", "A", "all", "100", "110", "20?"]
    assert lines[3] == ["11520", "all", "7", "7", "7"]
    assert " ".join(lines[-1]) == "? a count that was not believed"
    assert len(said(capsys, "history", str(out), "--nights", "1").splitlines()[1].split()) == 5


def test_history_is_csv_for_programs(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(said(capsys, "history", str(out), "--format", "csv"))))
    assert len(rows) == 12
    assert [row["record_count"] for row in rows if row["label"] and row["filter_set"] == "all"] == ["100", "110", "20"]
    assert (rows[-4]["status"], rows[-4]["previous_record_count"]) == ("suspect", "110")


def test_explain_tells_all_of_one_row(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "explain", str(out), "11320", "all")
    for words in (("Flu A", "all"), ("flu a", "ALL"), ("FLU A/all",)):
        assert said(capsys, "explain", str(out), *words) == text
    assert text.startswith("Flu A (11320), filter set all\n")
    assert "suspect, 20 records" in text
    assert "fell: 20 is 81.8 % below 110" in text
    assert "/virus/taxon/11320/genome\n" in text
    assert text.count("  attempt ") == 2
    assert text.count("NCBI-PHID TEST") == 2
    nights = text[text.index("\nnights (?: a count that was not believed)\n") :].splitlines()[2:]
    assert [line.split()[1] for line in nights] == ["20?", "110", "100"]


def test_explain_of_a_table_whose_store_was_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "watch.yaml"
    job.write_text("version: 1\ntaxa: [11320]\n")
    with raw_server() as raw:
        assert main(["run", str(job), "--base-url", raw.base_url]) == 0
        (tmp_path / "out/watch/state.sqlite3").unlink()
        raw.always(error(401, "who are you"))
        assert main(["run", str(job), "--base-url", raw.base_url]) == 5
    text = said(capsys, "explain", str(tmp_path / "out/watch"), "11320")
    assert "verdict    ok, 7 records" in text
    assert [line for line in text.splitlines() if line.startswith("  asked")] == [
        "  asked      nobody knows what, nor when: state.sqlite3 was lost, and only the table was left"
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["11999"], "no row of this job has this name"),
        (["11320"], "name one of all, human"),
        (["11320", "cat"], "11320 has no filter set cat; write one of all, human"),
        (["Flu B"], "did you mean Flu A?"),
    ],
)
def test_explain_says_what_to_write_instead(
    out: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(out), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_explain_does_not_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, out = tmp_path / "watch.yaml", tmp_path / "out" / "watch"
    job.write_text("version: 1\ntaxa: [{taxon: 11320, label: Flu}, {taxon: 11520, label: Flu}, {taxon: Flu}]\n")
    out.mkdir(parents=True)
    with Store(out / "state.sqlite3"):
        pass
    assert main(["explain", str(out), "11320"]) == 2
    assert "no night was published yet" in capsys.readouterr().err
    with scripted_ncbi() as ncbi:
        night(job, ncbi)
        assert "Flu, filter set all" in said(capsys, "explain", str(out), "Flu")
        job.write_text("version: 1\ntaxa: [{taxon: 11320, label: Flu}, {taxon: 11520, label: Flu}]\n")
        night(job, ncbi)
    assert main(["explain", str(out), "Flu"]) == 2
    assert "Flu is the name of several taxa; write one of 11320, 11520" in capsys.readouterr().err


def test_a_directory_without_nights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(tmp_path)]) == 2
    assert "no night was run here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_page_is_made_again_from_the_store(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, manifest = (out / "report.html").read_bytes(), json.loads((out / "run.json").read_text())
    assert b"Flu A" in page
    assert b"fell: 20 is 81.8 % below 110" in page
    (out / "report.html").unlink()
    assert said(capsys, "report", str(out)) == f"{out / 'report.html'}\n"
    assert (out / "report.html").read_bytes() == page
    assert json.loads((out / "run.json").read_text()) == manifest
    assert (out / "summary.csv").exists()


def test_a_night_without_a_table_is_told_everywhere(
    ncbi: ScriptedNcbi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, out = tmp_path / "watch.yaml", tmp_path / "out" / "watch"
    job.write_text("version: 1\ntaxa: [11320]\napi: {requests_per_second: unlimited, attempts: 1, max_outage: 1s}\n")
    days = ("2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25")
    pages, left = [], []
    for day, answer in zip(days, ({"record_count": 9}, {"record_count": 9}, (500, "oops"), (302, "")), strict=True):
        ncbi.otherwise = lambda question, answer=answer: answer
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BATCHSUM_TODAY", day)
            main(["run", str(job), "--base-url", ncbi.base_url])
        pages.append((out / "report.html").read_text())
        left.append({path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".csv", ".json")})
    assert left[1] == left[2] == left[3]
    assert "report.html" not in json.loads((out / "run.json").read_text())["files"]
    assert "No table" not in pages[1]
    assert "No table: no row has an answer" in pages[2]
    assert f'<time datetime="{days[2]}"' in pages[2]
    assert "No table: " in pages[3]
    assert f"Nor was there one on {days[2]}. What follows is the last table, that of {days[1]}." in pages[3]
    capsys.readouterr()
    said(capsys, "report", str(out))
    assert (out / "report.html").read_text() == pages[3]
    header, row, *failures = said(capsys, "history", str(out)).splitlines()
    assert header.split()[-4:] == ["11-22", "11-23", "11-24", "11-25"]
    assert row.split()[-4:] == ["9", "9", "-", "-"]
    assert [line[:10] for line in failures] == [days[2], days[3]]
    assert said(capsys, "explain", str(out), "11320").count("no table") == 2
    ncbi.otherwise = lambda question: {"record_count": 9}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHSUM_TODAY", "2026-11-26")
        assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    page = (out / "report.html").read_text()
    assert "<title>All right" in page
    assert "2026-11-24: no table: " in page


def test_an_empty_store_is_a_lost_one_also_once_it_was_asked_for(
    ncbi: ScriptedNcbi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, out = tmp_path / "watch.yaml", tmp_path / "out" / "watch"
    job.write_text("version: 1\ntaxa: [11320]\n")
    night(job, ncbi)
    (out / "state.sqlite3").write_bytes(b"")
    capsys.readouterr()
    for command in (["history"], ["accept"], ["report"], ["explain"]):
        names = ["11320"] if command[0] in ("accept", "explain") else []
        assert main([*command, str(out), *names]) == 2
        assert "state.sqlite3 is missing, and with it the nights that were" in capsys.readouterr().err
    assert (out / "state.sqlite3").read_bytes() == b""


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_a_terminal_has_no_sign_for_is_shown_as_well_as_can_be(
    ncbi: ScriptedNcbi, tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "watch.yaml"
    job.write_text('version: 1\ntaxa: [{taxon: 11320, label: "Grippe \u2013 Ωβ"}]\n', encoding="utf-8")
    night(job, ncbi)
    ncbi.otherwise = lambda question: {"record_count": 1}
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("BATCHSUM_TODAY", "2030-01-01")
    out = str(tmp_path / "out" / "watch")
    run = ("run", str(job), "--base-url", ncbi.base_url, "--rps", "unlimited")
    commands = (run, ("history", out), ("explain", out, "11320"), ("check", str(job)))
    for command, code in zip(commands, (3, 0, 0, 0), strict=True):
        words = [sys.executable, "-m", "batchsum", *command]
        done = subprocess.run(words, capture_output=True, timeout=60, check=False)
        assert done.returncode == code
        assert b"a bug" not in done.stderr
        assert (b"Grippe \\u2013 \\u03a9" in done.stdout + done.stderr) is (command[0] != "check")


@pytest.mark.parametrize("command", [["history"], ["explain"], ["report"]])
@pytest.mark.parametrize("broken", ["page", "lock"])
def test_what_the_disk_does_is_no_bug(
    out: Path, tmp_path: Path, command: list[str], broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(out, tmp_path / "out")
    if broken == "page":
        state = tmp_path / "out" / "state.sqlite3"
        content = state.read_bytes()
        state.write_bytes(content[:4096] + bytes(len(content) - 4096))
    else:
        (tmp_path / "out" / ".lock").unlink()
        (tmp_path / "out" / ".lock").mkdir()
    code = main([*command, str(tmp_path / "out"), *(["11320", "all"] if command == ["explain"] else [])])
    told = capsys.readouterr().err
    assert code == (6 if broken == "page" or command == ["report"] else 0)
    assert "a bug" not in told
    assert not code or str(tmp_path / "out") in told


def test_a_demo_goes_into_the_current_directory_and_takes_the_place_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demo-job/job.yaml", "summary.xlsx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert main(["demo", "--out", "."]) == 0, capsys.readouterr().err
    left = {path.name for path in tmp_path.iterdir()}
    assert {"demo-job", "summary.csv", "report.html"} <= left
    assert "summary.xlsx" not in left
    (tmp_path / "thesis.docx").touch()
    assert main(["demo", "--out", "."]) == 6
    assert "holds 'thesis.docx', which is no demo's" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == left | {"thesis.docx"}


def test_a_demo_that_cannot_write_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", "/dev/null/demo"]) == 6
    assert "/dev/null/demo/demo-job: Not a directory" in capsys.readouterr().err
