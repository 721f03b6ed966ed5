"""Nights on which NCBI dates its whole resource, and nights on which rows have dates of their own."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders.jobs import job_text, manifest, night, rows, write_job
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi

TAXA = [f"{30 + number}" for number in range(12)]
TODAY = date(2026, 9, 2)  # a Wednesday


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(
        tmp_path, job_text(*TAXA, filter_sets={"all": {}, "human": {"host": "human"}}, api={"attempts": 1})
    )


def says(count: int, on: str | None) -> dict[str, Any]:
    return {"record_count": count, "assembly_count": count, "resource_updated_on": on}


def size(question: Question) -> int:
    """A count that each taxon has for itself; fewer for humans."""
    return 40 * int(question.taxon) // (2 if "host" in dict(question.parameters) else 1)


def test_a_common_date_that_moves_is_told_once_and_changes_no_row(ncbi: ScriptedNcbi, job: Path) -> None:
    for day in range(3):
        moved = f"2026-09-0{day + 1}T04:17:00Z"
        ncbi.otherwise = lambda question, moved=moved: says(size(question), moved)  # type: ignore[misc]
        assert night(job, ncbi, day=TODAY + timedelta(days=day)) == 0
        assert rows(job, "changes.csv") == []
        assert manifest(job)["data_date"] == moved


def test_two_copies_minutes_apart_are_one_common_date(ncbi: ScriptedNcbi, job: Path) -> None:
    """Which copy answers is chance: half of the rows seem to go back by two minutes from one night to the next."""
    for day in range(3):
        ncbi.otherwise = lambda question, day=day: says(  # type: ignore[misc]
            size(question), f"2026-09-01T04:1{(int(question.taxon) + day) % 2 * 2}:00Z"
        )
        assert night(job, ncbi, day=TODAY + timedelta(days=day)) == 0
        assert rows(job, "changes.csv") == []
    assert manifest(job)["data_date"] == "2026-09-01T04:12:00Z"


def test_a_copy_that_is_days_old_is_not_believed(ncbi: ScriptedNcbi, job: Path) -> None:
    def answer(question: Question) -> dict[str, Any]:
        lags = old and question.taxon == "33"
        return says(size(question), "2026-08-29T04:00:00Z" if lags else "2026-09-01T04:00:00Z")

    ncbi.otherwise, old = answer, False
    assert night(job, ncbi, day=TODAY) == 0
    old = True
    assert night(job, ncbi, day=TODAY + timedelta(days=1)) == 3
    assert {row["taxon"] for row in rows(job) if row["error"].startswith("went_back:")} == {"33"}
    assert {row["taxon"] for row in rows(job) if row["status"] != "ok"} == {"33"}
    assert manifest(job)["data_date"] == "2026-09-01T04:00:00Z"


def test_rows_with_dates_of_their_own_are_updated_and_go_back(ncbi: ScriptedNcbi, job: Path) -> None:
    shift = dict.fromkeys(TAXA, 0)
    ncbi.otherwise = lambda question: says(
        size(question), f"2026-08-{int(question.taxon) - 25 + shift[question.taxon]:02}"
    )
    assert night(job, ncbi, day=TODAY) == 0
    shift |= {"31": 1, "40": -2}
    assert night(job, ncbi, day=TODAY + timedelta(days=1)) == 3
    assert {(row["taxon"], row["change"]) for row in rows(job, "changes.csv")} == {
        ("31", "updated"), ("40", "became_suspect"),
    }  # fmt: skip
    assert {row["error"].partition(":")[0] for row in rows(job) if row["taxon"] == "40"} == {"went_back"}
    assert manifest(job)["data_date"] is None
