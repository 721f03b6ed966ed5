"""The log: one line an event, for people or for machines; and nothing on a terminal that nobody watches."""

import json
import logging
import re
from pathlib import Path

import pytest

from batchsum.cli import main
from batchsum.cli.log import configure
from batchsum.cli.terminal import hide
from batchsum.run import ask
from tests.builders.jobs import job_text, write_job
from tests.fakes.raw_server import RawServer, answer, error


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(tmp_path, job_text(11320, 11520, api={"attempts": 2}))


def night(job: Path, raw: RawServer, *options: str) -> int:
    return main(["run", str(job), "--base-url", raw.base_url, *options])


def log_of(job: Path) -> str:
    return (job.parent / "out/night/batchsum.log").read_text()


def test_a_night_in_order_is_a_few_lines(raw: RawServer, job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert night(job, raw) == 0
    assert capfd.readouterr() == ("", "")
    lines = log_of(job).splitlines()
    assert 3 <= len(lines) <= 6
    for line in lines:
        assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line)
    run_id = json.loads((job.parent / "out/night/run.json").read_bytes())["run_id"]
    assert f"run {run_id}: 2 queries, 2 requests to {raw.base_url}" in lines[0]


def test_json_has_run_request_attempt_status_and_phid(raw: RawServer, job: Path) -> None:
    raw.on("11320", error(503), answer(200, {"record_count": 7}, {"NCBI-PHID": "TEST0001"}))
    raw.on("11520", error(404, "taxon 11520 not found"))
    assert night(job, raw, "-v", "--log-format", "json") == 3
    events = [json.loads(line) for line in log_of(job).splitlines()]
    run_id = json.loads((job.parent / "out/night/run.json").read_bytes())["run_id"]
    of_run = [event for event in events if "run_id" in event]
    assert {event["run_id"] for event in of_run} == {run_id}
    assert len(of_run) > 5
    attempts = [event for event in of_run if "attempt" in event]
    seen = [(event["request"], event["attempt"], event["http_status"]) for event in attempts]
    assert ("/virus/taxon/11320/genome", 1, 503) in seen
    assert ("/virus/taxon/11320/genome", 2, 200) in seen
    assert "TEST0001" in [event["phid"] for event in attempts]
    failures = [event for event in of_run if event.get("status") == "rejected"]
    assert [(event["request"], event["http_status"]) for event in failures] == [("/virus/taxon/11520/genome", 404)]
    assert {event["level"] for event in events} <= {"debug", "info", "warning"}


def test_verbose_is_on_stderr_too(raw: RawServer, job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert night(job, raw, "-v") == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err == log_of(job)
    assert "attempt 1: answered, HTTP 200, PHID " in err


def test_failures_are_told_but_do_not_flood(raw: RawServer, tmp_path: Path) -> None:
    job = tmp_path / "night.yaml"
    job.write_text(job_text(*range(1, 120), api={"attempts": 2}))
    raw.always(error(404, "no such taxon"))
    raw.on("2697049", answer(200, {"record_count": 7}))
    assert night(job, raw) == 3
    log = log_of(job)
    assert log.count(": rejected: unknown_taxon") == ask.MOST_LOGGED
    assert len(log.splitlines()) < ask.MOST_LOGGED + 10


def test_a_log_file_of_ones_own(raw: RawServer, job: Path, tmp_path: Path) -> None:
    assert night(job, raw, "--log-file", str(tmp_path / "logs" / "tonight.log")) == 0
    assert "2 queries" in (tmp_path / "logs" / "tonight.log").read_text()
    assert not (job.parent / "out/night/batchsum.log").exists()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("night.yaml", 2, "night.yaml is a file of the job; name another"),
        ("out/night/run.json", 2, "run.json is a file of the job; name another"),
        ("out/night/state.sqlite3", 2, "state.sqlite3 is a file of the job; name another"),
        ("", 6, "cannot be written: Is a directory; write another --log-file"),
        ("night.yaml/log", 6, "night.yaml is a file; write another --log-file"),
    ],
)
def test_no_log_is_written_over_what_the_night_needs(
    raw: RawServer, job: Path, name: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = job.read_text()
    assert night(job, raw, "--log-file", str(job.parent / name)) == code
    assert words in capsys.readouterr().err
    assert job.read_text() == text
    assert raw.arrivals == []


@pytest.mark.parametrize("json_lines", [False, True])
def test_the_key_is_taken_out_of_message_field_and_traceback(tmp_path: Path, json_lines: bool) -> None:
    configure(verbose=False, file=tmp_path / "log", json_lines=json_lines)
    hide("s3cr3tk3y")
    log = logging.getLogger("batchsum")
    try:
        raise ValueError("with s3cr3tk3y inside")
    except ValueError:
        log.exception("key %s", "s3cr3tk3y", extra={"url": "https://x/?k=s3cr3tk3y"})
    text = (tmp_path / "log").read_text()
    assert "s3cr3tk3y" not in text
    assert "ValueError: with [key] inside" in text
    assert len(text.splitlines()) == (1 if json_lines else text.count("\n"))


def test_one_event_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    configure(verbose=False, file=tmp_path / "log", json_lines=False)
    logging.getLogger("batchsum").info("two\nlines \udc80 of %s", "text\n\n")
    assert (tmp_path / "log").read_text().count("\n") == 1
