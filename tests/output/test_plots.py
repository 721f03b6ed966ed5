"""Plots are well-formed, stay inside their frame, and say what the numbers say."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.output.report.plots import heat_level, short_count, sparkline

NIGHTS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 10**8), st.sampled_from(["ok", "suspect"])),
        st.tuples(st.none(), st.sampled_from(["failed", "rejected", "skipped", ""])),
    ),
    max_size=60,
)


def drawn(svg: str, name: str) -> list[tuple[int, int]]:
    """Every point that the path of this class comes to."""
    path = ElementTree.fromstring(svg).find(f"path[@class='{name}']")
    points: list[tuple[int, int]] = []
    x = y = 0
    for command, numbers in re.findall(r"([Mhl])([^Mhl]*)", "" if path is None else path.attrib["d"]):
        values = [int(number) for number in numbers.split()]
        x, y = (values[0], values[1]) if command == "M" else (x + values[0], y + (values[1] if command == "l" else 0))
        points.append((x, y))
    return points


def test_a_level_taxon_is_one_line_and_a_dot() -> None:
    svg = sparkline([7, 7, 7], ["ok"] * 3)
    assert drawn(svg, "l") == [(2, 10), (2, 10), (6, 10)]
    assert drawn(svg, "e") == [(6, 10), (6, 10)]


def test_a_night_without_a_count_is_a_gap() -> None:
    svg = sparkline([5, None, 5], ["ok", "failed", "ok"])
    assert svg.count("M2 10h0M6 10h0") == 1


def test_a_doubted_count_is_marked_and_not_on_the_line() -> None:
    svg = sparkline([100, 100, 10], ["ok", "ok", "suspect"])
    assert drawn(svg, "q")[0] == (6, 18)
    assert max(x for x, _ in drawn(svg, "l")) == 4
    assert drawn(svg, "e") == []


def test_a_change_below_a_hundredth_stays_small() -> None:
    heights = {y for _, y in drawn(sparkline([1_000_000, 1_000_100], ["ok", "ok"]), "l")}
    assert max(heights) - min(heights) <= 1


def test_nothing_known_draws_nothing() -> None:
    assert sparkline([None, None], ["rejected", "rejected"]) == ""
    assert sparkline([], []) == ""


@given(NIGHTS)
def test_the_line_rises_with_the_counts_and_stays_inside(nights: list[tuple[int | None, str]]) -> None:
    svg = sparkline([count for count, _ in nights], [status for _, status in nights])
    if not svg:
        assert len(nights) < 2 or all(count is None for count, _ in nights)
        return
    _, _, width, height = map(int, ElementTree.fromstring(svg).attrib["viewBox"].split())
    points = drawn(svg, "l") + drawn(svg, "q")
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    by_night = {x // 2 - 1: y for x, y in points}
    known = [
        (count, by_night[night]) for night, (count, _) in enumerate(nights) if count is not None and night in by_night
    ]
    ordered = [y for _, y in sorted(known, key=lambda pair: (pair[0], -pair[1]))]
    assert ordered == sorted(ordered, reverse=True)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (970, "970"), (999, "999"), (1000, "1.0k"), (9_949, "9.9k"), (9_950, "10k"), (99_600, "100k"),
     (999_499, "999k"), (999_500, "1.0M"), (1_250_000, "1.3M"), (9_100_000, "9.1M"), (10**12, "1e+12")],
)  # fmt: skip
def test_a_short_count_rounds_and_changes_its_unit(count: int, shown: str) -> None:
    assert short_count(count) == shown


@given(st.integers(0, 10**11))
def test_a_short_count_is_short_and_near(count: int) -> None:
    text = short_count(count)
    assert len(text) <= 4
    value = float(text.rstrip("kMG")) * {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1)
    assert value == pytest.approx(count, rel=0.051)


def test_a_level_is_a_power_of_ten() -> None:
    assert [heat_level(count) for count in (0, 1, 9, 10, 999, 10**6, 10**7, 10**9)] == [0, 1, 1, 2, 3, 7, 8, 8]
