"""Rows in job order, each different request once, relative dates resolved once."""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchsum.model.filters import FilterSet
from batchsum.model.job import Job, ListedTaxon, NamedSet, OutputSettings, Windows
from batchsum.model.queries import Guards, request_key
from batchsum.run.plan import Plan

TODAY = date(2026, 11, 23)  # a Monday
ALL = NamedSet("all", FilterSet())
HUMAN = NamedSet("human", FilterSet(host="human"))


def job(*taxa: ListedTaxon | str, sets: tuple[NamedSet, ...] = (ALL, HUMAN), **fields: Any) -> Job:
    listed = [ListedTaxon(taxon) if isinstance(taxon, str) else taxon for taxon in taxa]
    return Job(Path("job.yaml"), "job", listed, sets, OutputSettings(Path("out")), **fields)


def keys(plan_of: Job) -> list[str]:
    return [request_key(request) for request in Plan(plan_of, TODAY).requests()]


def test_rows_go_taxon_by_taxon_and_inside_by_filter_set() -> None:
    plan = Plan(job("2", ListedTaxon("1", "one", (HUMAN,)), "2"), TODAY)
    rows = [(query.taxon, query.label, query.filter_set) for query in plan.queries()]
    assert rows == [("2", "", "all"), ("2", "", "human"), ("1", "one", "human"), ("2", "", "all"), ("2", "", "human")]
    assert (plan.query_count, plan.request_count) == (5, 3)


def test_the_different_filters_come_in_the_order_of_the_job() -> None:
    """Whatever the run's hashes: which of two wider rows a doubt names depends on it."""
    sets = tuple(NamedSet(host, FilterSet(host=host)) for host in ("human", "pig", "bat", "bird", "camel", "cat"))
    plan = Plan(job("1", "2", ListedTaxon("3", sets=(ALL, sets[0])), sets=sets), TODAY)
    assert plan.filter_sets() == [*(one.filters for one in sets), ALL.filters]


def test_the_same_under_another_name_is_asked_once() -> None:
    again = NamedSet("again", FilterSet(complete_only=False))
    dated = NamedSet("since", FilterSet(released_since=date(2026, 11, 16)))
    relative = NamedSet("week", FilterSet(released_since=timedelta(days=7)))
    assert keys(job("1", sets=(ALL, again, dated, relative))) == [
        "/virus/taxon/1/genome",
        "/virus/taxon/1/genome?released_since=2026-11-16T00%3A00%3A00Z",
    ]


def test_windows_share_their_edges() -> None:
    series = NamedSet("weekly", FilterSet(host="human"), windows=Windows(timedelta(days=7), 3))
    plan = Plan(job("1", sets=(series,)), TODAY)
    assert [query.filter_set for query in plan.queries()] == [
        "weekly/2026-11-02", "weekly/2026-11-09", "weekly/2026-11-16",
    ]  # fmt: skip
    assert plan.request_count == 4
    # All week long the rows are the same; on the next Monday they move on.
    for later in range(7):
        day = TODAY + timedelta(days=later)
        assert [*Plan(job("1", sets=(series,)), day).queries()] == [*plan.queries()]
    assert next(Plan(job("1", sets=(series,)), TODAY + timedelta(days=7)).queries()).filter_set.endswith("-09")


def test_bounds_of_a_taxon_win_over_those_of_a_set_and_of_the_job() -> None:
    strict = NamedSet("strict", FilterSet(), {"max_drop": 0.1, "min_drop": 1})
    plan = Plan(
        job("1", ListedTaxon("2", guards={"max_drop": 0.6}), sets=(ALL, strict), guards=Guards(allow_zero=True)), TODAY
    )
    bounds = {(query.taxon, query.filter_set): query.guards for query in plan.queries()}
    assert bounds == {
        ("1", "all"): Guards(allow_zero=True),
        ("1", "strict"): Guards(0.1, 1, allow_zero=True),
        ("2", "all"): Guards(0.6, allow_zero=True),
        ("2", "strict"): Guards(0.6, 1, allow_zero=True),
    }


def test_the_hash_of_a_job_is_the_same_every_day_and_another_for_other_rows() -> None:
    week = NamedSet("week", FilterSet(released_since=timedelta(days=7)))
    one, other = job("1", sets=(week,)), job("1", sets=(NamedSet("week", FilterSet(released_since=timedelta(days=8))),))
    assert Plan(one, TODAY).job_hash() == Plan(one, TODAY + timedelta(days=1)).job_hash()
    assert Plan(one, TODAY).job_hash() != Plan(other, TODAY).job_hash()
    assert Plan(job("1", "2"), TODAY).job_hash() != Plan(job("2", "1"), TODAY).job_hash()


SETS = st.sampled_from(
    [
        ALL,
        HUMAN,
        NamedSet("people", FilterSet(host="human")),
        NamedSet("window", FilterSet(released_since=date(2025, 1, 1), released_before=date(2025, 2, 1))),
        NamedSet("since", FilterSet(released_since=date(2025, 2, 1))),
    ]
)
TAXA = st.builds(
    ListedTaxon,
    st.sampled_from(["1", "2", "Virus é"]),
    sets=st.none() | st.lists(SETS, min_size=1, max_size=3, unique=True).map(tuple),
)


@given(st.lists(TAXA, max_size=6), st.lists(SETS, min_size=1, max_size=4, unique=True))
def test_every_row_finds_its_requests_and_none_is_asked_twice(taxa: list[ListedTaxon], sets: list[NamedSet]) -> None:
    plan = Plan(job(*taxa, sets=tuple(sets)), TODAY)
    asked = [request_key(request) for request in plan.requests()]
    needed = [request_key(request) for query in plan.queries() for request in query.requests()]
    assert asked == list(dict.fromkeys(needed))
    assert plan.request_count == len(asked)
    assert plan.query_count == len(list(plan.queries()))


def dates_of(plan_of: Job) -> Mapping[str, FilterSet]:
    return Plan(plan_of, TODAY).dated_sets()


def test_dated_sets_are_those_with_a_date() -> None:
    week = NamedSet("week", FilterSet(updated_since=timedelta(days=7)))
    assert dates_of(job("1", sets=(ALL, week))) == {"week": FilterSet(updated_since=date(2026, 11, 16))}


def test_all_windows_of_a_set_are_told_together() -> None:
    filters = FilterSet(host="human", updated_since=timedelta(days=7))
    weekly = NamedSet("weekly", filters, windows=Windows(timedelta(days=7), 3))
    first, behind_last, updated = date(2026, 11, 2), date(2026, 11, 23), date(2026, 11, 16)
    together = FilterSet(host="human", released_since=first, released_before=behind_last, updated_since=updated)
    assert dates_of(job("1", sets=(weekly,))) == {"weekly/*": together}
