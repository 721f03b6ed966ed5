"""Windows on nights of common dates: computed from one state of NCBI's data, or not believed."""

import os
import signal
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from batchsum.cli import main
from batchsum.store.journal import Journal
from tests.builders.jobs import job_text, manifest, night, rows, write_job
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi

FRESH, LATER, OLD = "2026-09-01T04:00:00Z", "2026-09-02T04:30:00Z", "2026-08-28T04:00:00Z"


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSUM_TODAY", "2026-09-02")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_windows(tmp_path, 41, 42, 43)


def write_windows(directory: Path, *taxa: int, **api: int) -> Path:
    sets = {"weekly": {"windows": {"every": "7d", "last": 5}}}
    return write_job(directory, job_text(*taxa, filter_sets=sets, api={"attempts": 1, **api}))


def edge(question: Question) -> str:
    return dict(question.parameters)["released_since"][:10]


def state(question: Question, moment: str) -> dict[str, Any]:
    """What NCBI has at a moment: 7 records a day and taxon; 40 fewer in the old copy, wherever they are looked for."""
    days = int(edge(question).replace("-", "")[4:])
    count = 10_000 - 7 * days - (40 if moment == OLD else 0)
    return {"record_count": count, "assembly_count": count, "resource_updated_on": moment}


def differences(job: Path) -> set[bool]:
    """Whether each believed row is the difference of one state; the days of the month stand for records."""
    found = set()
    for row in rows(job):
        first, last = (int(row[name].replace("-", "")[4:]) for name in ("released_since", "released_before"))
        if row["status"] == "ok":
            found.add(int(row["record_count"]) == 7 * (last - first))
    return found


def test_edges_of_different_states_are_asked_again_until_they_fit(ncbi: ScriptedNcbi, job: Path) -> None:
    chance = Random(5)
    ncbi.otherwise = lambda question: state(question, OLD if chance.random() < 0.5 else FRESH)
    assert night(job, ncbi) == 0
    assert differences(job) == {True}
    assert len(rows(job)) == 15
    assert max(ncbi.counts.values()) <= 5
    # Nothing is left to do on a night when all answers are of one state.
    ncbi.otherwise = lambda question: state(question, LATER)
    assert night(job, ncbi) == 0
    assert set(ncbi.counts.values()) == {1}


def test_the_edges_of_a_window_are_asked_one_right_behind_the_other(ncbi: ScriptedNcbi, job: Path) -> None:
    """NCBI brings its new data in just while the edges are asked."""
    write_windows(job.parent, 42, workers=1)
    ncbi.otherwise = lambda question: state(question, FRESH if len(ncbi.asked) <= 3 else LATER)
    assert night(job, ncbi) == 0
    assert differences(job) == {True}
    edges = [edge(question) for question in ncbi.asked]
    assert edges[6:] == edges[2:4]  # of the one window that was torn


def test_an_edge_without_a_partner_makes_its_windows_suspect(ncbi: ScriptedNcbi, job: Path) -> None:
    middle = "2026-08-17T00:00:00Z"[:10]

    def answer(question: Question) -> dict[str, Any]:
        return state(question, OLD if question.taxon == "42" and edge(question) == middle else FRESH)

    ncbi.otherwise = answer
    assert night(job, ncbi) == 3
    doubtful = [row for row in rows(job) if row["status"] != "ok"]
    assert [(row["taxon"], row["filter_set"]) for row in doubtful] == [
        ("42", "weekly/2026-08-10"), ("42", f"weekly/{middle}"),
    ]  # fmt: skip
    assert all(row["error"].startswith("contradicts_itself: the window's edges are of different") for row in doubtful)
    assert differences(job) == {True}
    # Four times again and no more: those two windows have three edges.
    assert sorted(ncbi.counts.values()) == [1] * 15 + [5] * 3


def test_neighbours_may_use_different_answers_of_the_edge_between_them(ncbi: ScriptedNcbi, job: Path) -> None:
    """The first edge is answered from the old copy alone, the last ones from the new one, the second from either."""
    write_windows(job.parent, 42)
    days = [f"2026-07-{day}" for day in (27,)] + [f"2026-08-{day:02}" for day in (3, 10, 17, 24, 31)]

    def answer(question: Question) -> dict[str, Any]:
        at, count = edge(question), ncbi.counts[question.text]
        return state(question, OLD if at == days[0] or (at == days[1] and count == 1) else FRESH)

    ncbi.otherwise = answer
    assert night(job, ncbi) == 0
    assert differences(job) == {True}
    assert {row["filter_set"]: row["resource_updated_on"] for row in rows(job)} == {
        f"weekly/{since}": OLD if since == days[0] else FRESH for since, _ in pairwise(days)
    }


def test_a_zero_without_a_date_at_the_end_of_a_window_may_be_the_old_copys(ncbi: ScriptedNcbi, job: Path) -> None:
    """The old copy ends before the last edge, and its zero has no date, as NCBI's zeros may have none."""
    chance = Random(5)

    def answer(question: Question) -> dict[str, Any]:
        told = state(question, OLD if chance.random() < 0.5 else FRESH)
        is_zero = told["resource_updated_on"] == OLD and edge(question) == "2026-08-31"
        return {"record_count": 0} if is_zero else told

    ncbi.otherwise = answer
    assert night(job, ncbi) == 0
    last = {row["taxon"]: row for row in rows(job) if row["filter_set"] == "weekly/2026-08-24"}
    fresh = {taxon: row["record_count"] for taxon, row in last.items() if row["resource_updated_on"] == FRESH}
    assert len(last) == 3
    assert set(fresh.values()) == {"49"}
    assert max(ncbi.counts.values()) <= 5


def test_an_edge_with_records_and_without_a_date_contradicts_none(ncbi: ScriptedNcbi, job: Path) -> None:
    """Also where windows of another taxon show that copies a day apart answer."""

    def answer(question: Question) -> dict[str, Any]:
        told = state(question, OLD if question.taxon == "43" and edge(question) == "2026-08-03" else FRESH)
        return (
            {**told, "resource_updated_on": None} if question.taxon == "41" and edge(question) > "2026-08-20" else told
        )

    ncbi.otherwise = answer
    assert night(job, ncbi) == 3
    assert {row["taxon"] for row in rows(job) if row["status"] == "suspect"} == {"43"}
    assert {ncbi.counts[text] for text in ncbi.counts if text.startswith("41")} == {1}


@pytest.mark.parametrize("seed", range(25))
def test_no_window_mixes_a_zero_of_the_older_copy_with_a_count_of_the_newer(
    ncbi: ScriptedNcbi, job: Path, seed: int
) -> None:
    """Records come every day to one taxon, once in five days to another, and no more to the third; zeros have no date.
    The older copy answers for the last edges nearly always, for the others now and then."""
    last = date(2026, 9, 2)
    every = {"41": 1, "42": 5}
    released = {taxon: [last - timedelta(days=n) for n in range(0, 90, days)] for taxon, days in every.items()}
    released["43"] = [date(2026, 8, 20)]
    job.write_text(job.read_text().replace("every: 7d, last: 5", "every: 1d, last: 9"))

    def count(taxon: str, since: str, copy: str) -> int:
        return sum(since <= f"{day}" <= copy[:10] for day in released[taxon])

    def answer(question: Question) -> dict[str, Any]:
        is_last = edge(question) > OLD[:10]
        # By lot, but the same in whatever order the questions come.
        lot = Random(f"d {seed} {question.text} {ncbi.counts[question.text]}").random()
        copy = OLD if lot < (0.9 if is_last and seed % 2 else 0.5) else LATER
        number = count(question.taxon, edge(question), copy)
        return {"record_count": number, "resource_updated_on": copy} if number else {}

    ncbi.otherwise = answer
    assert night(job, ncbi) in (0, 3)
    for row in rows(job):
        of_a_copy = [
            count(row["taxon"], row["released_since"], copy) - count(row["taxon"], row["released_before"], copy)
            for copy in (OLD, LATER)
        ]
        assert row["status"] == "suspect" or int(row["record_count"]) in of_a_copy, row
    assert max(ncbi.counts.values()) <= 6
    assert all(row["status"] != "suspect" for row in rows(job) if row["taxon"] == "43")


def test_an_update_amid_the_asking_makes_no_zero_doubtful(ncbi: ScriptedNcbi, job: Path) -> None:
    """The new data are a day younger; no taxon has a record of today in them, and zeros have no date."""

    def answer(question: Question) -> dict[str, Any]:
        told = state(question, "2026-09-01T04:30:00Z" if len(ncbi.asked) <= 6 else LATER)
        return {"record_count": 0} if edge(question) == "2026-08-31" else told

    ncbi.otherwise = answer
    assert night(job, ncbi) == 0
    assert differences(job) <= {True, False}
    assert {row["status"] for row in rows(job)} == {"ok"}


def test_with_dates_of_the_rows_own_the_inner_edge_must_not_be_newer(ncbi: ScriptedNcbi, job: Path) -> None:
    def answer(question: Question) -> dict[str, Any]:
        """The later an edge, the older the last update behind it; but for one edge."""
        weeks = (date.fromisoformat(edge(question)) - date(2026, 7, 27)).days // 7
        moved = 5 if (question.taxon, edge(question)) == ("43", "2026-08-24") else 0
        day = 28 - 3 * weeks - int(question.taxon) % 41 + moved
        return {**state(question, FRESH), "resource_updated_on": f"2026-06-{day:02}"}

    ncbi.otherwise = answer
    assert night(job, ncbi) == 3
    assert [row["filter_set"] for row in rows(job) if row["error"].startswith("contradicts_itself")] == [
        "weekly/2026-08-17"
    ]


def test_a_kill_among_the_edges_loses_none_and_asks_none_twice(
    ncbi: ScriptedNcbi, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_windows(job.parent, 42, workers=1)
    ncbi.otherwise = lambda question: state(question, FRESH if len(ncbi.asked) <= 3 else LATER)
    put, killed = Journal.put, list[str]()

    def die(journal: Journal, key: str, round_: int, reply: Any) -> None:
        put(journal, key, round_, reply)
        if len(reply.attempts) > 1:  # an edge was asked again
            killed.append(key)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Journal, "put", die)
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 130
    assert killed
    monkeypatch.setattr(Journal, "put", put)
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    assert max(ncbi.counts.values()) == 2
    assert differences(job) == {True}
    assert manifest(job)["data_date"] == LATER
