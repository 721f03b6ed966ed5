"""What goes on from night to night, and what begins anew: rows by what they ask, nights by their day."""

import re

import pytest

from batchsum.cli import main
from batchsum.config.taxa_lock import LockedTaxon, TaxaLock, write_lock
from batchsum.ncbi.taxonomy import TaxonNode
from batchsum.store.history import Nights as KeptNights
from batchsum.store.rows import QueryKey
from batchsum.store.store import Store
from tests.builders.november import Nights
from tests.fakes.scripted_ncbi import Question


def locked(nights: Nights, **taxa: tuple[int, str]) -> None:
    known = {
        name: LockedTaxon(TaxonNode(tax_id, called, "species", ()), "2026-11-01")
        for name, (tax_id, called) in taxa.items()
    }
    write_lock(nights.job.parent / "taxa.lock", TaxaLock(known))


# Rows


@pytest.mark.parametrize(
    "sets",
    [
        "{people: {host: human, complete_only: true}}",
        "{human: {complete_only: true, host: human, refseq_only: false}}",
        "{one: {host: human, complete_only: yes}, two: {host: human, complete_only: true}}",
    ],
    ids=["renamed", "respelled", "twice"],
)
def test_a_set_that_asks_the_same_goes_on(nights: Nights, sets: str) -> None:
    nights.write("taxa: [11320]\nfilter_sets: {human: {host: human, complete_only: true}}")
    nights.night(1, count=100)
    nights.write(f"taxa: [11320]\nfilter_sets: {sets}")
    assert nights.night(2, count=101) == 0
    assert {row[2:] for row in nights.table()} == {("101", "100")}
    assert {change for *_, change in nights.changes()} == {"grew"}
    assert nights.night(3, count=30) == 3, "and the guard looks at the same past"


def test_the_order_of_a_list_asks_the_same(nights: Nights) -> None:
    nights.write(
        "taxa: [11320]\nfilter_sets: {some: {accessions: [NC_045512.2, MN908947.3], include_sequence: [CDS, genome]}}"
    )
    nights.night(1, count=2)
    nights.write(
        "taxa: [11320]\nfilter_sets: {some: {accessions: [MN908947.3, NC_045512.2], include_sequence: [GENOME, cds]}}"
    )
    assert nights.night(2, count=2) == 0
    assert [row[2:] for row in nights.table()] == [("2", "2")]
    assert nights.changes() == []


def test_an_edited_filter_is_not_what_it_replaces(nights: Nights) -> None:
    nights.write("taxa: [11320, 11520]\nfilter_sets: {all: {}, some: {host: human}, other: {host: cat}}")
    nights.night(1, count=100)
    nights.write(
        "taxa: [11320, 11520]\nfilter_sets: {all: {}, some: {host: human, complete_only: true}, more: {host: dog}}"
    )
    assert nights.night(2, count=3) == 3
    assert [row for row in nights.table() if row[0] == "11320"] == [
        ("11320", "all", "3", "100"), ("11320", "some", "3", ""), ("11320", "more", "3", ""),
    ]  # fmt: skip
    told = [change for change in nights.changes() if change[0] == "11520"]
    assert told == [
        ("11520", "all", "became_suspect"), ("11520", "some", "refiltered"), ("11520", "more", "new"),
        ("11520", "other", "removed"),
    ]  # fmt: skip
    # Run again on that day, and the night after: the past of the new filter has begun.
    assert nights.night(2, count=99) == 0
    assert ("11520", "some", "refiltered") in nights.changes()
    assert nights.night(3, count=99) == 0
    assert nights.changes() == []
    assert ("11320", "some", "99", "99") in nights.table()


def test_a_filter_that_comes_back_has_its_past(nights: Nights) -> None:
    for day, host in ((1, "human"), (2, "cat"), (3, "human")):
        nights.write(f"taxa: [11320]\nfilter_sets: {{some: {{host: {host}}}}}")
        nights.night(day, count=100 + day)
    assert nights.table() == [("11320", "some", "103", "101")]


def test_a_taxon_is_known_by_its_id_however_it_is_spelled(nights: Nights) -> None:
    locked(nights, **{"influenza a": (11320, "Alphainfluenzavirus influenzae")})
    nights.write("taxa: [influenza a]")
    nights.night(1, count=100)
    (row,) = nights.rows()
    assert (row["tax_id"], row["scientific_name"]) == ("11320", "Alphainfluenzavirus influenzae")
    nights.write("taxa: [11320]")
    assert nights.night(2, count=101) == 0
    assert nights.table() == [("11320", "all", "101", "100")]
    (row,) = nights.rows()
    assert (row["tax_id"], row["scientific_name"]) == ("", ""), "NCBI was not heard about what is written now"
    # A name that has moved, and an id that was merged: the text is the same, and the past goes on.
    locked(nights, **{"11320": (2955291, "Alphainfluenzavirus influenzae")})
    assert nights.night(3, count=102) == 0
    assert nights.table() == [("11320", "all", "102", "101")]
    locked(nights, **{"11320": (2955291, "A"), "Flu A": (2955291, "A")})
    nights.write("taxa: [Flu A]")
    assert nights.night(4, count=103) == 0
    assert nights.table() == [("Flu A", "all", "103", "102")]
    assert nights.changes() == [("Flu A", "all", "grew")]


def test_two_spellings_of_a_taxon_share_a_past_and_keep_their_own(nights: Nights) -> None:
    nights.write("taxa: [Flu, 11320]")
    nights.ncbi.answers = {"Flu": {"record_count": 50}, "11320": {"record_count": 70}}
    nights.night(1)
    locked(nights, **{"Flu": (11320, "A")})
    nights.night(2)
    assert [row[3] for row in nights.table()] == ["70", "70"], "the id tells more than the spelling"
    nights.night(3)
    assert [row[3] for row in nights.table()] == ["70", "70"]


def test_one_word_may_be_an_id_and_a_name_of_others(nights: Nights) -> None:
    key = QueryKey("11320", 11320, "all", "", "")
    assert key.number() == key._replace(filter_set="other", tax_id=None).number()
    assert key.number() != key._replace(asks="host=human").number() != key._replace(taxon="1132").number()
    assert 0 <= key.number() < 2**63


# Rows that move with the calendar


def test_a_rolling_row_with_another_count_has_only_rolled(nights: Nights) -> None:
    nights.write("taxa: [11320]\nfilter_sets: {all: {}, week: {released_since: 7d}}")
    nights.night(1, count=9)
    nights.ncbi.answers = {"11320": {"record_count": 9}}
    assert nights.night(2, "--exit-code-on-change", "9", count=4) == 0
    assert nights.changes() == [("11320", "week", "rolled")]
    assert nights.table()[1] == ("11320", "week", "4", "9")
    assert nights.manifest()["changes"] == 1
    nights.ncbi.answers = {"11320": {"record_count": 10}}
    assert nights.night(3, "--exit-code-on-change", "9", count=4) == 9
    assert nights.changes() == [("11320", "all", "grew")]


def test_windows_come_and_go_with_the_calendar(nights: Nights) -> None:
    def since(question: Question) -> dict[str, int]:
        return {"record_count": 20_000 - int(dict(question.parameters)["released_since"][5:10].replace("-", ""))}

    nights.ncbi.otherwise = since
    nights.write("taxa: [11320]\nfilter_sets: {weekly: {windows: {every: 7d, last: 3}}}")
    nights.night(1)  # a Sunday
    assert nights.night(2) == 0
    assert nights.changes() == [("11320", "weekly/2026-10-26", "rolled"), ("11320", "weekly/2026-10-05", "rolled")]
    nights.write("taxa: [11320, 11520]\nfilter_sets: {weekly: {windows: {every: 7d, last: 4}}}")
    assert nights.night(3) == 0
    assert nights.changes() == [
        ("11320", "weekly/2026-10-05", "new"),
        *(("11520", f"weekly/2026-10-{day:02}", "new") for day in (5, 12, 19, 26)),
    ], "what the job brought is new, and a new taxon"


# Nights


def test_running_again_on_a_day_replaces_that_night(nights: Nights) -> None:
    nights.write("taxa: [11320]\noutput: {keep_nights: 2}")
    nights.night(1, count=100)
    nights.night(2, count=110)
    first = nights.manifest()
    assert nights.night(2, count=90) == 0
    assert nights.table() == [("11320", "all", "90", "100")]
    assert nights.changes() == [("11320", "all", "fell")]
    assert nights.manifest()["generation"] == first["generation"] + 1
    assert nights.night(2, count=40) == 3, "held against the night before, not against what was replaced"
    assert nights.table() == [("11320", "all", "40", "100")]
    nights.night(3, count=105)
    assert nights.table() == [("11320", "all", "105", "100")]
    nights.night(1, count=99)
    assert nights.table() == [("11320", "all", "99", "")], "also an older one"
    nights.night(4, count=105)
    assert nights.table() == [("11320", "all", "105", "105")]


def test_history_shows_a_night_once(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    for day, count in ((1, 100), (1, 101), (2, 102), (2, 103)):
        nights.night(day, count=count)
    assert main(["history", str(nights.out)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["11320", "all", "101", "103"]


def test_a_night_without_a_table_is_a_gap(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    nights.night(1, count=100)
    nights.ncbi.otherwise = lambda question: (500, "down")
    assert nights.night(2) == 4
    nights.ncbi.otherwise = lambda question: (401, "who are you")
    assert nights.night(3) == 5
    assert nights.night(4, count=101) == 0
    nights.ncbi.otherwise = lambda question: (500, "down")
    assert nights.night(5) == 4
    with Store(nights.out / "state.sqlite3") as store:
        (failed,) = KeptNights(store, 14).failed_since_last()
        assert (failed.today.isoformat(), failed.state) == ("2026-11-05", "failed")
        assert failed.failure.startswith("no row has an answer; 1 ")
    assert nights.night(5, count=102) == 0, "and a night that was made good is none"
    with Store(nights.out / "state.sqlite3") as store:
        assert KeptNights(store, 14).failed_since_last() == []
    capsys.readouterr()
    assert main(["history", str(nights.out)]) == 0
    head, row, *gaps = capsys.readouterr().out.splitlines()
    assert head.split()[3:] == ["11-01", "11-02", "11-03", "11-04", "11-05"]
    assert row.split() == ["11320", "all", "100", "-", "-", "101", "102"]
    assert [gap.partition(" left no table: ")[0] for gap in gaps] == ["2026-11-02", "2026-11-03"]
    assert "no row has an answer" in gaps[0]
    assert main(["explain", str(nights.out), "11320"]) == 0
    told = capsys.readouterr().out
    assert told.index("2026-11-04") < told.index("2026-11-03             -  no table") < told.index("2026-11-01 ")


@pytest.mark.parametrize(("answer", "code"), [((500, "down"), 4), ((302, ""), 5)])
def test_a_day_with_a_table_tells_that_a_later_run_left_none(
    answer: tuple[int, str], code: int, nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.write("taxa: [11320]")
    nights.night(1, count=100)
    nights.night(2, count=101)
    table = nights.rows()
    nights.ncbi.otherwise = lambda question: answer
    capsys.readouterr()
    assert nights.night(2) == code
    told = capsys.readouterr().err
    assert "\n  the table of 2026-11-02 from an earlier run stays\n" in told
    assert "new tonight" not in told
    assert nights.rows() == table
    for _ in range(2):
        page = (nights.out / "report.html").read_text()
        assert "<title>No new table · watch · 2026-11-02</title>" in page
        assert re.search(r"No new table from the run at \d\d:\d\d UTC: .*(no row has an answer|redirect)", page)
        assert re.search(r"What follows is the table of the run at \d\d:\d\d UTC, earlier that day.", page)
        assert main(["report", str(nights.out)]) == 0
    assert nights.night(2, count=102) == 0
    assert "The one row answered" in (nights.out / "report.html").read_text()


def test_the_day_is_that_on_which_the_command_began(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place where the machine stands, and before any jitter."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    import time
    from datetime import UTC, datetime, timedelta

    time.tzset()
    try:
        nights.write("taxa: [11320]")
        before = datetime.now(UTC) + timedelta(hours=14)
        assert main(["run", str(nights.job), "--base-url", nights.ncbi.base_url]) == 0
        after = datetime.now(UTC) + timedelta(hours=14)
        assert before.date().isoformat() <= nights.manifest()["today"] <= after.date().isoformat()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_a_row_is_told_since_the_night_from_which_on_it_had_no_count(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nights without a table are some of them: on none of these could it be relied on."""
    nights.write("taxa: [11320, 11520]")
    nights.night(1, count=100)
    nights.ncbi.otherwise = lambda question: (500, "down")
    assert nights.night(2) == nights.night(3) == 4
    nights.ncbi.otherwise = lambda question: {"record_count": 100}
    nights.ncbi.answers["11320"] = (500, "down")
    for day in (4, 5):
        capsys.readouterr()
        assert nights.night(day) == 3
        assert "1 of 2 rows has no count to rely on, since 2026-11-02\n" in capsys.readouterr().err
        page = (nights.out / "report.html").read_text()
        assert "<small>since 2026-11-02</small>" in page
        assert "It had no count to rely on the night before." in page
    del nights.ncbi.answers["11320"]
    nights.night(6)
    nights.ncbi.answers["11520"] = {"record_count": 3}
    assert nights.night(7) == 3
    assert "1 of 2 rows has no count to rely on, new tonight\n" in capsys.readouterr().err
    assert "That is new tonight." in (nights.out / "report.html").read_text()
