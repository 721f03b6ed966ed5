"""Filters mean what they say: properties over random questions, against a server that runs."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchsum.local_ncbi.catalogue import Catalogue, open_catalogue
from batchsum.local_ncbi.question import parameters
from batchsum.local_ncbi.records import CONTINENT_OF, read_table, us_states
from tests.fakes.local_ncbi_server import Served, serving

TODAY = date(2026, 11, 20)
# Each with one of its ancestors.
FAMILIES = [
    (11320, 197911),
    (2697049, 694009),
    (11053, 12637),
    (208893, 11250),
    (1980456, 1980442),
    (42789, 12059),
    (10244, 10239),
    (211044, 11320),
    (1335626, 694002),
]
HOSTS = {"human": "primates", "chicken": "birds", "pig": "mammals", "Aedes aegypti": "mosquitos", "9685": "Felidae"}

days = st.dates(date(2019, 1, 1), TODAY)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "refseq_only": st.just("true"),
    "annotated_only": st.just("true"),
    "complete_only": st.just("true"),
    "released_since": days.map(date.isoformat),
    "updated_since": days.map(date.isoformat),
    "host": st.sampled_from(sorted([*HOSTS, *HOSTS.values()])),
    "pangolin_classification": st.sampled_from(["JN.1", "BA.2", "XFG"]),
    "geo_location": st.sampled_from(["Asia", "Europe", "USA", "Viet Nam", "united kingdom"]),
    "usa_state": st.sampled_from(["CA", "ny"]),
}
filter_sets = st.fixed_dictionaries({}, optional=VALUES)
families = st.sampled_from(FAMILIES)
taxa = families.map(lambda family: family[0])
bounded = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(as_of=TODAY) as served:
        yield served


def test_every_filter_is_tried() -> None:
    assert VALUES.keys() == parameters("filters").keys(), "VALUES: of each filter that chooses records"


@bounded
@given(taxon=taxa, filters=filter_sets, data=st.data())
def test_a_filter_more_finds_no_more(server: Served, taxon: int, filters: dict[str, str], data: Any) -> None:
    fewer = data.draw(st.sets(st.sampled_from(sorted(filters)))) if filters else set()
    wider = {name: value for name, value in filters.items() if name not in fewer}
    assert server.count(taxon, **filters) <= server.count(taxon, **wider) <= server.count(taxon)


@bounded
@given(family=families, filters=filter_sets)
def test_a_child_has_no_more_than_its_parent(server: Served, family: tuple[int, int], filters: dict[str, str]) -> None:
    child, parent = family
    assert server.count(child, **filters) <= server.count(parent, **filters)


@bounded
@given(
    taxon=taxa,
    filters=filter_sets,
    name=st.sampled_from(["released_since", "updated_since"]),
    two=st.tuples(days, days),
)
def test_a_later_date_finds_no_more(
    server: Served, taxon: int, filters: dict[str, str], name: str, two: tuple[date, date]
) -> None:
    early, late = (server.count(taxon, **{**filters, name: day.isoformat()}) for day in sorted(two))
    assert late <= early


@bounded
@given(taxon=taxa, filters=filter_sets)
def test_updated_is_never_before_released(server: Served, taxon: int, filters: dict[str, str]) -> None:
    filters.pop("updated_since", None)
    day = filters.pop("released_since", "2025-06-01")
    assert server.count(taxon, **filters, released_since=day) <= server.count(taxon, **filters, updated_since=day)


@settings(bounded, max_examples=10)
@given(taxon=taxa, filters=filter_sets)
def test_continents_are_disjoint_and_countries_within(server: Served, taxon: int, filters: dict[str, str]) -> None:
    filters.pop("geo_location", None)
    by_continent = {
        name: server.count(taxon, **filters, geo_location=name) for name in set(CONTINENT_OF.values()) - {""}
    }
    assert sum(by_continent.values()) <= server.count(taxon, **filters)
    countries = {row["country"] for row in read_table("demo_places.tsv")}
    for continent, count in by_continent.items():
        if count:
            inside = [country for country in countries if CONTINENT_OF[country] == continent]
            assert sum(server.count(taxon, **filters, geo_location=country) for country in inside) == count


@settings(bounded, max_examples=10)
@given(taxon=taxa, filters=filter_sets)
def test_states_are_within_the_usa(server: Served, taxon: int, filters: dict[str, str]) -> None:
    for name in ("usa_state", "geo_location"):
        filters.pop(name, None)
    states = sum(server.count(taxon, **filters, usa_state=state) for state in us_states())
    assert states <= server.count(taxon, **filters, geo_location="USA")


@bounded
@given(taxon=taxa, filters=filter_sets, host=st.sampled_from(sorted(HOSTS.items())))
def test_a_host_has_no_more_than_the_taxon_above_it(
    server: Served, taxon: int, filters: dict[str, str], host: tuple[str, str]
) -> None:
    below, above = (server.count(taxon, **{**filters, "host": name}) for name in host)
    assert below <= above


@bounded
@given(taxon=taxa, filters=filter_sets)
def test_records_and_summary_agree(server: Served, taxon: int, filters: dict[str, str]) -> None:
    summary = server.summary(taxon, **filters)
    page = server.ask(
        f"/virus/taxon/{taxon}/dataset_report", {f"filter.{name}": value for name, value in filters.items()}
    ).json
    assert page["total_count"] == summary["record_count"]
    assert len(page.get("reports", [])) == min(20, summary["record_count"])
    for report in page.get("reports", []):
        assert matches(report, filters), (report, filters)


def matches(report: dict[str, Any], filters: dict[str, str]) -> bool:
    """The filters applied again, to the record as it is shown."""
    location = report.get("location", {})
    host = {str(step["tax_id"]) for step in report.get("host", {}).get("lineage", [])}
    host |= {step["name"].casefold() for step in report.get("host", {}).get("lineage", [])}
    named = {"human": "9606", "primates": "9443", "chicken": "9031", "birds": "8782", "pig": "9823",
             "mammals": "40674", "mosquitos": "7157"}  # fmt: skip
    country = location.get("geographic_location", "").partition(":")[0].casefold()
    tests = {
        "refseq_only": lambda value: report["source_database"] == "RefSeq",
        "annotated_only": lambda value: report.get("is_annotated"),
        "complete_only": lambda value: report["completeness"] == "COMPLETE",
        "released_since": lambda value: report["release_date"][:10] >= value,
        "updated_since": lambda value: report["update_date"][:10] >= value,
        "host": lambda value: named.get(value, value).casefold() in host,
        "pangolin_classification": lambda value: report["virus"].get("pangolin_classification") == value,
        "geo_location": lambda value: value.casefold() in (country, location.get("geographic_region", "").casefold()),
        "usa_state": lambda value: location.get("usa_state", "").casefold() == value.casefold(),
    }
    return all(tests[name](value) for name, value in filters.items())


@settings(bounded, max_examples=8)
@given(taxon=st.sampled_from([11320, 197911, 12059]), size=st.integers(1, 1000), filters=filter_sets.filter(len))
def test_pages_hold_every_record_once(server: Served, taxon: int, size: int, filters: dict[str, str]) -> None:
    query = {f"filter.{name}": value for name, value in filters.items()} | {"page_size": str(size)}
    size_of_all = server.count(taxon, **filters)
    seen: list[str] = []
    for _ in range(30):
        page = server.ask(f"/virus/taxon/{taxon}/dataset_report", query).json
        seen += [report["accession"] for report in page.get("reports", [])]
        if "next_page_token" not in page:
            assert len(seen) == size_of_all
            break
        query["page_token"] = page["next_page_token"]
    assert len(seen) == len(set(seen)) <= size_of_all


def test_a_page_token_belongs_to_its_question(server: Served) -> None:
    token = server.ask("/virus/taxon/11320/dataset_report", {"page_size": "5"}).json["next_page_token"]
    path = "/virus/taxon/2697049/dataset_report"
    for wrong in (token, "x", "AAAA", "é", token[:-3]):
        assert server.ask(path, {"page_size": "5", "page_token": wrong}).status == 400


def counts_as_of(day: date) -> dict[int, tuple[int, str]]:
    with serving(as_of=day) as served:
        documents = {taxon: served.summary(taxon) for taxon, _ in FAMILIES}
    return {taxon: (doc["record_count"], doc["resource_updated_on"]) for taxon, doc in documents.items()}


# Two years, for a catalogue that ends with another year is another one, and takes seconds to build.
@settings(bounded, max_examples=6)
@given(day=st.dates(date(2025, 10, 1), date(2026, 11, 30)), later=st.integers(1, 30))
def test_numbers_grow_from_day_to_day(day: date, later: int) -> None:
    first, again, second = counts_as_of(day), counts_as_of(day), counts_as_of(day + timedelta(days=later))
    assert first == again
    for taxon, (count, updated) in first.items():
        assert count <= second[taxon][0]
        assert updated == f"{day}T14:33:00Z"
        assert second[taxon][1] == f"{day + timedelta(days=later)}T14:33:00Z"


def test_a_later_day_keeps_the_earlier_records_as_they_were() -> None:
    def records(day: date) -> dict[str, dict[str, Any]]:
        with serving(as_of=day) as served:
            body = {"filter": {"taxon": "1335626"}, "page_size": 1000}
            return {each["accession"]: each for each in served.ask("/virus", body=body).json["reports"]}

    early, late = records(date(2025, 12, 20)), records(date(2026, 6, 1))
    assert set(early) < set(late)
    for accession, record in early.items():
        updates = record.pop("update_date"), late[accession].pop("update_date")
        assert updates[0] <= updates[1]
        assert record == late[accession]


def test_each_server_has_a_catalogue_of_its_own() -> None:
    with closing(open_catalogue(2025)) as first, closing(open_catalogue(2026)) as later:
        assert 13188 < record_count(first) < record_count(later)
    with closing(open_catalogue(2025)) as again:
        assert record_count(again) > 13188


def record_count(catalogue: Catalogue) -> int:
    return int(catalogue.database.execute("SELECT count(*) FROM record").fetchone()[0])


def test_two_nights_differ_for_some_taxa_and_not_for_others() -> None:
    nights = [counts_as_of(date(2026, 11, day)) for day in (19, 20)]
    differing = [taxon for taxon in nights[0] if nights[0][taxon][0] != nights[1][taxon][0]]
    assert 0 < len(differing) < len(FAMILIES)


def test_a_week_is_a_small_part(server: Served) -> None:
    week = server.count(2697049, released_since=(TODAY - timedelta(days=7)).isoformat())
    assert 0 < week < server.count(2697049) / 50
