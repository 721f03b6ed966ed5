"""What the dates of a night are, which answers make a window, and when NCBI as a whole is stale."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.model.queries import Answer, Failure, Summary, moment
from batchsum.run.data_dates import DataDates, data_dates, stale_date
from batchsum.run.windows import answer_of_window

MORNING, NOON, LATER = "2026-08-03T06:10:00Z", "2026-08-03T12:45:00Z", "2026-08-04T06:00:00Z"
OLD = "2026-07-31T06:10:00Z"


@pytest.mark.parametrize(
    ("dates", "common"),
    [
        ({}, DataDates(True)),
        ({"soon": 40}, DataDates(True)),  # nobody can read it: no dated answer
        ({MORNING: 30}, DataDates(True, MORNING)),
        ({MORNING: 5, OLD: 3, "2026-07-01": 2}, DataDates(True, MORNING)),  # exactly half
        ({MORNING: 4, OLD: 3, "2026-07-01": 2}, DataDates(False)),
        ({MORNING: 4, NOON: 5, OLD: 1}, DataDates(True, NOON)),
        ({MORNING: 9, NOON: 9, OLD: 2}, DataDates(True, NOON)),  # nine in ten, of equal ones the later
        ({MORNING: 8, NOON: 8, OLD: 4}, DataDates(False)),
        ({MORNING: 48, OLD: 47, "2026-07-01": 5}, DataDates(False)),  # days apart: no two copies
        ({MORNING: 1, OLD: 1, "2026-07-01": 1, "2026-06-01": 1}, DataDates(True, MORNING)),  # fewer than five
        ({MORNING: 1, "2026-08-03T08:10:00+02:00": 1, **{f"2026-07-0{day}": 1 for day in range(1, 3)}},
         DataDates(True, MORNING)),
    ],
)  # fmt: skip
def test_dates_are_common_or_the_rows_own(dates: dict[str, int], common: DataDates) -> None:
    found = data_dates(dates)
    assert found.are_common == common.are_common
    assert moment(found.date) == moment(common.date)


DATES = st.dictionaries(
    st.integers(0, 40).map(lambda hours: f"{datetime(2026, 8, 1, tzinfo=UTC) + timedelta(hours=hours):%FT%TZ}"),
    st.integers(1, 30),
    max_size=6,
)


@given(DATES)
def test_dates_are_common_as_the_words_say(dates: dict[str, int]) -> None:
    total = sum(dates.values())
    pairs = [
        dates[one] + dates[two]
        for one in dates
        for two in dates
        if one < two and moment(two) - moment(one) < timedelta(days=1)  # type: ignore[operator]
    ]
    expected = total < 5 or max(dates.values()) * 2 >= total or max(pairs, default=0) * 10 >= total * 9
    found = data_dates(dates)
    assert found.are_common is expected
    assert found.date == (max(dates, key=lambda text: (dates[text], text)) if expected and dates else None)


def told(count: int, on: str | None = None) -> Summary:
    return Summary(count, resource_updated_on=on)


@pytest.mark.parametrize(
    ("since", "until", "count"),
    [
        ([told(50, NOON)], [told(20, NOON)], 30),
        ([told(50, NOON)], [told(20, MORNING)], None),
        ([told(50, NOON), told(48, OLD)], [told(20, OLD), told(21, NOON)], 29),  # of two moments the later
        ([told(48, OLD), told(50, NOON)], [told(20, OLD)], 28),
        ([told(50, NOON)], [told(20)], 30),  # an edge without a date contradicts none
        ([told(50), told(48, OLD)], [told(20, NOON), told(17, OLD)], 31),
    ],
)
def test_on_a_night_of_common_dates_a_window_is_of_one_moment(
    since: list[Answer], until: list[Answer], count: int | None
) -> None:
    answer = answer_of_window(since, until, DataDates(True))
    assert isinstance(answer, Summary)
    assert bool(answer.contradiction) is (count is None)
    assert count is None or answer.record_count == count


def test_with_dates_of_its_own_the_inner_edge_must_not_be_newer() -> None:
    assert answer_of_window([told(9, NOON)], [told(2, OLD)], DataDates(False)) == told(7, NOON)
    assert answer_of_window([told(9, NOON)], [told(2, NOON)], DataDates(False)) == told(7, NOON)
    assert answer_of_window([told(9)], [told(2, NOON)], DataDates(False)) == told(7)
    torn = answer_of_window([told(9, MORNING)], [told(2, NOON)], DataDates(False))
    assert isinstance(torn, Summary)
    assert torn.contradiction.startswith("the window's edges are of different states")


def test_an_edge_that_was_asked_again_for_its_other_window_spoils_none() -> None:
    """Of the first round only the outer edge was asked again, or only the inner one."""
    assert answer_of_window([told(50, NOON), told(56, LATER)], [told(20, OLD)], DataDates(False)) == told(30, NOON)
    assert answer_of_window([told(50, NOON)], [told(20, NOON), told(24, LATER)], DataDates(False)) == told(30, NOON)


def test_an_edge_that_failed_last_is_what_the_window_is() -> None:
    gone = Failure("rejected", "unknown_taxon", "no such taxon")
    assert answer_of_window([told(9, NOON)], [told(2, NOON), gone], DataDates(True)) == gone


EDGES = st.lists(
    st.builds(told, st.integers(0, 99), st.sampled_from([None, OLD, MORNING, NOON])), min_size=1, max_size=5
)


@given(EDGES, EDGES)
def test_a_window_is_the_difference_of_two_answers_that_fit_if_there_are_any(
    since: list[Summary], until: list[Summary]
) -> None:
    answer = answer_of_window(since, until, DataDates(True))
    assert isinstance(answer, Summary)
    fitting = [
        (one, two)
        for one in since
        for two in until
        if None in (dates := {one.resource_updated_on, two.resource_updated_on}) or len(dates) == 1
    ]
    assert bool(answer.contradiction) is not bool(fitting)
    pairs = fitting or [(since[-1], until[-1])]
    differences = {one.record_count - two.record_count for one, two in pairs}  # type: ignore[operator]
    assert answer.record_count in differences


@pytest.mark.parametrize(
    ("nights", "stale"),
    [
        ([], None),
        ([("2026-08-04", MORNING)], None),
        ([("2026-08-17", MORNING)], None),  # fourteen days
        ([("2026-08-18", MORNING)], "2026-08-03"),
        ([("2026-08-08", MORNING), ("2026-08-06", MORNING), ("2026-08-04", MORNING)], None),  # four days of nights
        ([("2026-08-09", MORNING), ("2026-08-06", MORNING), ("2026-08-04", MORNING)], "2026-08-03"),
        ([("2026-08-09", NOON), ("2026-08-06", NOON), ("2026-08-04", MORNING)], None),
    ],
)
def test_ncbi_is_stale(nights: list[tuple[str, str]], stale: str | None) -> None:
    found = stale_date([(date.fromisoformat(night), text) for night, text in nights], timedelta(days=14))
    assert found == (date.fromisoformat(stale) if stale else None)
