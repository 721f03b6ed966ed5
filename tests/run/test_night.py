"""Whole nights through the command line, against a server that says exactly what the test scripts."""

import json
import random
from pathlib import Path

import pytest

from batchsum.output import changes, table
from tests.builders.jobs import count_by_text, night, rows, write_job
from tests.fakes.scripted_ncbi import ScriptedNcbi

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_table_is_the_golden_one_whatever_the_order_of_answers(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    ncbi.otherwise = count_by_text
    shuffled = random.Random(7)
    ncbi.delay = lambda question: shuffled.random() / 50
    job = write_job(tmp_path)
    assert night(job, ncbi, "--format", "csv,tsv,jsonl") == 0
    for name in ("summary.csv", "summary.tsv", "summary.jsonl", "changes.csv", "counts.csv"):
        # Not compared in the assertion, whose message would be the place of the first byte.
        is_golden = (tmp_path / "out/night" / name).read_bytes() == (GOLDEN / "night" / name).read_bytes()
        assert is_golden, f"{name} is another one: run python -m tests.builders.golden_night, and read what changed"
    assert len(ncbi.asked) == 28


def test_header_is_the_contracts(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = write_job(tmp_path)
    night(job, ncbi)
    header = (tmp_path / "out/night/summary.csv").read_text().splitlines()[0]
    assert header == ",".join(table.COLUMNS)
    assert header.startswith(
        "taxon,tax_id,scientific_name,label,filter_set,status,record_count,previous_record_count,record_count_change,"
        "error,messages,accessions,refseq_only,annotated_only,released_since,released_before,updated_since,"
        "host,pangolin_classification,geo_location,usa_state,complete_only,include_sequence,aux_report,"
        "assembly_count,resource_updated_on,hydrated_estimated_file_size_mb,"
    )
    assert header.endswith(",annotation_report_file_count,annotation_report_size_mb")
    assert (tmp_path / "out/night/changes.csv").read_text() == ",".join(changes.COLUMNS) + "\n"


def test_what_is_asked_twice_costs_one_request(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = write_job(
        tmp_path,
        'version: 1\nname: night\ntaxa: [11320, "11320", 11320]\n'
        "filter_sets: {all: {}, again: {complete_only: false}}\n",
    )
    assert night(job, ncbi) == 0
    assert [question.text for question in ncbi.asked] == ["11320"]
    assert len(rows(job)) == 6


def test_nothing_is_said_when_nobody_watches(
    ncbi: ScriptedNcbi, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert night(write_job(tmp_path), ncbi) == 0
    assert capfd.readouterr() == ("", "")


def test_a_second_night_without_news_changes_nothing(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    ncbi.otherwise = count_by_text
    job = write_job(tmp_path)
    assert night(job, ncbi) == 0
    assert {row["previous_record_count"] for row in rows(job)} == {""}
    assert night(job, ncbi) == 0
    second = (tmp_path / "out/night/summary.csv").read_bytes()
    assert {row["record_count_change"] for row in rows(job)} == {"0"}
    assert rows(job, "changes.csv") == []
    assert night(job, ncbi) == 0
    assert (tmp_path / "out/night/summary.csv").read_bytes() == second


def test_statuses_are_the_contracts(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    ncbi.answers = {
        "1": {"record_count": 0},
        "2": {},
        "3": {"hydrated": {"estimated_file_size_mb": 4}},
        "4": {"record_count": 3, "errors": [{"message": "half of it is missing"}]},
        "5": {"errors": [{"message": "The taxon '5' is not a recognized taxonomy name"}]},
        "6": (404, {"code": 5, "message": "taxon 6 not found"}),
        "7": (400, {"code": 3, "message": "no such parameter"}),
        "8": {"record_count": None},
        "9": '{"record_count": 12',
        "10": {"record_count": 5},
    }
    job = write_job(
        tmp_path,
        f"version: 1\nname: night\ntaxa: [{', '.join(ncbi.answers)}]\napi: {{attempts: 1}}\n",
    )
    assert night(job, ncbi) == 3
    told = {row["taxon"]: (row["status"], row["record_count"], row["error"].partition(":")[0]) for row in rows(job)}
    assert told == {
        "1": ("empty", "0", ""),
        "2": ("empty", "0", ""),
        "3": ("suspect", "", "contradicts_itself"),
        "4": ("suspect", "3", "contradicts_itself"),
        "5": ("rejected", "", "unknown_taxon"),
        "6": ("rejected", "", "unknown_taxon"),
        "7": ("rejected", "", "bad_request"),
        "8": ("failed", "", "bad_answer"),
        "9": ("failed", "", "bad_answer"),
        "10": ("ok", "5", ""),
    }
    # A permanent error costs one request; what is doubtful is asked once more; the canary was needed once.
    assert ncbi.counts == {**dict.fromkeys(ncbi.answers, 1), "3": 2, "4": 2, "8": 2, "9": 2, "2697049": 1}


def test_nothing_usable_leaves_last_nights_files_alone(
    ncbi: ScriptedNcbi, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, "version: 1\nname: night\ntaxa: [11320]\napi: {attempts: 1}\n")
    assert night(job, ncbi) == 0
    before = (tmp_path / "out/night/summary.csv").read_bytes(), (tmp_path / "out/night/run.json").read_bytes()
    ncbi.answers = {"11320": (500, "oops")}
    assert night(job, ncbi) == 4
    assert ((tmp_path / "out/night/summary.csv").read_bytes(), (tmp_path / "out/night/run.json").read_bytes()) == before
    out, err = capfd.readouterr()
    assert out == ""
    assert "nothing usable: no row has an answer; 1 failed: http_500; the files of the last table" in err
    assert "\n  new tonight\n" in err
    assert f"\n  page: {tmp_path}/out/night/report.html\n" in err
    ncbi.answers = {}
    assert night(job, ncbi) == 0


@pytest.mark.parametrize("answer", [(500, "oops"), (302, "")])
def test_nights_without_a_table_say_since_when(
    answer: tuple[int, str], ncbi: ScriptedNcbi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    told = tmp_path / "told.json"
    job = write_job(
        tmp_path,
        "version: 1\nname: night\ntaxa: [11320]\napi: {attempts: 1, max_outage: 1s}\n"
        f"notify: {{on_failure: [/bin/sh, -c, 'cat > {told}']}}\n",
    )
    for day, expected in (("20", ""), ("21", "\n  new tonight\n"), ("22", "\n  no table since 2026-11-21\n")):
        monkeypatch.setenv("BATCHSUM_TODAY", f"2026-11-{day}")
        night(job, ncbi)
        assert expected in capfd.readouterr().err
        ncbi.otherwise = lambda question: answer
    problems = json.loads(told.read_text())["problems"]
    assert {problem["since"] for problem in problems} == ({"2026-11-21"} if answer[0] == 500 else set())


def test_a_window_is_two_questions_subtracted(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    ncbi.answers = {
        "11320?released_since=2025-01-01T00:00:00Z": {"record_count": 90, "hydrated": {"estimated_file_size_mb": 9}},
        "11320?released_since=2025-02-01T00:00:00Z": {
            "record_count": 70,
            "hydrated": {"estimated_file_size_mb": 7},
            "messages": [{"warning": {"message": "sizes are estimates"}}],
        },
        "11520?released_since=2025-01-01T00:00:00Z": {"record_count": 10},
        "11520?released_since=2025-02-01T00:00:00Z": {"record_count": 11},
    }
    job = write_job(
        tmp_path,
        "version: 1\nname: night\ntaxa: [11320, 11520]\n"
        "filter_sets: {january: {released_between: [2025-01-01, 2025-02-01]}}\n",
    )
    assert night(job, ncbi) == 3
    good, bad = rows(job)
    assert (good["status"], good["record_count"], good["hydrated_estimated_file_size_mb"]) == ("ok", "20", "2")
    assert (good["released_since"], good["released_before"]) == ("2025-01-01", "2025-02-01")
    assert good["messages"] == "sizes are estimates"
    assert (bad["status"], bad["record_count"]) == ("suspect", "")
    assert bad["error"].startswith("contradicts_itself: ")
    page = (tmp_path / "out/night/report.html").read_text()
    assert page.count("sizes are estimates") == 1


def test_the_manifest_names_every_file_with_its_digest(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    import hashlib

    job = write_job(tmp_path)
    assert night(job, ncbi) == 0
    directory = tmp_path / "out/night"
    manifest = json.loads((directory / "run.json").read_text())
    assert {"summary.csv", "changes.csv"} <= manifest["files"].keys()
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == digest
    assert manifest["statuses"]["ok"] == 28
    assert manifest["http_statuses"] == {"200": 28}
    assert manifest["resolved_dates"] == {"parts": {"released_since": "2025-01-15"}}
