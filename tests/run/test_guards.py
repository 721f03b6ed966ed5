"""Each guard by itself: what it says, when it keeps silent, and where its bounds lie."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.model.filters import FILTER_COLUMNS, FilterSet
from batchsum.model.queries import (
    Believed,
    Failure,
    FileSummary,
    Guards,
    Package,
    Past,
    Query,
    Summary,
    Verdict,
    combine,
)
from batchsum.run.guards import includes, judge

QUERY = Query("11320", "all", FilterSet())


def believed(count: int, *, highest: int | None = None, updated: str | None = None, filters: str = "") -> Past:
    return Past(Believed("2026-11-22", filters, count, updated, count if highest is None else highest), "ok")


def verdict(count: int, past: Past = Past(), query: Query = QUERY, **fields: object) -> tuple[str, str]:
    found = judge(query, Summary(count)._replace(**fields), past)
    return found.status, found.error


@pytest.mark.parametrize(
    ("before", "now", "status"),
    [
        (100, 80, "ok"),  # exactly 20 %: not more than max_drop
        (100, 79, "suspect"),
        (10, 5, "suspect"),  # exactly min_drop
        (10, 6, "ok"),  # 40 %, but fewer than 5 records
        (5, 0, "suspect"),
        (1, 0, "suspect"),
        (0, 0, "empty"),
        (100, 500, "ok"),
    ],
)
def test_fell_and_vanished(before: int, now: int, status: str) -> None:
    assert verdict(now, believed(before))[0] == status


def test_a_fall_of_just_max_drop_is_no_fall() -> None:
    for percent in range(1, 100):
        query = QUERY._replace(guards=Guards(max_drop=percent / 100))
        assert verdict(700 - 7 * percent, believed(700), query)[0] == "ok"
        assert verdict(699 - 7 * percent, believed(700), query)[0] == "suspect"


def test_words_of_a_fall_name_the_guard_first() -> None:
    assert verdict(70, believed(95, highest=100))[1] == "fell: 70 is 30.0 % below 100; 95 on 2026-11-22"
    assert verdict(0, believed(1234))[1] == "vanished: 1,234 on 2026-11-22, now none"


def test_a_slow_fall_is_held_against_the_highest_of_the_nights() -> None:
    assert verdict(79, believed(82, highest=100))[0] == "suspect"


def test_allow_zero_lets_nothing_pass_but_zero() -> None:
    query = QUERY._replace(guards=Guards(allow_zero=True))
    assert verdict(0, believed(100), query) == ("empty", "")
    assert verdict(1, believed(100), query)[0] == "suspect"


def test_max_drop_of_everything_still_guards_against_vanishing() -> None:
    query = QUERY._replace(guards=Guards(max_drop=1.0))
    assert verdict(1, believed(100), query)[0] == "ok"
    assert verdict(0, believed(100), query)[0] == "suspect"


def test_a_zero_that_may_be_is_judged_by_its_date_all_the_same() -> None:
    query = QUERY._replace(guards=Guards(allow_zero=True))
    past = believed(30, updated="2026-11-20")
    assert verdict(0, past, query, resource_updated_on="2026-11-19") == ("empty", "")
    assert verdict(0, past, query, resource_updated_on="2026-11-02")[1].startswith("went_back: ")


@pytest.mark.parametrize("count", [0, 3])
def test_what_moves_with_the_night_is_not_held_against_its_past(count: int) -> None:
    query = QUERY._replace(is_rolling=True)
    past = believed(900, updated="2026-11-20")
    assert verdict(count, past, query, resource_updated_on="2026-10-01")[1] == ""


def test_a_row_that_is_refused_by_status_is_rejected_although_it_was_believed() -> None:
    forbidden = Failure("rejected", "http_451", "for legal reasons; NCBI answers other queries")
    assert judge(QUERY, forbidden, believed(12)) == Verdict("rejected", error=str(forbidden), previous_record_count=12)


def test_another_filter_than_last_night_is_not_compared() -> None:
    past = believed(100, filters="released_since=2026-11-15", updated="2026-11-22")
    assert verdict(1, past, resource_updated_on="2020-01-01") == ("ok", "")


@pytest.mark.parametrize(
    ("before", "now", "status"),
    [
        ("2026-11-20T00:00:00Z", "2026-11-18T23:59:59Z", "suspect"),
        ("2026-11-20T00:00:00Z", "2026-11-19T00:00:00Z", "ok"),  # exactly a day: a copy that lags
        ("2026-11-20T00:00:00Z", "2026-11-19T01:00:00+02:00", "suspect"),
        ("2026-11-20T00:00:00Z", "2026-11-20", "ok"),
        ("2026-11-20", None, "ok"),
        (None, "2020-01-01", "ok"),
    ],
)
def test_went_back(before: str | None, now: str | None, status: str) -> None:
    found, error = verdict(10, believed(10, updated=before), resource_updated_on=now)
    assert found == status
    assert error.startswith("went_back: ") is (status == "suspect")


def test_a_believed_taxon_that_is_unknown_now_is_refused_and_not_rejected() -> None:
    unknown = Failure("rejected", "unknown_taxon", "no such taxon")
    assert judge(QUERY, unknown).status == "rejected"
    assert judge(QUERY, unknown, Past(last_status="rejected")).status == "rejected"
    doubt = judge(QUERY, unknown, believed(0))
    assert (doubt.status, doubt.record_count, doubt.previous_record_count) == ("suspect", None, 0)
    assert doubt.error.startswith("refused: believed on 2026-11-22")
    assert judge(QUERY, unknown, believed(5), accepted=True).status == "rejected"


def test_a_filter_that_was_edited_into_nonsense_is_rejected_and_not_refused() -> None:
    bad = Failure("rejected", "bad_request", "no such lineage")
    assert judge(QUERY, bad, believed(5, filters="host=human")).status == "rejected"
    assert judge(QUERY, bad, believed(5)).status == "suspect"


@pytest.mark.parametrize(
    ("summary", "count"),
    [
        (Summary(None, hydrated=Package(3)), None),
        (Summary(0, available_files={"all_genomic_fasta": FileSummary(1, 2.5)}), 0),
        (Summary(4, errors=("half is missing",)), 4),
        (Summary(-1), None),
    ],
)
def test_contradicts_itself(summary: Summary, count: int | None) -> None:
    found = judge(QUERY, summary)
    assert (found.status, found.record_count) == ("suspect", count)
    assert found.error.startswith("contradicts_itself: ")


def test_what_the_user_accepts_is_believed_but_never_a_missing_count() -> None:
    assert judge(QUERY, Summary(1), believed(100), accepted=True).status == "ok"
    assert judge(QUERY, Summary(None, hydrated=Package(3)), accepted=True).status == "suspect"


def test_failures_stay_what_they_are() -> None:
    for status in ("failed", "skipped"):
        found = judge(QUERY, Failure(status, "timeout", "60 s"), believed(9))  # type: ignore[arg-type]
        assert (found.status, found.record_count, found.previous_record_count) == (status, None, 9)
        assert found.error == "timeout: 60 s"


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (FilterSet(), FilterSet(host="human")),
        (FilterSet(), FilterSet(refseq_only=True)),
        (FilterSet(geo_location="USA"), FilterSet(usa_state="CA")),
        (FilterSet(geo_location="USA"), FilterSet(geo_location="USA", usa_state="CA")),
        (FilterSet(released_since=date(2025, 1, 1)), FilterSet(released_since=date(2025, 2, 1))),
        (FilterSet(host="Human"), FilterSet(host="human", complete_only=True)),
        (FilterSet(accessions=("A1", "B2")), FilterSet(accessions=("B2",))),
        (
            FilterSet(released_since=date(2025, 1, 1)),
            FilterSet(released_since=date(2025, 1, 1), released_before=date(2025, 2, 1)),
        ),
    ],
)
def test_includes(wide: FilterSet, narrow: FilterSet) -> None:
    assert includes(wide, narrow)
    assert not includes(narrow, wide)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FilterSet(host="human"), FilterSet(host="cat")),
        (FilterSet(host="human"), FilterSet(refseq_only=True)),
        (FilterSet(), FilterSet(include_sequence=("CDS",))),  # the same records, another package
        (FilterSet(geo_location="Asia"), FilterSet(usa_state="CA")),
        (FilterSet(released_since=date(2025, 1, 1)), FilterSet(updated_since=date(2025, 2, 1))),
    ],
)
def test_neither_includes_the_other(one: FilterSet, other: FilterSet) -> None:
    assert not includes(one, other)
    assert not includes(other, one)


DAYS = st.sampled_from([None, date(2025, 1, 1), date(2025, 6, 1)])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "refseq_only": st.booleans(),
    "annotated_only": st.booleans(),
    "complete_only": st.booleans(),
    "host": st.sampled_from(["", "human", "cat"]),
    "pangolin_classification": st.sampled_from(["", "XFG"]),
    "geo_location": st.sampled_from(["", "USA", "Asia"]),
    "usa_state": st.sampled_from(["", "CA"]),
    "released_since": DAYS,
    "released_before": DAYS,
    "updated_since": DAYS,
    "accessions": st.sampled_from([(), ("A1",), ("A1", "B2")]),
}


def test_every_filter_is_tried() -> None:
    assert VALUES.keys() ^ FILTER_COLUMNS == {"include_sequence", "aux_report"}, "VALUES: all that choose records"


@st.composite
def three_sets(draw: st.DrawFn) -> tuple[FilterSet, FilterSet, FilterSet]:
    """Of few filters at a time, for of many hardly any set includes another."""
    names = draw(st.sets(st.sampled_from([*VALUES]), max_size=3))
    values = st.fixed_dictionaries({name: VALUES[name] for name in sorted(names)})
    one = values.map(lambda filters: FilterSet(**filters))
    return draw(st.tuples(one, one, one))


@given(three_sets())
def test_including_is_an_order(sets: tuple[FilterSet, FilterSet, FilterSet]) -> None:
    one, two, three = sets
    assert not includes(one, one)
    if includes(one, two) and includes(two, three):
        assert includes(one, three)


def test_a_window_subtracts_and_its_worse_half_wins() -> None:
    since = Summary(9, 9, hydrated=Package(5, "https://e.org"), available_files={"cds_fasta": FileSummary(2, 0.3)})
    until = Summary(4, 4, hydrated=Package(2), available_files={"cds_fasta": FileSummary(1, 0.1)})
    window = combine([since, until])
    assert window == Summary(5, 5, hydrated=Package(3), available_files={"cds_fasta": FileSummary(1, 0.2)})
    failed, rejected = Failure("failed", "timeout"), Failure("rejected", "bad_request")
    assert combine([since, failed]) == failed
    assert combine([failed, rejected]) == rejected
    assert combine([since, Summary(None, hydrated=Package(1))]).record_count is None  # type: ignore[union-attr]
