"""Night after night: what the table and changes.csv tell of growth, silence, falls, outages and recoveries."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchsum.store.store import Store
from tests.builders.jobs import job_text, manifest, night, rows, write_job
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi

UNKNOWN = (404, {"code": 5, "message": "The taxonomy name is not a recognized virus taxon"})


def says(count: Any, updated: str = "2026-11-20T00:00:00Z") -> dict[str, Any]:
    return {"record_count": count, "assembly_count": count, "resource_updated_on": updated}


def table_says(job: Path) -> dict[str, tuple[str, str, str, str]]:
    """Taxon to status, count, last believed count, and the first word of the error."""
    return {
        row["taxon"]: (
            row["status"], row["record_count"], row["previous_record_count"], row["error"].partition(":")[0]
        )
        for row in rows(job)
    }  # fmt: skip


def changes_say(job: Path) -> dict[str, tuple[str, str, str]]:
    """Taxon to kind of change, difference and per cent."""
    return {
        row["taxon"]: (row["change"], row["record_count_change"], row["change_percent"])
        for row in rows(job, "changes.csv")
    }


def test_seven_nights(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    assert night(job, ncbi) == 0
    assert changes_say(job) == {}

    # Growth, and silence: later data with the same count, as all of NCBI's are.
    ncbi.answers = {"11320": says(110), "11520": says(50, "2026-11-21T00:00:00Z")}
    assert night(job, ncbi) == 0
    assert changes_say(job) == {"11320": ("grew", "10", "10")}

    # A drop: not believed, asked again, and the last good count stands beside it.
    ncbi.answers["11320"] = says(60)
    assert night(job, ncbi) == 3
    assert ncbi.counts == {"11320": 2, "11520": 1}
    assert table_says(job)["11320"] == ("suspect", "60", "110", "fell")
    assert changes_say(job) == {"11320": ("became_suspect", "-50", "-45")}

    # The same again: still suspect, and no news.
    assert night(job, ncbi) == 3
    assert table_says(job)["11320"] == ("suspect", "60", "110", "fell")
    assert changes_say(job) == {}

    # A vanishing beside a recovery; counts are compared with the last believed ones.
    ncbi.answers = {"11320": says(112), "11520": {}}
    assert night(job, ncbi) == 3
    assert table_says(job)["11520"] == ("suspect", "0", "50", "vanished")
    assert changes_say(job) == {"11320": ("recovered", "2", "1.8"), "11520": ("became_suspect", "-50", "-100")}

    # An outage that looks like typos: not even the canary is known.
    ncbi.answers = {}
    ncbi.otherwise = lambda question: UNKNOWN
    before = table_says(job)
    assert night(job, ncbi) == 4
    assert table_says(job) == before

    # Recovery.
    ncbi.answers = {"11320": says(112), "11520": says(51, "2026-11-22T00:00:00Z")}
    assert night(job, ncbi) == 0
    assert table_says(job) == {"11320": ("ok", "112", "112", ""), "11520": ("ok", "51", "50", "")}
    assert changes_say(job) == {"11520": ("recovered", "1", "2.0")}


def test_a_taxon_that_was_believed_and_is_unknown_now(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"11320": says(100), "11520": UNKNOWN}
    assert night(job, ncbi) == 3
    assert table_says(job)["11520"] == ("rejected", "", "", "unknown_taxon")
    ncbi.answers = {"11320": UNKNOWN, "11520": UNKNOWN}
    assert night(job, ncbi) == 3
    assert table_says(job) == {
        "11320": ("suspect", "", "100", "refused"),
        "11520": ("rejected", "", "", "unknown_taxon"),
    }
    assert ncbi.counts == {"11320": 2, "11520": 1, "2697049": 1}


def test_a_user_accepts_a_new_level(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    night(job, ncbi)
    ncbi.answers["11320"] = says(60)
    assert night(job, ncbi) == 3
    assert night(job, ncbi, "--accept", "11320/all") == 0
    assert table_says(job)["11320"] == ("ok", "60", "100", "")
    assert changes_say(job) == {"11320": ("accepted", "-40", "-40")}
    # From now on nights are held against the accepted level, not against what was before.
    ncbi.answers["11320"] = says(59)
    assert night(job, ncbi) == 0
    assert table_says(job)["11320"] == ("ok", "59", "60", "")
    assert changes_say(job) == {"11320": ("fell", "-1", "-1.7")}
    ncbi.answers["11320"] = says(30)
    assert night(job, ncbi) == 3


def test_accepting_a_row_that_is_not_in_the_job_sends_nothing(
    ncbi: ScriptedNcbi, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert night(job, ncbi, "--accept", "Influenza A") == 2
    assert "Influenza A: no row of this job" in capfd.readouterr().err
    job.write_text("version: 1\ntaxa: [{taxon: 11320, label: Influenza A}]\n")
    assert night(job, ncbi, "--accept", "influenca a/all") == 2
    assert "; did you mean Influenza A/all?" in capfd.readouterr().err
    assert night(job, ncbi, "--accept", "Influenza A/human") == 2
    assert "11320 has no filter set human; write all" in capfd.readouterr().err
    assert ncbi.asked == []
    with Store(job.parent / "out" / "night" / "state.sqlite3") as store:
        assert store.last_run("open") is None


def test_accepting_a_rejection_ends_the_doubt(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    night(job, ncbi)
    ncbi.answers["11520"] = UNKNOWN
    assert night(job, ncbi, "--accept", "11520") == 3
    assert table_says(job)["11520"] == ("rejected", "", "50", "unknown_taxon")
    assert night(job, ncbi) == 3
    assert table_says(job)["11520"] == ("rejected", "", "", "unknown_taxon")


@pytest.mark.parametrize("broken", [(500, "down"), {"record_count": None}, {"hydrated": {"estimated_file_size_mb": 3}}])
def test_a_row_without_an_answer_to_accept_keeps_its_level(ncbi: ScriptedNcbi, job: Path, broken: Any) -> None:
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    night(job, ncbi)
    ncbi.answers["11320"] = broken
    assert night(job, ncbi, "--accept", "11320") == 3
    told = manifest(job)["warnings"]
    assert told == ["nothing to accept for 11320/all: no answer that can be believed"]
    ncbi.answers["11320"] = says(3)
    assert night(job, ncbi) == 3
    assert table_says(job)["11320"] == ("suspect", "3", "100", "fell")


def test_a_narrower_filter_with_more_records_than_a_wider_one(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = tmp_path / "night.yaml"
    job.write_text("version: 1\ntaxa: [11320, 11520, 11320]\nfilter_sets: {all: {}, human: {host: human}}\n")
    ncbi.answers = {
        "11320": says(90), "11320?host=human": says(95), "11520": says(9), "11520?host=human": says(9),
    }  # fmt: skip
    assert night(job, ncbi) == 3
    told = {(row["taxon"], row["filter_set"]): (row["status"], row["error"]) for row in rows(job)}
    assert told["11320", "human"] == ("suspect", "exceeds_wider: 95 here, but 90 in all, which includes it")
    assert {status for row, (status, _) in told.items() if row != ("11320", "human")} == {"ok"}
    # The taxon is listed twice, and so is what is wrong with it.
    assert [row["status"] for row in rows(job)] == ["ok", "suspect", "ok", "ok", "ok", "suspect"]
    assert ncbi.counts["11320"] == ncbi.counts["11320?host=human"] == 2
    assert ncbi.counts["11520"] == 1


def test_a_row_that_its_neighbour_makes_suspect_is_listed_once_and_not_again(
    ncbi: ScriptedNcbi, tmp_path: Path
) -> None:
    job = tmp_path / "night.yaml"
    job.write_text("version: 1\ntaxa: [11320, 11320]\nfilter_sets: {all: {}, human: {host: human}}\n")

    def after(human: int) -> list[tuple[str, str, str]]:
        ncbi.answers = {"11320": says(90), "11320?host=human": says(human)}
        night(job, ncbi)
        listed = rows(job, "changes.csv")
        assert manifest(job)["changes"] == len(listed)
        return [(row["filter_set"], row["change"], row["error"].partition(":")[0]) for row in listed]

    assert after(80) == []
    assert after(95) == [("human", "became_suspect", "exceeds_wider")]
    assert after(95) == []
    assert after(85) == [("human", "recovered", "")]
    assert [(row["record_count"], row["previous_record_count"]) for row in rows(job)][1::2] == [("85", "80")] * 2


def test_a_window_is_not_updated_by_what_came_after_it(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text(
        "version: 1\ntaxa: [11320, 11520, 11250]\n"
        "filter_sets: {all: {}, january: {released_between: [2025-01-01, 2025-02-01]}}\n"
    )
    # Dates of the rows' own: no two taxa were updated on one day.
    for later in (0, 1):
        for number, taxon in enumerate(("11320", "11520", "11250")):
            day = f"2026-01-{5 * number + later + 1:02}"
            ncbi.answers |= {
                taxon: says(100, f"{day}T00:00:00Z"),
                f"{taxon}?released_since=2025-01-01T00:00:00Z": says(90, day),
                f"{taxon}?released_since=2025-02-01T00:00:00Z": says(60, day),
            }
        assert night(job, ncbi) == 0
    assert [(row["filter_set"], row["change"]) for row in rows(job, "changes.csv")] == [("all", "updated")] * 3
    assert manifest(job)["data_date"] is None


@pytest.mark.parametrize(("fallen", "told"), [(3, False), (4, True)])
def test_a_night_on_which_nearly_everything_fell(ncbi: ScriptedNcbi, tmp_path: Path, fallen: int, told: bool) -> None:
    """Of five rows with a count to compare; a new one and one without an answer are none of them."""
    job = tmp_path / "night.yaml"
    job.write_text(job_text(*range(1, 7), api={"attempts": 1}))
    ncbi.answers = {str(taxon): says(100) for taxon in range(1, 7)}
    night(job, ncbi)
    job.write_text(job_text(*range(1, 8), api={"attempts": 1}))
    ncbi.answers |= {str(taxon): says(99) for taxon in range(1, fallen + 1)}
    ncbi.answers |= {"6": (500, {}), "7": says(1)}
    night(job, ncbi)
    warnings = manifest(job)["warnings"]
    assert warnings == (
        [f"{fallen} of 5 rows have fewer records than when last believed: NCBI's night, not the taxa's"] if told else []
    )


def test_another_server_is_told_on_its_first_night(ncbi: ScriptedNcbi, job: Path) -> None:
    assert night(job, ncbi) == 0
    elsewhere = ncbi.base_url.replace("127.0.0.1", "localhost")
    for words in ([f"{elsewhere} was asked tonight, and is compared with what {ncbi.base_url} said on "], []):
        last = manifest(job)["today"]
        assert night(job, ncbi, "--base-url", elsewhere) == 0
        assert manifest(job)["warnings"] == [f"{one}{last}" for one in words]


def test_what_asking_again_mends_is_no_longer_doubted(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    night(job, ncbi)
    told = iter([says(3), says(101)])
    ncbi.answers = {"11520": says(50)}
    ncbi.otherwise = lambda question: next(told)
    assert night(job, ncbi) == 0
    assert table_says(job)["11320"] == ("ok", "101", "100", "")


def test_rows_come_and_go_with_the_job(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"11320": says(100), "11520": says(50), "11250": says(5)}
    night(job, ncbi)
    job.write_text("version: 1\ntaxa: [11320, 11250, 11250]\n")
    assert night(job, ncbi) == 0
    found = [(row["taxon"], row["change"], row["previous_record_count"]) for row in rows(job, "changes.csv")]
    assert found == [("11250", "new", ""), ("11520", "removed", "50")]
    job.write_text("version: 1\ntaxa: [11320]\n")
    assert night(job, ncbi) == 0
    assert [(row["taxon"], row["change"]) for row in rows(job, "changes.csv")] == [("11250", "removed")]
    assert manifest(job)["changes"] == 1


def test_a_fall_within_bounds_and_a_return_from_zero(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text("version: 1\ntaxa: [11320, 11520]\nguards: {allow_zero: true}\n")
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    night(job, ncbi)
    ncbi.answers = {"11320": says(90), "11520": says(0)}
    assert night(job, ncbi) == 0
    assert changes_say(job) == {"11320": ("fell", "-10", "-10"), "11520": ("vanished", "-50", "-100")}
    ncbi.answers = {"11320": says(90), "11520": says(45)}
    assert night(job, ncbi) == 0
    assert changes_say(job) == {"11520": ("returned", "45", "")}


def test_what_is_left_of_a_row_is_never_a_fall_of_all(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text("version: 1\ntaxa: [11320, 11520, 11250]\nguards: {max_drop: 100%}\n")
    ncbi.answers = {"11320": says(1000), "11520": says(100_000), "11250": says(1000)}
    night(job, ncbi)
    ncbi.answers = {"11320": says(5), "11520": says(1), "11250": says(12_345)}
    assert night(job, ncbi) == 0
    assert changes_say(job) == {
        "11320": ("fell", "-995", "-99"), "11520": ("fell", "-99999", "-99"), "11250": ("grew", "11345", "1100"),
    }  # fmt: skip
    page = (job.parent / "out/night/report.html").read_text()
    assert set(re.findall(r"<small>(\S+) %</small>", page)) == {"\N{MINUS SIGN}99", "+1,100"}


def test_an_edited_filter_begins_anew(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text("version: 1\ntaxa: [11320]\nfilter_sets: {some: {host: human}}\n")
    ncbi.answers = {"11320?host=human": says(100), "11320?host=cat": says(2)}
    night(job, ncbi)
    job.write_text("version: 1\ntaxa: [11320]\nfilter_sets: {some: {host: cat}}\n")
    assert night(job, ncbi) == 0
    assert table_says(job) == {"11320": ("ok", "2", "", "")}
    assert changes_say(job) == {"11320": ("refiltered", "", "")}


def test_the_last_believed_count_outlives_the_nights_that_are_kept(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text("version: 1\ntaxa: [11320, 11520]\napi: {attempts: 1}\noutput: {keep_nights: 2}\n")
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    night(job, ncbi)
    ncbi.answers["11320"] = (500, "")
    for _ in range(17):  # of fifteen nights the rows are kept whatever the job says: verdicts need them
        assert night(job, ncbi) == 3
    ncbi.answers["11320"] = says(40)
    assert night(job, ncbi) == 3
    assert table_says(job)["11320"] == ("suspect", "40", "100", "fell")


def test_a_night_before_the_last_one_is_told(ncbi: ScriptedNcbi, job: Path) -> None:
    night(job, ncbi, day="2026-11-05")
    assert night(job, ncbi, day="2026-11-02") == 0
    assert manifest(job)["warnings"] == [
        "the night of 2026-11-05 was published before this one: is the clock of this machine right?"
    ]
    assert night(job, ncbi, day="2026-11-06") == 0
    assert manifest(job)["warnings"] == []


def test_the_exit_code_can_tell_of_a_change(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"11320": says(100), "11520": says(50)}
    assert night(job, ncbi, "--exit-code-on-change", "9") == 0
    ncbi.answers["11320"] = says(101)
    assert night(job, ncbi, "--exit-code-on-change", "9") == 9
    assert night(job, ncbi, "--exit-code-on-change", "9") == 0


def test_a_weekly_series_costs_one_request_an_edge(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = tmp_path / "night.yaml"
    job.write_text("version: 1\ntaxa: [11320]\nfilter_sets: {weekly: {host: human, windows: {every: 7d, last: 12}}}\n")
    counts = dict[str, int]()

    def fewer_and_fewer(question: Question) -> dict[str, int]:
        since = dict(question.parameters)["released_since"]
        return {"record_count": counts.setdefault(since, date.fromisoformat(since[:10]).toordinal() * -3 + 10**7)}

    ncbi.otherwise = fewer_and_fewer
    assert night(job, ncbi) == 0
    assert len(ncbi.asked) == 13
    table = rows(job)
    assert [row["record_count"] for row in table] == ["21"] * 12
    assert all(row["filter_set"] == f"weekly/{row['released_since']}" for row in table)
    assert [row["released_before"] for row in table[:-1]] == [row["released_since"] for row in table[1:]]
    days = [date.fromisoformat(row["released_since"]) for row in table]
    assert {day.weekday() for day in days} == {0}
    assert (
        timedelta(0) <= datetime.now(UTC).date() - date.fromisoformat(table[-1]["released_before"]) < timedelta(days=7)
    )


def test_a_page_that_cannot_carry_all_rows_carries_those_that_matter(
    ncbi: ScriptedNcbi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchsum.output.report.night.MOST_ROWS", 4)
    taxa = [11320, 11520, 11250, 11234, 11292, 12059]
    job = write_job(tmp_path, job_text(*taxa))
    assert night(job, ncbi) == 0
    ncbi.answers = {"11292": says(3_000), "12059": UNKNOWN}
    assert night(job, ncbi) == 3
    page = (tmp_path / "out/night/report.html").read_text(encoding="utf-8")
    table = page.partition('<tbody id="rows">')[2].partition("</tbody>")[0]
    assert re.findall(r"<bdi>(\d+)</bdi>", table) == ["11320", "11520", "11292", "12059"]
    assert "The page carries 4 of 6 rows" in page
    assert "6 rows" in page.partition("</h1>")[0], "the headline is about all of them"
