"""Two programs that share no code count the same records: the holdings, and the embedded server with the same file."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from batchsum.model.filters import FILTER_NAMES, FilterSet
from batchsum.run.holdings.count import count_held
from batchsum.run.holdings.sums import Wanted
from tests.fakes.local_ncbi_server import Served, serving
from tests.run.holdings import reports
from tests.run.holdings.reports import CATTLE, CHICKEN, CORONAVIRIDAE, HUMAN, MAMMALS, SARS1, SARS2, SPECIES

T = TypeVar("T")

DAYS = [f"2025-0{month}-{day:02}" for month in (1, 2, 3) for day in (1, 2, 15)]
PLACES = [
    None,
    {"geographicLocation": "USA: Boston, MA", "geographicRegion": "North America", "usaState": "MA"},
    {"geographicLocation": "USA", "geographicRegion": "North America"},
    {"geographicLocation": "Viet Nam: a: b", "geographicRegion": "Asia"},
    {"geographicLocation": "Antarctica", "geographicRegion": "Antarctica"},
]
LINEAGES = ["BA.2", "BA.2.86", "XFG"]


def one_of(*values: T) -> st.SearchStrategy[T]:
    return st.sampled_from(values)


@st.composite
def some_records(draw: st.DrawFn) -> list[dict[str, Any]]:
    virus = st.builds(reports.organism, one_of(SARS2, SARS1, SPECIES, CORONAVIRIDAE))
    with_lineage = st.builds(reports.organism, st.just(SARS2), pangolinClassification=one_of(*LINEAGES))
    record = st.fixed_dictionaries(
        {
            "virus": virus | with_lineage,
            "host": st.none() | st.builds(reports.organism, one_of(HUMAN, CATTLE, CHICKEN, MAMMALS)),
            "location": one_of(*PLACES),
            "completeness": one_of(None, "COMPLETE", "PARTIAL"),
            "isAnnotated": one_of(None, True, False),
            "sourceDatabase": one_of("RefSeq", "GenBank"),
            "releaseDate": one_of(*DAYS).map(lambda day: f"{day}T00:00:00Z"),
            "updateDate": one_of(None, *DAYS),
        }
    )
    records = draw(st.lists(record, min_size=1, max_size=25))
    # One of each host, so that every name that is asked for is known to both.
    records += [{"host": reports.organism(host, commonName=name)} for host, name in NAMED_HOSTS.items()]
    return [reports.record(number, **each) for number, each in enumerate(records)]


NAMED_HOSTS = {HUMAN: "human", CATTLE: "cattle", CHICKEN: "chicken"}
ACCESSIONS = [f"PP{number:06}{version}" for number in range(4) for version in ("", ".1", ".2")]


FILTERS: dict[str, st.SearchStrategy[Any]] = {
    "updated_since": one_of(*DAYS),
    "host": one_of("9606", "40674", "131567", "human", "Mammalia", "GALLUS gallus", "Cattle"),
    "pangolin_classification": one_of(*LINEAGES, "B.1"),
    "geo_location": one_of("North America", "USA", "Asia", "Viet Nam", "Antarctica", "Chad"),
    "usa_state": one_of("MA", "CA"),
    "refseq_only": st.just(True),
    "annotated_only": st.just(True),
    "complete_only": st.just(True),
    "accessions": st.lists(one_of(*ACCESSIONS), min_size=1, max_size=5).map(tuple),
    "include_sequence": st.just(("GENOME",)),
    "released_since": one_of(*DAYS),
}


def test_every_filter_is_tried() -> None:
    # One that the counting does not know would be passed over, and its rows would count too much.
    assert {*FILTERS, "aux_report"} == {*FILTER_NAMES}, "FILTERS: the values that are tried"


@st.composite
def some_filters(draw: st.DrawFn) -> FilterSet:
    """Few at a time, for with many nothing is left to count."""
    given = {name: draw(FILTERS[name]) for name in draw(st.sets(one_of(*FILTERS), max_size=3))}
    if "released_since" in given and (days := draw(one_of(0, 1, 14, 31))):
        given["released_before"] = date.fromisoformat(given["released_since"]) + timedelta(days)
    return FilterSet(**given)


def count_at(server: Served, taxon: int, filters: FilterSet) -> int:
    """As the server counts; for a window as the night subtracts."""
    counts = []
    for one in filters.asked():
        query: dict[str, list[str]] = {}
        for name, value in one.parameters():
            query.setdefault(name, []).append(value)
        counts.append(server.count(taxon, **query))
    return counts[0] - sum(counts[1:])


# Few servers that are asked much: each reads the whole taxonomy first. To make a failing example smaller would start
# hundreds of them, for minutes, and the example fills pages: what the assertion says of one filter set is enough.
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target], verbosity=Verbosity.quiet,
)  # fmt: skip
@given(
    records=some_records(),
    wanted=st.lists(st.tuples(one_of(SARS2, SARS1, SPECIES, CORONAVIRIDAE), some_filters()), min_size=20, max_size=60),
    form=one_of("plain", "gzip", "zip"),
    spell=one_of(list, reports.snake_cased),
)
def test_the_embedded_server_counts_the_same(
    tmp_path: Path,
    records: list[dict[str, Any]],
    wanted: Sequence[tuple[int, FilterSet]],
    form: str,
    spell: Callable[[list[Any]], list[Any]],
) -> None:
    path = reports.write(tmp_path / "report", spell(records), form)
    held = count_held(path, CORONAVIRIDAE, [Wanted(taxon, str(taxon), filters) for taxon, filters in wanted])
    assert held.total == len(records)
    with serving(catalogue=[path]) as server:
        for (taxon, filters), count in zip(wanted, held.counts, strict=True):
            if taxon in held.covers or taxon == CORONAVIRIDAE:
                there = count_at(server, taxon, filters)
                why = f"taxon {taxon} under {filters.text()}: run/holdings/tally.py has {count}, local_ncbi {there}"
                assert count == there, why
            else:
                assert count is None
