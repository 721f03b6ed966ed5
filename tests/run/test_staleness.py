"""What has not moved for too long is told on the night on which it begins, and then in one line of the page."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.builders.jobs import job_text, manifest, night, rows, write_job
from tests.fakes.scripted_ncbi import ScriptedNcbi

FIRST = date(2026, 4, 1)
Run = Callable[..., list[str]]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_sluggish(tmp_path, 52)


def write_sluggish(directory: Path, *taxa: int, **sections: object) -> Path:
    """A job of taxon 51, called Sluggish, and others."""
    sluggish = {"taxon": 51, "label": "Sluggish"}
    return write_job(
        directory, job_text(sluggish, *taxa, guards={"stale_after": "6d"}, api={"attempts": 1}, **sections)
    )


@pytest.fixture
def on(ncbi: ScriptedNcbi, job: Path) -> Run:
    """Runs the night `day` days after the first, on which each taxon has so many records; gives its warnings."""

    def run(day: int, updated: str | None = None, **counts: int) -> list[str]:
        ncbi.otherwise = lambda question: {
            "record_count": counts.get(f"t{question.taxon}", 60) - 5 * len(question.parameters),
            "resource_updated_on": updated,
        }
        assert night(job, ncbi, day=FIRST + timedelta(days=day)) == 0
        return list(manifest(job)["warnings"])

    return run


def test_a_taxon_whose_counts_do_not_change_is_told_when_that_has_lasted(job: Path, on: Run) -> None:
    assert [on(day, t52=60 + day) for day in range(6)] == [[]] * 6
    told = "no count has changed for a long time: Sluggish (since 2026-04-01)"
    assert on(6, t52=66) == [told]
    assert on(6, t52=66) == [told]  # the same night, replaced
    assert on(7, t52=67) == []
    assert manifest(job)["stale"] == [told]  # as long as it lasts
    assert f"N{told[1:]}" in (job.parent / "out" / "night" / "report.html").read_text()
    assert {row["status"] for row in rows(job)} == {"ok"}
    assert on(8, t51=61, t52=68) == []
    assert manifest(job)["stale"] == []


def test_nights_that_were_not_are_no_evidence_but_time_is(job: Path, on: Run) -> None:
    on(0)
    assert on(5) == []
    assert on(9) == ["no count has changed for a long time: Sluggish (since 2026-04-01), 52 (since 2026-04-01)"]


def test_a_night_that_is_replaced_has_not_changed_the_count(on: Run) -> None:
    on(0, t52=1)
    on(3, t51=75, t52=2)
    on(3, t52=3)  # it was an error of that hour
    assert on(6, t52=4) == ["no count has changed for a long time: Sluggish (since 2026-04-01)"]


def test_what_the_calendar_takes_is_no_change(job: Path, on: Run) -> None:
    write_sluggish(job.parent, 52, filter_sets={"all": {}, "fresh": {"released_since": "5d"}})
    for day in range(6):
        on(day, t52=60 + day)
    assert on(6, t52=66) == ["no count has changed for a long time: Sluggish (since 2026-04-01)"]


def test_what_the_calendar_takes_of_all_taxa_is_not_ncbis_night(job: Path, on: Run) -> None:
    write_sluggish(job.parent, 52, 53, 54, 55, filter_sets={"fresh": {"released_since": "5d"}})
    on(0, **{f"t{taxon}": 80 for taxon in range(51, 56)})
    assert on(1) == []
    assert {row["change"] for row in rows(job, "changes.csv")} == {"rolled"}


def test_of_several_bounds_of_a_taxon_the_longest_counts(job: Path, on: Run) -> None:
    cats = {"host": "cat", "guards": {"stale_after": "9d"}}
    write_sluggish(job.parent, 52, filter_sets={"all": {}, "cats": cats})
    on(0)
    assert on(7) == []
    assert on(9) == ["no count has changed for a long time: Sluggish (since 2026-04-01), 52 (since 2026-04-01)"]


def test_of_many_a_few_are_named(job: Path, on: Run) -> None:
    write_sluggish(job.parent, *range(52, 59))
    on(0)
    (told,) = on(6)
    assert told.endswith(", 55 (since 2026-04-01) and 3 more")


def test_ncbi_as_a_whole_is_stale_when_its_date_stays(job: Path, on: Run) -> None:
    date_then, told = (
        "2026-03-31T05:00:00Z",
        "NCBI's data are those of 2026-03-31 still: nothing of it was updated since",
    )
    for day in range(5):  # four days of nights
        assert on(day, date_then, t51=60 + day, t52=60 + day) == []
    for _ in range(2):
        assert on(5, date_then, t51=65, t52=65) == [told]
    assert on(6, date_then, t51=66, t52=66) == []
    assert manifest(job)["stale"] == [told]
    assert on(7, "2026-04-07T05:00:00Z", t51=67, t52=67) == []
    assert manifest(job)["stale"] == []


def test_ncbi_as_a_whole_is_stale_when_its_date_is_old(on: Run) -> None:
    assert on(0, "2026-03-26") == []  # six days
    assert on(1, "2026-03-26", t51=61, t52=61) == [
        "NCBI's data are those of 2026-03-26 still: nothing of it was updated since"
    ]
