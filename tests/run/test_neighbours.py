"""Rows against those that include them: what is doubted beside a suspect row, and what exceeds a wider one."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.builders.jobs import job_text, night, rows, write_job
from tests.fakes.scripted_taxonomy import ScriptedTaxonomy, node, scripted_taxonomy

TODAY = date(2026, 6, 10)
SINCE = "?released_since={}T00:00:00Z"


@pytest.fixture
def ncbi() -> Iterator[ScriptedTaxonomy]:
    with scripted_taxonomy(rate_limit=None) as server:
        yield server


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_sets(tmp_path)


def write_sets(directory: Path, **more: dict[str, str]) -> Path:
    sets = {"all": {}, "cats": {"host": "cat"}, **more, "fortnight": {"released_since": "14d"}}
    return write_job(directory, job_text(71, 72, filter_sets=sets, api={"attempts": 1}))


def run(ncbi: ScriptedTaxonomy, job: Path, day: int, **counts: int) -> int:
    """The night `day` days on; each row has 90 records, but for those in `counts`."""
    today = TODAY + timedelta(days=day)
    since = SINCE.format(today - timedelta(days=14))
    ncbi.otherwise = lambda question: {
        "record_count": counts.get(f"t{question.text.replace(since, '_fortnight').replace('?host=', '_')}", 90)
    }
    return night(job, ncbi, day=today)


def errors(job: Path) -> dict[str, str]:
    return {f"{row['taxon']}/{row['filter_set']}": row["error"].partition(":")[0] for row in rows(job) if row["error"]}


def test_a_row_that_no_past_can_judge_is_doubted_with_the_wider_one(ncbi: ScriptedTaxonomy, job: Path) -> None:
    assert run(ncbi, job, 0) == 0
    assert run(ncbi, job, 1, t71=31, t71_cat=30, t71_fortnight=11, t72_fortnight=2) == 3
    # The fallen rows speak for themselves; the rolling one of the other taxon has nobody who speaks against it.
    assert errors(job) == {"71/all": "fell", "71/cats": "fell", "71/fortnight": "with_wider"}
    told = {row["filter_set"]: row for row in rows(job) if row["taxon"] == "71"}
    assert told["fortnight"]["record_count"] == "11"
    assert told["fortnight"]["error"].startswith("with_wider: all, which includes it, is suspect: fell: 31 is 65.6 %")
    assert ncbi.counts[f"71{SINCE.format('2026-05-28')}"] == 2
    assert run(ncbi, job, 2) == 0
    assert errors(job) == {}


def test_a_new_row_is_doubted_with_the_wider_one_and_an_old_one_is_not(ncbi: ScriptedTaxonomy, job: Path) -> None:
    assert run(ncbi, job, 0) == 0
    job.write_text(
        job.read_text().replace('"cats": {"host": "cat"}', '"cats": {"host": "cat"}, "dogs": {"host": "dog"}')
    )
    assert run(ncbi, job, 1, t71=40, t71_cat=40, t71_dog=38) == 3
    assert errors(job) == {"71/all": "fell", "71/cats": "fell", "71/dogs": "with_wider", "71/fortnight": "with_wider"}
    assert run(ncbi, job, 2, t71=40, t71_cat=88, t71_dog=38, t71_fortnight=9) == 3
    assert errors(job)["71/dogs"] == "with_wider"  # it was not believed: it still has no past
    assert "71/cats" not in errors(job)  # its own past speaks for it


def test_what_is_accepted_is_doubted_by_nobody(ncbi: ScriptedTaxonomy, job: Path) -> None:
    assert run(ncbi, job, 0) == 0
    ncbi.otherwise = lambda question: {"record_count": 12}
    tomorrow = TODAY + timedelta(days=1)
    assert night(job, ncbi, "--accept", "71/all", "--accept", "71/cats", "--accept", "72", day=tomorrow) == 0
    assert errors(job) == {}


def test_nobody_exceeds_a_row_that_is_suspect_itself(ncbi: ScriptedTaxonomy, job: Path) -> None:
    ncbi.names = {"71": [node(71, "Genus", 1, 10239)], "72": [node(72, "Species", 1, 10239, 71)]}
    assert run(ncbi, job, 0) == 0
    assert run(ncbi, job, 1, t71=31, t71_cat=31, t71_fortnight=11, t72_fortnight=20) == 3
    assert errors(job) == {"71/all": "fell", "71/cats": "fell", "71/fortnight": "with_wider"}


def test_what_is_doubted_for_an_answer_of_the_second_round_is_asked_again(ncbi: ScriptedTaxonomy, job: Path) -> None:
    ncbi.names = {"71": [node(71, "Genus", 1, 10239)], "72": [node(72, "Species", 1, 10239, 71)]}
    said = {"71": [{"assembly_count": 30}, {"record_count": 30}], "71?host=cat": [{"record_count": 20}] * 2}
    ncbi.otherwise = lambda question: said[question.text].pop(0) if said.get(question.text) else {"record_count": 25}
    ncbi.answers = {"72": {"record_count": 40}}
    assert night(job, ncbi, day=TODAY) == 3
    assert errors(job) == {"72/all": "exceeds_wider", "72/cats": "exceeds_wider", "72/fortnight": "with_wider"}
    assert (ncbi.counts["72"], ncbi.counts["72?host=cat"], ncbi.counts["71"]) == (2, 2, 2)


def test_rows_of_a_taxon_share_a_line_only_where_they_share_the_reason(
    ncbi: ScriptedTaxonomy, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ncbi, job, 0) == 0
    ncbi.answers["71?host=cat"] = (500, "{}")
    assert run(ncbi, job, 1, t71=31, t71_fortnight=11) == 3
    told = [line for line in capsys.readouterr().err.splitlines() if "(71)" in line]
    assert told == [
        "  suspect  Virus 71 (71) / all: fell: 31 is 65.6 % below 90 of 2026-06-10; doubted with it: fortnight",
        "  failed   Virus 71 (71) / cats: http_500: Internal Server Error",
    ]
    page = (job.parent / "out" / "night" / "report.html").read_text()
    assert "with it: <bdi>fortnight</bdi>" in page
    assert "71/all 71/fortnight" in page
    assert "71/cats" not in page


def test_a_line_for_several_rows_has_the_figures_of_those_it_names_first(
    ncbi: ScriptedTaxonomy, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ncbi, job, 0) == 0
    assert run(ncbi, job, 1, t71=31, t71_cat=9, t71_fortnight=11) == 3
    (told,) = (line for line in capsys.readouterr().err.splitlines() if "(71)" in line)
    assert " / all: fell: 31 is 65.6 % below 90 of 2026-06-10; likewise cats; doubted with it: fortnight" in told
