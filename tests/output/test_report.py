"""The page says what the night was, holds every row as it is, and lets nothing in it run."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsum.output.report import page
from batchsum.output.report.digest import REASONS, advice, digest
from batchsum.output.report.night import ReportNight, ReportRow, calendar
from batchsum.output.report.page import took, write_report
from tests.builders import jobs
from tests.builders.report_page import Page, Row
from tests.builders.sample_nights import bad_night, kept_row, report_row, sample_night
from tests.fakes.scripted_ncbi import ScriptedNcbi

HOSTILE = (
    "<script>alert(1)</script>", "</script><script>alert(2)</script>", "</style><img src=x onerror=alert(3)>",
    "\"><svg onload=alert(4)>", "' onmouseover='alert(5)", "a & b &amp; c", "{{7*7}} {% raw %}", "=cmd|'/c calc'!A0",
    "\u202e\u2066abc\u200f", "<!--", "]]>", "\u2028\u2029", "W" * 400, "&#60;b&#62;", "</template></table>",
)  # fmt: skip


def night_of(*rows: ReportRow, **changes: object) -> ReportNight:
    empty = sample_night(0, nights=2)
    told = {name: changes.pop(name) for name in empty.manifest if name in changes}
    return replace(empty, rows=rows, manifest={**empty.manifest, **told}, **changes)  # type: ignore[arg-type]


def row(taxon: str = "11320", status: str = "ok", count: int | None = 10, **more: object) -> ReportRow:
    return report_row(taxon, "all", status, count, **more)


def answers(night: ReportNight) -> tuple[str, str]:
    """The two sentences above everything else, without the date."""
    source = Page(night).source
    found = (re.search(place, source, re.DOTALL) for place in ("</time>.*?</span></span>(.*?)</h1>", 'lead">(.*?)</p>'))
    first, second = (" ".join(html.unescape(one[1]).split()) for one in found if one)
    return first, second


def number(text: str) -> int | None:
    return int(text.replace(",", "").replace("\N{MINUS SIGN}", "-")) if text else None


def assert_shows(shown: Row, given_row: ReportRow) -> None:
    cells, kept = shown.cells, given_row.kept
    name, small = cells[1].parts["bdi"], cells[1].parts.get("small")
    assert (name, small) == ((kept.label, kept.taxon) if kept.label else (kept.taxon, None))
    assert cells[2].parts["bdi"] == kept.filter_set
    assert cells[3].text == kept.status == shown.attributes["class"]
    assert number(cells[4].text) == kept.record_count
    assert number(cells[5].text.partition(" ")[0]) == kept.record_count_change
    assert cells[7].attributes.get("data-v", cells[7].text) == (kept.resource_updated_on or "")
    assert number(cells[8].text) == given_row.size_mb
    assert cells[9].parts.get("b", "") == kept.error
    handed_on = given_row.download_command if given_row.download_command.isprintable() else ""
    assert shown.attributes.get("data-c", "") == handed_on
    assert shown.attributes.get("data-b") == (
        None if kept.previous_record_count is None else str(kept.previous_record_count)
    )


@pytest.mark.parametrize(
    "made",
    [
        partial(sample_night, 150),
        partial(bad_night, 150),
        partial(sample_night, 2_100),
        partial(sample_night, 40, nights=1),
    ],
)
def test_every_row_is_on_the_page_as_it_was_given(made: Callable[[], ReportNight]) -> None:
    night = made()
    shown = Page(night).rows
    for one, other in zip(shown, night.rows, strict=True):
        assert_shows(one, other)


def test_the_same_night_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(tmp_path / name, sample_night(50))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_thousand_rows_with_thirty_nights_are_less_than_a_megabyte(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", sample_night(1_000, nights=30, trouble=0.1))
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_only_what_is_named_by_its_hash_may_run() -> None:
    shown = Page(sample_night(20))
    policy = shown.attribute("meta", "content", http_equiv="Content-Security-Policy")
    inline = {name: text for name, attributes, text in shown.raw if not attributes}
    for name in ("script", "style"):
        digested = base64.b64encode(hashlib.sha256(inline[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digested}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not [attributes for _, attributes in shown.elements if "style" in attributes]
    assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere() -> None:
    shown = Page(bad_night(20))
    links = [(tag, attributes.get("src") or attributes.get("href")) for tag, attributes in shown.elements]
    assert {tag for tag, link in links if link and not link.startswith(("data:", "#"))} == {"a"}
    assert "url(" not in shown.source
    assert "@import" not in shown.source


def hostile_row(text: str) -> ReportRow:
    return report_row(
        text, text, "suspect", 1, label=f"label {text}", filters=f"host={text}",
        error=f"fell: {text}", messages=(text,), resource_updated_on=text, download_command=f"datasets {text}",
        phids=(text,), nightly_counts=(2, 1), nightly_statuses=("ok", "suspect"), change="became_suspect",
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text(text: str) -> None:
    plain, shown = (
        Page(
            night_of(
                hostile_row(each),
                job=each,
                warnings=(each,),
                removed=(kept_row(each, each, record_count=3, label=each),),
                versions={each: each},
                files=(each,),
                base_url=f"https://{each}/",
            )
        )
        for each in ("plain", text)
    )
    tags, wanted = ([tag for tag, _ in page.elements if tag != "wbr"] for page in (shown, plain))
    assert tags == wanted
    assert_shows(shown.rows[0], hostile_row(text))
    kept = [content for _, attributes, content in shown.raw if attributes.get("type") == "application/json"]
    assert json.loads(kept[0])["filters"] == [f"host={text}"]
    assert "<" not in kept[0]


@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_through(text: str) -> None:
    shown = Page(night_of(hostile_row(text))).rows
    assert len(shown) == 1
    assert_shows(shown[0], hostile_row(text))


@pytest.mark.parametrize("hidden", ["\n", "\r", "\u202e", "\x1b[8m"])
def test_a_command_that_hides_something_is_not_handed_on(hidden: str) -> None:
    rows = [row(download_command=f"datasets download{hidden}rm -r x"), row(download_command="datasets download")]
    assert [each.attributes.get("data-c") for each in Page(night_of(*rows)).rows] == [None, "datasets download"]


def test_half_a_character_does_not_stop_the_page(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", night_of(row(error="fell: \ud800", status="suspect")))
    assert "fell: &#55296;" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ("ok ok empty", "All 3 rows answered, nothing in doubt."),
        ("ok", "The one row answered, nothing in doubt."),
        ("ok " * 9 + "suspect", "9 of 10 rows are good, 1 needs a look."),
        ("ok " * 8 + "rejected failed", "8 of 10 rows are good, 2 need a look."),
        ("ok ok failed skipped", "A bad night: 2 of 4 rows without an answer to rely on."),
        ("", "The job has no rows."),
    ],
)
def test_the_first_sentence_says_whether_the_night_was_all_right(statuses: str, said: str) -> None:
    rows = [row(str(number), status) for number, status in enumerate(statuses.split())]
    assert answers(night_of(*rows))[0] == said


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ({"missing": {"2026-10": 77}, "problem": ""}, "All 2 rows answered, but a download of yours is incomplete."),
        ({"missing": {}, "problem": ""}, "All 2 rows answered, nothing in doubt."),
        ({"problem": "a.zip is cut off"}, "All 2 rows answered, but a download of yours could not be used."),
    ],
)
def test_a_night_is_not_all_right_where_a_download_is_not(file: dict[str, Any], said: str) -> None:
    counted = {"file": "a.zip", "day": "2026-11-22", "held_record_count": 300, "record_count": 377}
    whole = {"released_before": {"day": "2026-11-22", "held_record_count": 300, "record_count": 377}}
    night = night_of(row("1"), row("2"))
    facts = {**(counted if "missing" in file else {}), **whole, **file}
    night = replace(night, manifest={**night.manifest, "holdings": {"use": "compare", "files": [facts]}})
    assert answers(night)[0] == said
    is_good = "nothing in doubt" in said
    assert ('<header class="good">' in Page(night).source, "<title>All right" in Page(night).source) == (
        is_good,
        is_good,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("ok", ""), ("ok", "")], "No row differs from 2026-11-22."),
        ([("ok", "grew"), ("ok", "")], "1 row differs from 2026-11-22: 1 grew."),
        ([("failed", "failed"), ("ok", "new")], "That is new tonight. 2 rows differ from 2026-11-22: 1 new, 1 failed."),
        (
            [("failed", ""), ("rejected", "")],
            "None of them had a count to rely on the night before. No row differs from 2026-11-22.",
        ),
        (
            [("failed", "failed"), ("rejected", "")],
            "1 of the 2 is new tonight. 1 row differs from 2026-11-22: 1 failed.",
        ),
    ],
)
def test_the_second_sentence_says_what_changed(changes: list[tuple[str, str]], said: str) -> None:
    night = night_of(*(row(str(number), status, change=word) for number, (status, word) in enumerate(changes)))
    assert answers(night)[1] == said


def test_a_first_night_has_nothing_to_compare_with() -> None:
    shown = Page(sample_night(5, nights=1))
    assert "The job's first night" in shown.text
    assert "What changed" not in shown.text


def test_rows_in_trouble_stand_together_by_reason_with_ncbis_ids() -> None:
    rows = [row(str(number), "failed", None, error="timeout: 60 s", phids=(f"ID{number}",)) for number in range(20)]
    rows.append(
        row("99", "suspect", 5, error="fell: 5 is 50.0 % below 10", change="became_suspect", phids=("X1", "X2"))
    )
    facts = digest(night_of(*rows))
    assert [(each.status, each.reason, each.count, each.new_count) for each in facts.by_reason] == [
        ("suspect", "fell", 1, 1),
        ("failed", "timeout", 20, 0),
    ]
    shown = Page(night_of(*rows))
    assert "Show all 20 in the table" in shown.text
    for phid in ("X1", "X2", "ID0"):
        assert f"<code>{phid}</code>" in shown.source
    assert shown.rows[-1].attributes["data-p"] == "X1 X2"


def test_a_taxon_in_trouble_is_one_line_a_reason_with_the_command_that_accepts_it() -> None:
    rows = [
        report_row(
            "1335626", name, "suspect", count, label="MERS", tax_id=1335626, change="became_suspect", error=error
        )
        for name, count, error in (
            ("all", 5, "fell: 5 is 50 % below 10"),
            ("human", None, "contradicts_itself: sizes"),
            ("7d", 2, "with_wider: all, which includes it, is suspect: fell: 5 is 50 % below 10"),
        )
    ]
    rows += [
        report_row("Zika virus", "all", "suspect", 0, error="vanished: 9"),
        row("9", "failed", None, error="timeout:"),
    ]
    night = night_of(*rows, directory="/srv/my out")
    assert [(each.reason, each.count, len(each.taxa)) for each in digest(night).by_reason] == [
        ("fell", 2, 1), ("contradicts_itself", 1, 1), ("vanished", 1, 1), ("timeout", 1, 1),
    ]  # fmt: skip
    shown = Page(night)
    commands = re.findall("<code>(batchsum accept .*?)</code>", shown.source)
    assert [html.unescape(command) for command in commands] == [
        "batchsum accept '/srv/my out' 1335626/all 1335626/7d", "batchsum accept '/srv/my out' 'Zika virus/all'",
    ]  # fmt: skip


def test_no_figure_stands_beside_a_row_that_it_is_not_of() -> None:
    fell = [("human", "fell: 1,529 is 60.0 % below 3,821"), ("all", "fell: 4,241 is 60.0 % below 10,599")]
    rolling = ("week", "with_wider: all, which includes it, is suspect: fell: 4,241 is 60.0 % below 10,599")
    rows = [report_row("11320", name, "suspect", 5, error=error) for name, error in (rolling, *fell)]
    rows += [report_row("11520", name, "failed", None, error="timeout: 60 s") for name in ("all", "human")]
    night = night_of(*rows)
    told = re.findall(r'<li>(<span class="who">.*?)</li>', Page(night).source, re.DOTALL)
    words = [" ".join(re.sub("<.*?>", "", one).split()) for one in told]
    assert words == [
        "11320 · human fell: 1,529 is 60.0 % below 3,821; likewise all; doubted with it: week since 2026-11-22",
        "11520 · all, human timeout: 60 s since 2026-11-22",
    ]


def test_a_row_in_doubt_since_tonight_is_not_called_new() -> None:
    fell = row("1", "suspect", 5, error="fell: 5 is 50 % below 10", change="became_suspect")
    remarks = [
        [cell.parts["i"] for cell in one.cells if "i" in cell.parts]
        for one in Page(night_of(fell, row("2", change="new"))).rows
    ]
    assert remarks == [["since tonight"], ["new"]]


def test_a_night_without_a_table_is_the_headline_and_a_gap() -> None:
    rows = [row(nightly_counts=(5, None, 5, None), nightly_statuses=("ok", "", "ok", ""))]
    in_doubt = {"2026-11-21": (4, 1), "2026-11-23": (1, 0)}
    night = night_of(
        *rows, date="2026-11-23", dates=("2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24"),
        previous_date="2026-11-21", failures={"2026-11-22": "no disk", "2026-11-24": "no row has an answer"},
        in_doubt=in_doubt,
    )  # fmt: skip
    facts = digest(night)
    headline, subline = answers(night)
    assert headline == "No table: no row has an answer."
    assert subline.startswith("What follows is the last table, that of 2026-11-23.")
    assert (facts.doubtful_by_night, facts.moods_by_night) == ([1, None, 0, None], ["bad", "", "good", ""])
    shown = Page(night)
    assert '<header class="bad">' in shown.source
    assert shown.attribute("time", "datetime", id="date") == "2026-11-24"
    assert "2026-11-22: no table: no disk" in shown.text
    assert "<title>No table · " in shown.source


def test_a_page_is_made_however_long_there_was_no_table(
    ncbi: ScriptedNcbi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchsum.output.report.night.NIGHTS_SHOWN", 2)
    job = jobs.write_job(tmp_path, jobs.job_text(11320))
    assert jobs.night(job, ncbi, day="2026-11-22") == 0
    ncbi.otherwise = lambda question: (302, "")
    for day in ("2026-11-23", "2026-11-24", "2026-11-25"):
        assert jobs.night(job, ncbi, day=day) == 5
        source = (tmp_path / "out/night/report.html").read_text()
        assert f'<time datetime="{day}"' in source
        assert "What follows is the last table, that of 2026-11-22." in source


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (1, ""),
        (3, "Nor was there one on 2026-11-01, 2026-11-02."),
        (8, "2026-11-06, 2026-11-07."),
        (9, "Nor was there one on 8 days from 2026-11-01 on."),
    ],
)
def test_days_without_a_table_are_named_while_they_are_few(days: int, said: str) -> None:
    failures = {f"2026-11-{day:02}": "outage" for day in range(1, days + 1)}
    source = Page(night_of(row(), dates=("2026-10-31", *failures), date="2026-10-31", failures=failures)).source
    assert said in source
    assert ("Nor was there one" in source) == bool(said)


def test_the_bars_of_the_nights_number_the_highest_and_tonight_and_escape_what_they_are_given() -> None:
    night = night_of(
        row(), dates=("2026-11-20", "2026-11-21", "2026-11-22", "<b>"), failures={"2026-11-20": "<why>"},
        in_doubt={"2026-11-21": (10, 4), "2026-11-22": (10, 0), "<b>": (20, 2)},
    )  # fmt: skip
    drawn = re.search('<svg viewBox="0 0 56 65".*?</svg>', Page(night).source, re.DOTALL)
    assert drawn
    root = ElementTree.fromstring(drawn[0])
    assert root.attrib["aria-label"] == "Unreliable rows on each of the last 4 nights; tonight 0"
    assert [text.text for text in root.iter("text")] == ["4", "2"]
    assert [title.text for title in root.iter("title")] == [
        "2026-11-20: no table: <why>", "2026-11-21: 4", "2026-11-22: 0", "<b>: 2",
    ]  # fmt: skip
    assert [bar.attrib["class"] for bar in root.iter("rect")] == ["bad", "look"]
    assert len(list(root.iter("circle"))) == 1


def test_the_bar_has_a_piece_for_each_status_that_occurs() -> None:
    bar = re.search('<div class="bar".*?</div>', Page(night_of(*[row()] * 3, row("9", "failed", None))).source)
    assert bar
    assert re.findall(r'class="(\w+)" width="([\d.]+)%"', bar[0]) == [("ok", "75.00"), ("failed", "25.00")]


def test_what_was_new_on_the_last_table_is_not_called_new_tonight() -> None:
    trouble = row("9", "suspect", 5, error="fell: 5 is 50 % below 10", change="became_suspect")
    night = night_of(trouble, failures={"2026-11-24": "no row has an answer"})
    shown = Page(night).text
    assert "That is new that night." in answers(night)[1]
    assert "new tonight" not in shown


def test_rolling_rows_have_a_box_of_their_own() -> None:
    rows = [row(str(n), "ok", 10 + n, previous_record_count=10, change="rolled") for n in range(1, 4)]
    night = night_of(*rows)
    facts = digest(night)
    assert facts.leading == []
    assert [each.kept.taxon for each in facts.rolled] == ["3", "2", "1"]
    assert answers(night)[1] == "No row differs from 2026-11-22."
    assert "3 rolling rows: the dates of their filters moved on with the calendar" in Page(night).text


def test_a_nightly_job_shows_every_day_and_a_weekly_one_its_nights() -> None:
    assert [day.day for day in calendar([date(2026, 11, day) for day in (9, 1, 2, 3, 6)])] == list(range(1, 10))
    weekly = [date(2026, 11, day) for day in (1, 8, 15, 29)]
    assert calendar(weekly) == weekly


def test_a_taxon_has_its_name_and_its_id() -> None:
    rows = (row("1335626", scientific_name="MERS-CoV", tax_id=1335626), row("Zika virus", tax_id=3048459))
    cells = [each.cells[1] for each in Page(night_of(*rows)).rows]
    assert [cell.text.split() for cell in cells] == [["MERS-CoV", "1335626"], ["Zika", "virus", "3048459"]]


def test_what_lost_records_is_told_before_what_grew() -> None:
    rows = [
        row("huge", "ok", 1_000_100, previous_record_count=1_000_000, change="grew"),
        row("small", "ok", 140, previous_record_count=100, change="grew"),
        row("lost", "ok", 90, previous_record_count=100, change="fell"),
        row("same", "ok", 5, previous_record_count=5, change="updated"),
    ]
    assert [each.kept.taxon for each in digest(night_of(*rows)).leading] == ["lost", "huge", "small"]


def test_the_leading_changes_are_the_first_of_all_however_many_there_are() -> None:
    rows = [row(str(n), "ok", 100 + n, previous_record_count=100, change="grew") for n in range(1, 2_000)]
    assert [each.kept.taxon for each in digest(night_of(*rows)).leading] == [str(n) for n in range(1_999, 1_989, -1)]


def test_the_heat_map_keeps_the_taxa_with_the_most_records_in_job_order() -> None:
    rows = [report_row(str(n), name, "ok", n) for n in range(1, 9_001) for name in ("all", "human")]
    heat = digest(night_of(*rows)).heat
    assert list(heat.taxa) == [str(n) for n in range(8_921, 9_001)]
    assert (heat.filter_sets, heat.left_out) == (["all", "human"], 8_920)


def test_what_is_stale_is_one_line_and_no_row() -> None:
    told = ("NCBI's data are those of 2026-11-02 still", "no count has changed for a long time: Zika")
    shown = Page(night_of(row("1"), stale=told))
    assert "; ".join(told) + "." in shown.text
    assert "To look at" not in shown.text


def test_removed_rows_are_counted_and_named() -> None:
    removed = [kept_row(str(n), record_count=5) for n in range(12)]
    shown = Page(night_of(row(), removed=removed))
    assert "12 rows differ from 2026-11-22: 12 removed." in shown.text
    assert "and 4 more in changes.csv" in shown.text


def test_a_long_table_is_written_as_it_is_read(tmp_path: Path) -> None:
    class Rows:
        passes = 0

        def __iter__(self) -> Iterator[ReportRow]:
            self.passes += 1
            return (row(str(number)) for number in range(3_000))

    rows = Rows()
    write_report(tmp_path / "report.html", replace(sample_night(0), rows=rows))
    assert rows.passes == 1
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    first, _, rest = source.partition('<template id="more">')
    assert (first.count('<tr class="ok"'), rest.count('<tr class="ok"')) == (page.ROWS_A_PAGE, 3_000 - page.ROWS_A_PAGE)


def test_the_nights_of_a_row_can_be_told_again_from_its_steps() -> None:
    shown = Page(
        night_of(row(nightly_counts=(5, None, 9, 3, None), nightly_statuses=("ok", "failed", "ok", "suspect", "")))
    )
    assert shown.rows[0].attributes["data-h"] == "5,f,4,s-6,"


def test_a_server_that_is_not_ncbis_is_named_as_such() -> None:
    assert "own server." in Page(night_of(base_url="http://127.0.0.1:8765/datasets/v2")).text
    assert "own server." in Page(night_of(base_url="https://ncbi.nlm.nih.gov.example.org/v2")).text
    assert "own server." not in Page(sample_night(1)).text


@pytest.mark.parametrize(
    ("finished_at", "said"),
    [("2026-11-23T03:00:31Z", "30 s"), ("2026-11-23T03:14:26Z", "14 min 25 s"), ("2026-11-24T05:30:01Z", "1 day 2 h"),
     ("2026-11-23T03:00:00Z", ""), ("2026-11-23T04:00:00", ""), ("?", "")],
)  # fmt: skip
def test_how_long_the_run_took(finished_at: str, said: str) -> None:
    assert took({**sample_night(0).manifest, "finished_at": finished_at}) == said


def test_every_reason_has_its_advice() -> None:
    told = {advice(reason) for reason in REASONS}
    assert len(told) == len(REASONS)
    assert advice("http_503") != advice("http_404") != advice("never heard")
    assert not [text for text in told if not re.search(r"[.]$", text)]
