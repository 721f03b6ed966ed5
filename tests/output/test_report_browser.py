"""The report in a real browser: by mouse and keyboard, at both widths, in both themes. Needs Chromium."""

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from batchsum.output.report.night import ReportNight, ReportRow
from batchsum.output.report.page import write_report
from tests.builders.sample_nights import bad_night, report_row, sample_night
from tests.output.test_report import HOSTILE, hostile_row, night_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)

WIDE, NARROW = (1280, 800), (390, 844)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_report(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of a night; in the end it must have said nothing to the console and asked nobody anything."""
    said: list[str] = []
    contexts = []

    def open_it(night: ReportNight, size: tuple[int, int] = WIDE, theme: str = "light") -> Any:
        path = tmp_path / "report.html"
        write_report(path, night)
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        tab = context.new_page()
        tab.set_default_timeout(10_000)
        tab.on("console", lambda message: said.append(f"console: {message.text}"))
        tab.on("pageerror", lambda error: said.append(f"error: {error}"))
        tab.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
        tab.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        tab.goto(path.as_uri())
        return tab

    yield open_it
    for context in contexts:
        context.close()
    assert [text for text in said if not text.startswith("data:image/svg+xml")] == []


def column(tab: Any, number: int) -> list[str]:
    """The texts of one column as shown, from the top."""
    texts: list[str] = tab.evaluate(
        "number => [...document.querySelectorAll('#rows > tr:not(.detail)')].map(row => row.cells[number].innerText)",
        number,
    )
    return texts


def count(text: str) -> int | None:
    return int(text.replace(",", "").replace("\N{MINUS SIGN}", "-").split()[0]) if text.strip() else None


def copied(tab: Any, button: str) -> str:
    tab.click(button)
    playwright.expect(tab.locator(button).first).to_have_text("Copied")
    text: str = tab.evaluate("navigator.clipboard.readText()")
    return text


def axe() -> str:
    folder = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(folder.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def cell(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def as_copied(row: ReportRow) -> list[str]:
    kept = row.kept
    values = (
        cell(kept.taxon), cell(kept.label), cell(kept.filter_set), cell(kept.filters), kept.status, kept.record_count,
        kept.previous_record_count, kept.record_count_change, kept.change, cell(kept.resource_updated_on or ""),
        row.size_mb, cell(row.download_command if row.download_command.isprintable() else ""), cell(kept.error),
    )  # fmt: skip
    return ["" if value is None else str(value) for value in values]


@pytest.mark.parametrize(
    "made", [partial(bad_night, 150), partial(sample_night, 2_100, nights=3), partial(sample_night, 7, nights=1)]
)
def test_copied_as_csv_the_rows_are_those_that_were_given(open_report: Open, made: Callable[[], ReportNight]) -> None:
    night = made()
    lines = list(csv.reader(io.StringIO(copied(open_report(night), "#copy"))))
    assert lines[0][:5] == ["taxon", "label", "filter_set", "filters", "status"]
    assert lines[1:] == [as_copied(row) for row in night.rows]


def test_the_smallest_piece_of_the_bar_can_still_be_seen(open_report: Open) -> None:
    rows = [report_row(str(number), "all", "ok", 1) for number in range(2_000)]
    tab = open_report(night_of(*rows, report_row("0", "all", "failed", None, error="timeout:")))
    pieces = [tab.locator(f".bar svg.{status}").bounding_box() for status in ("ok", "failed")]
    assert pieces[1]["width"] >= 3
    whole = tab.locator(".bar").bounding_box()
    assert pieces[0]["x"] == whole["x"]
    assert pieces[1]["x"] + pieces[1]["width"] == pytest.approx(whole["x"] + whole["width"], abs=0.1)


def test_hostile_texts_are_shown_and_do_nothing(open_report: Open) -> None:
    night = night_of(*(hostile_row(text) for text in HOSTILE))
    tab = open_report(night)
    for opener in tab.locator("#rows .name").all():
        opener.click()
    tab.check("#grid thead input")
    for size in (WIDE, NARROW):
        tab.set_viewport_size({"width": size[0], "height": size[1]})
        assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    lines = list(csv.reader(io.StringIO(copied(tab, "#copy"))))
    assert lines[1:] == [as_copied(row) for row in night.rows]
    assert tab.locator("#rows > .detail").count() == len(HOSTILE)
    assert tab.evaluate("document.scripts.length") == 2


def test_sorting_tells_its_direction_and_leaves_missing_values_last(open_report: Open) -> None:
    night = bad_night(60)
    tab = open_report(night)
    in_job_order = column(tab, 1)
    header = tab.locator("#grid thead th", has_text="Records")
    for direction, reverse in (("descending", True), ("ascending", False)):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == direction
        counts = [count(text) for text in column(tab, 4)]
        known = [number for number in counts if number is not None]
        assert known == sorted(known, reverse=reverse)
        assert counts == known + [None] * (len(counts) - len(known))
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "none"
    assert column(tab, 1) == in_job_order
    tab.locator("#grid thead button", has_text="Filter set").click()
    assert column(tab, 2) == sorted(column(tab, 2))
    assert tab.locator("#grid [aria-sort=ascending], #grid [aria-sort=descending]").count() == 1


def test_filtering_by_text_and_status_is_counted_aloud(open_report: Open) -> None:
    night = bad_night(150)
    rows = list(night.rows)
    tab = open_report(night)
    assert tab.get_attribute("#count", "role") == "status"
    assert tab.inner_text("#count") == "150 rows"
    tab.fill("#query", "DENGUE human_complete")
    wanted = [row for row in rows if "dengue" in row.kept.label.lower() and row.kept.filter_set == "human_complete"]
    assert wanted
    assert tab.inner_text("#count") == f"{len(wanted)} of 150 rows"
    assert column(tab, 4) == ["" if row.kept.record_count is None else f"{row.kept.record_count:,}" for row in wanted]
    tab.fill("#query", "")
    for status in ("failed", "suspect"):
        tab.click(f"#chips [data-status={status}]")
    shown = [row for row in rows if row.kept.status in ("failed", "suspect")]
    assert tab.inner_text("#count") == f"{len(shown)} of 150 rows"
    assert {text.strip() for text in column(tab, 3)} == {"failed", "suspect"}
    assert tab.get_attribute("#chips [data-status=failed]", "aria-pressed") == "true"
    tab.fill("#query", "no such thing")
    assert column(tab, 1) == []
    assert tab.inner_text("#count") == "0 of 150 rows"


def test_the_first_screen_leads_into_the_table(open_report: Open) -> None:
    night = bad_night(150)
    tab = open_report(night)
    skipped = [row for row in night.rows if row.kept.reason == "outage"]
    tab.click("main button[data-query=outage]")
    assert tab.inner_text("#count") == f"{len(skipped)} of 150 rows"
    assert tab.evaluate("document.activeElement.id") == "query"
    changed = [row for row in night.rows if row.kept.change]
    tab.click("main button[data-changed]")
    assert tab.inner_text("#count") == f"{len(changed)} of 150 rows"


def test_everything_can_be_done_by_keyboard(open_report: Open) -> None:
    tab = open_report(sample_night(12))
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the table"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "query"
    tab.keyboard.type("dengue")
    while tab.evaluate("document.activeElement.textContent") != "Taxon":
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.get_attribute("#grid th[aria-sort=ascending]", "scope") == "col"
    tab.fill("#query", "")
    tab.locator("#rows .name").first.focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    second = tab.locator("#rows .name").nth(1)
    assert second.get_attribute("aria-expanded") == "true"
    assert tab.locator("#rows > tr").nth(2).get_attribute("class") == "detail"
    tab.keyboard.press("Space")
    assert second.get_attribute("aria-expanded") == "false"
    assert tab.locator("#rows > .detail").count() == 0
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Space")
    assert tab.inner_text("#basket-text").startswith("Planned: 1 row,")


def test_a_row_opens_with_its_trend_its_dates_and_its_reason(open_report: Open) -> None:
    night = night_of(
        report_row(
            "11320", "all", "suspect", 50, 120, label="flu", error="fell: 50 is 58.3 % below 120", phids=("AB12",),
            change="became_suspect", nightly_counts=(100, None, 120, 50), messages=("be careful",),
            nightly_statuses=("ok", "failed", "ok", "suspect"), filters="host=human",
        ),
        dates=("2026-11-10", "2026-11-20", "2026-11-22", "2026-11-23"),
    )  # fmt: skip
    tab = open_report(night)
    tab.click("#rows .name")
    chart = tab.locator(".trend")
    assert chart.get_attribute("aria-label") == (
        "Records from 2026-11-10 to 2026-11-23: lowest 50, highest 120, last 50"
    )
    titles = chart.locator("title").evaluate_all("titles => titles.map(title => title.textContent)")
    assert titles == ["2026-11-10: 100", "2026-11-20:  failed", "2026-11-22: 120", "2026-11-23: 50 suspect"]
    assert "2026-11-10" in chart.text_content()
    places = chart.locator(".dot").evaluate_all("dots => dots.map(dot => Number(dot.getAttribute('cx')))")
    shown = tab.inner_text(".detail")
    for text in ("host=human", "fell: 50 is 58.3 % below 120", "AB12", "be careful", "120"):
        assert text in shown
    assert len(places) == 2
    tab.click(".detail summary")
    assert tab.locator(".values tbody tr").all_inner_texts() == [
        "2026-11-23\t50\tsuspect", "2026-11-22\t120\tok", "2026-11-20\t\tfailed", "2026-11-10\t100\tok",
    ]  # fmt: skip


def test_the_planner_adds_up_and_hands_over_ncbis_own_commands(open_report: Open) -> None:
    night = sample_night(30, trouble=0.3)
    tab = open_report(night)
    planned = [row for row in night.rows if row.size_mb is not None]
    total = sum(row.size_mb or 0 for row in planned)
    tab.fill("#query", "influenza")
    tab.check("#grid thead input")
    assert tab.inner_text("#plan-size").startswith(f"{len([r for r in planned if 'Influenza' in r.kept.label])} rows,")
    tab.fill("#query", "")
    tab.check("#grid thead input")
    assert tab.inner_text("#plan-size").startswith(f"{len(planned)} rows, {total:,} MB")
    assert copied(tab, "#plan-copy").splitlines() == [row.download_command for row in planned]
    assert copied(tab, "#plan-list button") == planned[0].download_command
    tab.click("#plan-clear")
    assert tab.is_hidden("#basket")
    assert tab.locator("#rows input:checked").count() == 0


def test_a_long_table_is_paged_sorted_and_filtered_as_a_whole(open_report: Open) -> None:
    night = sample_night(3_000, nights=2)
    tab = open_report(night)
    assert len(column(tab, 1)) == 500
    assert tab.inner_text("#page") == "rows 1 to 500 of 3,000"
    assert tab.is_disabled("#previous")
    tab.click("#next")
    assert tab.inner_text("#page") == "rows 501 to 1,000 of 3,000"
    tab.locator("#grid thead th", has_text="Records").locator("button").click()
    highest = sorted((row.kept.record_count for row in night.rows if row.kept.record_count is not None), reverse=True)
    assert [count(text) for text in column(tab, 4)] == highest[:500]
    tab.fill("#query", "isolate human_complete")
    wanted = [row for row in night.rows if "isolate" in row.kept.label and row.kept.filter_set == "human_complete"]
    playwright.expect(tab.locator("#count")).to_have_text(f"{len(wanted)} of 3,000 rows")
    assert len(column(tab, 1)) == min(len(wanted), 500)


def test_without_scripts_the_rows_are_there_and_no_control_that_does_nothing(browser: Any, tmp_path: Path) -> None:
    night = bad_night(30)
    write_report(tmp_path / "report.html", night)
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    assert tab.locator("#rows > tr").count() == 30
    assert tab.locator("button:visible, input:visible").count() == 0
    context.close()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_report: Open, size: tuple[int, int], theme: str) -> None:
    tab = open_report(bad_night(60), size, theme)
    tab.locator("#rows .name").nth(1).click()
    tab.check("#grid thead input")
    tab.click("summary")
    tab.evaluate(axe())
    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]
    assert told == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize(
    "made", [partial(sample_night, 5), partial(bad_night, 150), partial(sample_night, 30, nights=60)]
)
def test_a_phone_never_scrolls_sideways(open_report: Open, made: Callable[[], ReportNight]) -> None:
    tab = open_report(made(), NARROW)
    tab.locator("#rows .name").first.click()
    tab.check("#grid thead input")
    assert tab.evaluate("document.documentElement.scrollWidth") == NARROW[0]
    assert tab.locator("#grid").bounding_box()["width"] <= NARROW[0]


@pytest.mark.parametrize(
    ("today", "said"),
    [("2026-11-23", "today"), ("2026-11-24", "yesterday"), ("2026-11-27", "4 days ago: does the job still run?")],
)
def test_the_page_says_itself_how_old_it_is(open_report: Open, today: str, said: str) -> None:
    tab = open_report(sample_night(6, nights=2))
    tab.clock.set_fixed_time(f"{today}T07:00:00")
    tab.reload()
    playwright.expect(tab.locator("#age")).to_have_text(said)


def test_the_command_that_accepts_is_copied(open_report: Open) -> None:
    rows = (report_row("11320", "all", "suspect", 5, error="fell: 5 is 50 % below 10"),)
    tab = open_report(night_of(*rows, directory="/srv/out"))
    assert copied(tab, ".trouble .actions button") == "batchsum accept /srv/out 11320/all"


def test_the_text_filter_looks_at_no_counts(open_report: Open) -> None:
    rows = (report_row("11320", record_count=1280), report_row("1280", record_count=5, label="Zika"))
    tab = open_report(night_of(*rows))
    tab.fill("#query", "1280")
    assert column(tab, 1) == ["Zika 1280"]


def test_the_theme_can_be_turned_round(open_report: Open) -> None:
    tab = open_report(sample_night(3), theme="light")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = tab.evaluate(paper)
    tab.click("#theme")
    tab.click("#theme")
    assert tab.inner_text("#theme") == "Theme: dark"
    assert tab.evaluate(paper) != light


def test_where_the_remarks_have_no_room_those_of_doubtful_rows_stand_below_them(open_report: Open) -> None:
    doubtful = report_row("1", "all", "suspect", 5, 10, error="fell: 5 is 50 % below 10", change="became_suspect")
    tab = open_report(night_of(doubtful, report_row("2", "all", "ok", 11, 10, change="grew")))
    for size in ((800, 800), NARROW):
        tab.set_viewport_size({"width": size[0], "height": size[1]})
        remark, count = tab.locator("#rows .suspect > td:last-child"), tab.locator("#rows .suspect > td").nth(3)
        playwright.expect(remark).to_contain_text("fell: 5 is 50 % below 10")
        assert remark.bounding_box()["y"] >= count.bounding_box()["y"] + 10
        assert remark.bounding_box()["width"] > size[0] / 2
        playwright.expect(tab.locator("#rows .ok > td:last-child")).to_be_hidden()
        playwright.expect(tab.locator("#grid thead th", has_text="Status")).to_be_visible()
        head, cell = (tab.locator(f"{row} > :nth-child(5)").bounding_box() for row in ("#grid thead tr", "#rows .ok"))
        assert (head["x"], head["width"]) == (cell["x"], cell["width"])
