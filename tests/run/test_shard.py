"""A shard asks its own part and nothing else, whatever becomes of it, at its share of the limit."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.cli import main
from batchsum.config.load import load_job
from batchsum.model.queries import request_key
from batchsum.run.plan import Plan
from batchsum.run.shard import Shard, owner
from tests.builders.sharded_night import ShardedNight
from tests.fakes.scripted_ncbi import Question, scripted_ncbi

ROOT = Path(__file__).parents[2]


@pytest.fixture
def night(tmp_path: Path) -> Iterator[ShardedNight]:
    with scripted_ncbi(rate_limit=None) as server:
        yield ShardedNight(tmp_path, server)


def manifest(directory: Path) -> dict[str, object]:
    return dict(json.loads((directory / "shard.json").read_text()))


@given(st.text(), st.integers(1, 1000))
def test_each_request_has_one_owner(key: str, count: int) -> None:
    assert 1 <= owner(key, count) <= count
    assert Shard(owner(key, count), count).owns(key)


def test_the_owner_stays_the_same_from_version_to_version() -> None:
    keys = ["/virus/taxon/11320/genome", "/virus/taxon/11320/genome?host=human", "/virus/taxon/Virus%20%C3%A9/genome"]
    assert [[owner(key, count) for key in keys] for count in (2, 5)] == [[1, 1, 1], [5, 5, 1]]


def test_parts_are_disjoint_and_together_the_plan() -> None:
    plan = Plan(load_job(ROOT / "configs" / "nightly.yaml"), date(2026, 11, 23))
    parts = [plan.part(one for one in plan.requests() if owner(request_key(one), 4) == index) for index in range(1, 5)]
    requests = [request for part in parts for request in part.requests()]
    assert len(requests) == len(set(requests)) == plan.request_count == sum(part.request_count for part in parts)
    assert set(requests) == set(plan.requests())
    assert all(list(part.queries()) == list(plan.queries()) for part in parts)


def test_shards_ask_nothing_twice(night: ShardedNight) -> None:
    night.ncbi.otherwise = lambda question: {"record_count": 7}
    night.run("one")
    once = night.asked()
    night.shards(4)
    assert night.asked() == once


def test_a_shard_leaves_answers_and_no_table(night: ShardedNight) -> None:
    first, _ = night.shards(2)
    assert {path.name for path in first.iterdir() if path.suffix != ".sqlite3-journal"} == {
        ".lock", "batchsum.log", "shard.json", "state.sqlite3",
    }  # fmt: skip


def test_a_shard_has_its_part_of_the_rate(night: ShardedNight) -> None:
    assert night.run("part", "--shard", "2/4", "--rps", "1000") == 0
    assert manifest(night.directory / "part")["requests_per_second"] == 250


def test_a_part_may_be_empty(night: ShardedNight) -> None:
    plan = Plan(load_job(night.job), date(2026, 11, 23))
    owners = {owner(request_key(request), 1000) for request in plan.requests()}
    nobody = min(set(range(1, 1001)) - owners)
    assert night.run("part", "--shard", f"{nobody}/1000") == 0
    assert manifest(night.directory / "part")["requests"] == 0


def test_without_out_shards_lie_below_the_table(night: ShardedNight) -> None:
    assert main(["run", str(night.job), "--base-url", night.ncbi.base_url, "--shard", "2/2"]) == 0
    assert manifest(night.directory / "out" / "night" / "shards" / "2-of-2")["shard"] == "2/2"


def kept_answers(part: Path) -> set[str]:
    with closing(sqlite3.connect(part / "state.sqlite3")) as state:
        return {request for (request,) in state.execute("SELECT request FROM answers WHERE status != 'skipped'")}


def test_a_killed_shard_goes_on_where_it_was(night: ShardedNight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSUM_TODAY", "2026-11-23")
    night.run("one")
    night.asked()
    enough = threading.Event()

    def delay(question: Question) -> float:
        if len(night.ncbi.asked) == 14:
            enough.set()
        return 0.05 if len(night.ncbi.asked) < 14 else 30.0

    night.ncbi.delay = delay
    part = night.directory / "2" / "1"
    command = ["run", str(night.job), "--base-url", night.ncbi.base_url, "--shard", "1/2", "--out", str(part)]
    with subprocess.Popen([sys.executable, "-m", "batchsum", *command], env={**os.environ}) as process:
        assert enough.wait(30)
        end = time.monotonic() + 30
        while not kept_answers(part) and time.monotonic() < end:
            pass
        process.send_signal(signal.SIGKILL)
    kept = kept_answers(part)
    assert kept
    assert not (part / "shard.json").exists()
    night.ncbi.asked.clear()
    night.ncbi.delay = lambda question: 0.0
    assert main(command) == 0
    doubtful = ("50000", "50001", "60000")
    again = {question.text for question in night.ncbi.asked if question.taxon not in doubtful}
    assert again.isdisjoint(key.removeprefix("/virus/taxon/").replace("/genome", "") for key in kept)
    assert night.run("2/2", "--shard", "2/2") == 0
    assert night.merge("merged", [part, night.directory / "2" / "2"]) == 3
    assert night.files("merged") == night.files("one")


def test_a_finished_shard_begins_anew(night: ShardedNight) -> None:
    first, _ = night.shards(2)
    before = manifest(first)
    once = night.ncbi.counts
    night.shards(2)
    assert manifest(first)["run_id"] != before["run_id"]
    assert night.ncbi.counts["11320"] == 2 * once["11320"]
    with closing(sqlite3.connect(first / "state.sqlite3")) as state:
        assert state.execute("SELECT count(DISTINCT run) FROM answers").fetchone() == (1,)


def test_a_part_that_an_outage_left_without_an_answer_is_not_finished(night: ShardedNight) -> None:
    night.job.write_text(night.job.read_text().replace("attempts: 1", "attempts: 1, max_outage: 1s"))
    night.ncbi.otherwise = lambda question: (500, "oops")
    assert night.run("part", "--shard", "1/2") == 4
    assert not (night.directory / "part" / "shard.json").exists()
    night.ncbi.otherwise = night.answer
    assert night.run("part", "--shard", "1/2") == 0
    assert manifest(night.directory / "part")["unanswered"] == 0


def test_a_shard_does_not_go_where_a_table_is(night: ShardedNight, capsys: pytest.CaptureFixture[str]) -> None:
    night.run("one")
    night.ncbi.asked.clear()
    assert night.run("one", "--shard", "1/2") == 2
    assert "give each shard a directory of its own" in capsys.readouterr().err
    assert night.ncbi.asked == []


def test_a_pipeline_says_which_day_it_is(night: ShardedNight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSUM_TODAY", "2026-03-01")
    shards = night.shards(2)
    assert {manifest(shard)["today"] for shard in shards} == {"2026-03-01"}
    assert "11320?released_since=2026-02-22T00:00:00Z" in night.ncbi.counts
    assert night.merge("merged", shards) == 3
    assert night.manifest("merged")["today"] == "2026-03-01"


def test_a_run_of_another_day_is_not_gone_on_with(night: ShardedNight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSUM_TODAY", "2026-03-01")
    with monkeypatch.context() as patched:
        patched.setattr("batchsum.run.shard._finish", lambda *_: 1 / 0)
        assert night.run("part", "--shard", "1/2") == 1
    monkeypatch.setenv("BATCHSUM_TODAY", "2026-03-02")
    assert night.run("part", "--shard", "1/2") == 0
    assert manifest(night.directory / "part")["today"] == "2026-03-02"


def test_a_day_that_is_none_is_refused(
    night: ShardedNight, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATCHSUM_TODAY", "tomorrow")
    assert night.run("part", "--shard", "1/2") == 2
    assert "BATCHSUM_TODAY: 'tomorrow' is not a date" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "a/b", "1/2/3", "-1/2", "1/1001", "\u0661/2", ""])
def test_what_is_no_shard(night: ShardedNight, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert night.run("part", f"--shard={text}") == 2
    assert "is not I/N" in capsys.readouterr().err
