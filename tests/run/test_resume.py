"""Going on with a night that was stopped: what is asked again, what is dropped, and what is said of it."""

import csv
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchsum.cli import main
from batchsum.model.queries import CANARY
from tests.builders.jobs import manifest, next_day, write_job
from tests.fakes.raw_server import RawServer, answer, error, raw_server, summary

JOB = """\
version: 1
name: night
taxa: [1, 2, 3, 4, 5]
filter_sets:
  all: {}
  week: {released_since: 7d}
  january: {released_between: [2025-01-01, 2025-02-01]}
api: {requests_per_second: unlimited, attempts: 1, workers: 1}
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(tmp_path, JOB)


def night(job: Path, raw: RawServer, *options: str) -> int:
    raw.arrivals.clear()
    with next_day(job):
        return main(["run", str(job), "--base-url", raw.base_url, *options])


def same_command(job: Path, raw: RawServer) -> int:
    """Without a word about the day."""
    raw.arrivals.clear()
    return main(["run", str(job), "--base-url", raw.base_url])


def stopped(job: Path, raw: RawServer) -> None:
    """The server answers for taxa 1 and 2, and takes us no more at taxon 3."""
    for taxon in ("3", CANARY):
        raw.on(taxon, error(401, "who are you"))
    assert night(job, raw) == 5
    assert raw.counts == {"1": 4, "2": 4, "3": 1, CANARY: 1}
    for taxon in ("3", CANARY):
        raw.on(taxon)


def execute(job: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(job.parent / "out/night/state.sqlite3")
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def table(job: Path) -> bytes:
    return (job.parent / "out/night/summary.csv").read_bytes()


def log_of(job: Path) -> str:
    return (job.parent / "out/night/batchsum.log").read_text()


def test_what_was_answered_is_not_asked_again(job: Path, raw: RawServer, tmp_path: Path) -> None:
    stopped(job, raw)
    assert night(job, raw) == 0
    assert raw.counts == {"3": 4, "4": 4, "5": 4}
    assert "resumed; 8 answers are here already" in log_of(job)
    other = tmp_path / "undisturbed" / "night.yaml"
    other.parent.mkdir()
    other.write_text(JOB)
    assert night(other, raw) == 0
    assert table(job) == table(other)


def test_half_of_a_window_is_enough_to_ask_for_the_other(job: Path, raw: RawServer) -> None:
    stopped(job, raw)
    execute(job, "DELETE FROM answers WHERE request LIKE '/virus/taxon/2/%2025-02-01%'")
    assert night(job, raw) == 0
    assert [arrival.target.rpartition("=")[2] for arrival in raw.arrivals if arrival.taxon == "2"] == [
        "2025-02-01T00%3A00%3A00Z"
    ]


def test_relative_dates_stay_those_of_the_evening(job: Path, raw: RawServer) -> None:
    stopped(job, raw)
    execute(job, "DELETE FROM answers")
    execute(job, "UPDATE runs SET today = '2026-01-08'")
    assert same_command(job, raw) == 0
    assert sum("2026-01-01T" in arrival.target for arrival in raw.arrivals) == 5
    assert manifest(job)["today"] == "2026-01-08"


def test_a_changed_job_keeps_the_answers_that_still_fit(job: Path, raw: RawServer) -> None:
    stopped(job, raw)
    job.write_text(JOB.replace("[1, 2, 3, 4, 5]", "[7, 2, 1]").replace("  week: {released_since: 7d}\n", ""))
    assert night(job, raw) == 0
    assert raw.counts == {"7": 3}
    with (job.parent / "out/night/summary.csv").open(newline="") as file:
        assert [row["taxon"] for row in csv.DictReader(file)] == ["7", "7", "2", "2", "1", "1"]
    assert "the job was changed" in log_of(job)
    # And the next night compares with this job, not with the one that was begun.
    assert night(job, raw) == 0
    assert (job.parent / "out/night/changes.csv").read_text().count("\n") == 1


def test_fresh_asks_everything_again(job: Path, raw: RawServer) -> None:
    stopped(job, raw)
    assert night(job, raw, "--fresh") == 0
    assert raw.counts == dict.fromkeys("12345", 4)
    assert "is dropped with 8 answers: --fresh was given" in log_of(job)


def test_a_failure_is_that_of_its_query_where_the_run_was_answered_before(job: Path, raw: RawServer) -> None:
    # In a run that was answered nothing yet it would be taken for an outage, and the query asked once more for it.
    stopped(job, raw)
    raw.on("3", error(500, "internal error"))
    assert night(job, raw) == 3
    assert raw.counts == {"3": 8, "4": 4, "5": 4}  # once, and once more in the second round


def test_a_run_that_kept_nothing_but_failures_waits_for_the_first_word(job: Path, raw: RawServer) -> None:
    stopped(job, raw)
    failure = '{"status": "failed", "reason": "timeout", "detail": ""}'
    execute(job, "UPDATE answers SET status = 'failed', answer = ?", failure)
    raw.on("3", error(500, "internal error"), summary(5))
    assert night(job, raw) == 0
    assert raw.counts[CANARY] == 1


@pytest.mark.parametrize(("hours", "resumed"), [(11, True), (13, False), (-1, True), (-13, False)])
def test_a_run_of_last_night_is_not_resumed(
    job: Path, raw: RawServer, hours: int, resumed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    stopped(job, raw)
    began = (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")
    execute(job, "UPDATE runs SET started_at = ?", began)
    capfd.readouterr()
    raw.on("5", error(404, "no such taxon"))
    assert night(job, raw) == 3
    assert ("1" in raw.counts) != resumed
    said = "was not finished, and is dropped with 8 answers: it is from " + began
    assert (said in capfd.readouterr().err) != resumed
    assert (said in log_of(job)) != resumed
    assert execute(job, "SELECT state FROM runs") == ([("published",)] if resumed else [("failed",), ("published",)])


def test_another_server_is_asked_from_the_beginning(job: Path, raw: RawServer) -> None:
    stopped(job, raw)
    with raw_server() as other:
        other.always(answer(200, {"record_count": 8}))
        assert night(job, other) == 0
        assert other.counts.total() == 20
    assert b",7," not in table(job)


def test_what_was_refused_costs_the_nights_before_nothing(job: Path, raw: RawServer) -> None:
    assert night(job, raw) == 0
    before = table(job)
    stopped(job, raw)
    assert table(job) == before
    assert night(job, raw, "--fresh") == 0
    with (job.parent / "out/night/summary.csv").open(newline="") as file:
        assert {row["previous_record_count"] for row in csv.DictReader(file)} == {"7", "0"}


def cut_off_while_publishing(job: Path, raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchsum.run import publish

    def cut(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(publish, "put_in_place", cut)
        assert night(job, raw) == 6
    assert execute(job, "SELECT state FROM runs ORDER BY run DESC LIMIT 1") == [("publishing",)]


def test_a_publication_is_finished_without_a_question(
    job: Path, raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off_while_publishing(job, raw, monkeypatch)
    assert night(job, raw) == 0
    assert raw.arrivals == []
    assert len(table(job).splitlines()) == 16
    assert manifest(job)["generation"] == 1


@pytest.mark.parametrize("change", ["fresh", "old", "job"])
def test_then_the_new_night_begins_where_it_is_another(
    job: Path, raw: RawServer, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    cut_off_while_publishing(job, raw, monkeypatch)
    if change == "old":
        execute(job, "UPDATE runs SET started_at = '2026-01-01T03:00:00Z'")
    if change == "job":
        job.write_text(JOB.replace("[1, 2", "[6, 2"))
    assert night(job, raw, *(["--fresh"] if change == "fresh" else [])) == 0
    assert raw.counts.total() == 20
    assert manifest(job)["generation"] == 2
    assert execute(job, "SELECT state FROM runs") == [("replaced",), ("published",)]


def test_files_that_are_gone_are_made_again_from_the_answers(
    job: Path, raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off_while_publishing(job, raw, monkeypatch)
    for path in (job.parent / "out/night").glob(".summary*"):
        path.unlink()
    assert night(job, raw) == 0
    assert raw.arrivals == []
    assert len(table(job).splitlines()) == 16
    assert "made again from its answers" in log_of(job)


def test_outputs_that_were_taken_away_do_not_stop_the_run(job: Path, raw: RawServer) -> None:
    """The manifest that was there when the run began is gone when it is resumed."""
    assert night(job, raw) == 0
    stopped(job, raw)
    for name in ("run.json", "summary.csv", "changes.csv"):
        (job.parent / "out/night" / name).unlink()
    assert same_command(job, raw) == 0
    assert raw.counts == {"3": 4, "4": 4, "5": 4}
