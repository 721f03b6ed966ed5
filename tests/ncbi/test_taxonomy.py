"""Names looked up through the client: against the embedded server's real taxonomy, and scripted for what is odd."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.model.queries import Failure
from batchsum.ncbi.client import DatasetsClient
from batchsum.ncbi.parse import BadAnswer
from batchsum.ncbi.taxonomy import Lookup, Name, match, parse_page, parse_suggestions
from tests.fakes.local_ncbi_server import Served, serving
from tests.fakes.scripted_taxonomy import ScriptedTaxonomy, node, scripted_taxonomy


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture
def ncbi() -> Iterator[ScriptedTaxonomy]:
    with scripted_taxonomy() as server:
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsum.ncbi.client.uniform", lambda low, high: 0.0)


@asynccontextmanager
async def looking_up(base_url: str, **options: Any) -> AsyncIterator[Lookup]:
    options = {"requests_per_second": "unlimited", "attempts": 1, **options}
    async with DatasetsClient(base_url, **options) as client:
        yield Lookup(client.post)


async def names(base_url: str, *texts: str, **options: Any) -> dict[str, Name]:
    async with looking_up(base_url, **options) as lookup:
        found = await lookup.names(texts)
    assert not isinstance(found, Failure), found
    return found


async def failure(base_url: str, *texts: str, **options: Any) -> Failure:
    async with looking_up(base_url, **options) as lookup:
        found = await lookup.names(texts)
    assert isinstance(found, Failure), found
    return found


async def test_names_and_ids_stand_for_taxa_with_their_lineage(served: Served) -> None:
    found = await names(served.base_url, "influenza a virus", "2955291", "human", "Inflenza A virus", "99999999")
    assert list(found) == ["influenza a virus", "2955291", "human", "Inflenza A virus", "99999999"]
    flu = found["influenza a virus"].taxon
    assert flu is not None
    assert (flu.tax_id, flu.scientific_name, flu.rank) == (11320, "Influenza A virus", "no rank")
    assert flu.parents[-2:] == (197911, 2955291)
    assert flu.is_virus
    human = found["human"].taxon
    assert human is not None
    assert (human.tax_id, human.rank, human.is_virus) == (9606, "species", False)
    assert [name.taxa for name in found.values()][3:] == [(), ()]


async def test_a_name_of_several_taxa_is_ambiguous(served: Served) -> None:
    name = (await names(served.base_url, "environmental samples"))["environmental samples"]
    assert name.is_ambiguous
    assert name.taxon is None
    assert len({taxon.tax_id for taxon in name.taxa}) == len(name.taxa) > 1


@pytest.mark.parametrize(
    ("text", "tax_id", "viruses"),
    [("Inflenza A virus", 11320, True), ("Measles viruss", 11234, True), ("humn", 9606, False)],
)
async def test_near_names_come_nearest_first(served: Served, text: str, tax_id: int, viruses: bool) -> None:
    async with looking_up(served.base_url) as lookup:
        near = await lookup.near(text, viruses=viruses)
    assert near[0].tax_id == tax_id
    assert len(near) <= 3


async def test_nothing_is_near_to_nonsense(served: Served) -> None:
    async with looking_up(served.base_url) as lookup:
        assert await lookup.near("xxxxx yyyyy") == []


async def test_a_thousand_names_cost_one_request(ncbi: ScriptedTaxonomy) -> None:
    found = await names(ncbi.base_url, *(str(number) for number in range(1, 2502)), "1")
    assert [len(batch) for batch in ncbi.looked_up] == [1000, 1000, 501]
    assert all(name.taxon and str(name.taxon.tax_id) == text for text, name in found.items())
    # Taxa with the same lineage share it.
    assert len({id(name.taxon.parents) for name in found.values() if name.taxon}) == 1


async def test_reports_of_all_pages_are_read(ncbi: ScriptedTaxonomy) -> None:
    ncbi.page = 2
    ncbi.names = {"twins": [node(1000), node(1001), node(1002)]}
    found = await names(ncbi.base_url, "7", "twins", "8")
    assert [len(name.taxa) for name in found.values()] == [1, 3, 1]


async def test_pages_without_end_are_no_answer(ncbi: ScriptedTaxonomy) -> None:
    ncbi.fault = (200, {"reports": [], "next_page_token": "again"})
    assert (await failure(ncbi.base_url, "7")).reason == "bad_answer"


async def test_a_merged_id_is_found_under_the_old_one(ncbi: ScriptedTaxonomy) -> None:
    ncbi.names = {"12": [node(34)]}
    taxon = (await names(ncbi.base_url, "12"))["12"].taxon
    assert taxon is not None
    assert taxon.tax_id == 34


async def test_nothing_is_unknown_while_the_canary_is_unknown(ncbi: ScriptedTaxonomy) -> None:
    ncbi.names = {"2697049": []}
    told = await failure(ncbi.base_url, "7", "Measels")
    assert (told.status, told.reason) == ("skipped", "outage")
    assert "2697049" in told.detail
    assert ncbi.looked_up == [["7", "Measels"], ["2697049"]]


async def test_the_canary_is_asked_only_where_a_name_is_unknown(ncbi: ScriptedTaxonomy) -> None:
    await names(ncbi.base_url, "7", "8")
    assert ncbi.looked_up == [["7", "8"]]
    ncbi.looked_up.clear()
    await names(ncbi.base_url, "7", "Measels")
    assert ncbi.looked_up == [["7", "Measels"], ["2697049"]]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ((503, "down"), "http_503"),
        ((500, "<html>"), "http_500"),
        ((200, ""), "bad_answer"),
        ((200, "[]"), "bad_answer"),
        ((200, {"reports": [7]}), "bad_answer"),
        ((200, {"reports": [{"query": ["7"], "taxonomy": {"tax_id": "seven"}}]}), "bad_answer"),
        ((404, {"code": 5, "message": "no such endpoint"}), "http_404"),
        ((404, {"code": 5, "message": "taxon not found"}), "outage"),
        ((400, {"code": 3, "message": "no"}), "outage"),
    ],
)
async def test_without_an_answer_nothing_is_said_of_any_name(ncbi: ScriptedTaxonomy, fault: Any, reason: str) -> None:
    ncbi.fault = fault
    assert (await failure(ncbi.base_url, *map(str, range(1, 900)))).reason == reason


async def test_what_may_pass_is_asked_again(ncbi: ScriptedTaxonomy) -> None:
    good, answers = ncbi._page, [(503, "down"), (429, "slow down")]
    ncbi._page = lambda body: answers.pop() if answers else good(body)  # type: ignore[method-assign]
    assert (await names(ncbi.base_url, "7", attempts=3))["7"].taxon is not None
    assert answers == []


async def test_one_name_that_is_refused_does_not_cost_the_others(ncbi: ScriptedTaxonomy) -> None:
    good = ncbi._page

    def choke(body: dict[str, Any]) -> tuple[int, Any]:
        refused = {"code": 3, "message": "The taxonomy name 'bad' is not recognized."}
        answered = good(body)
        return (400, refused) if "bad" in body["taxons"] else answered

    ncbi._page = choke  # type: ignore[method-assign]
    texts = [*map(str, range(1, 500)), "bad", *map(str, range(500, 1000))]
    found = await names(ncbi.base_url, *texts)
    assert list(found) == texts
    assert [text for text, name in found.items() if not name.taxa] == ["bad"]
    assert found["bad"].error == "The taxonomy name 'bad' is not recognized."
    assert len(ncbi.looked_up) <= 22


async def test_a_server_that_refuses_every_name_is_not_asked_for_each(ncbi: ScriptedTaxonomy) -> None:
    good = ncbi._page

    def choke(body: dict[str, Any]) -> tuple[int, Any]:
        answered = good(body)
        return answered if body["taxons"] == ["2697049"] else (400, {"code": 3, "message": "no"})

    ncbi._page = choke  # type: ignore[method-assign]
    assert (await failure(ncbi.base_url, *map(str, range(1, 1001)))).status == "rejected"
    assert len(ncbi.looked_up) < 150


def page_of(*reports: dict[str, Any]) -> Callable[..., dict[str, Name]]:
    return lambda *texts: match(texts, parse_page({"reports": list(reports)}, {})[0])


def test_a_report_is_known_by_what_was_asked_whatever_its_letters() -> None:
    page = page_of(
        {"query": ["MEASLES  virus"], "taxonomy": node(1)},
        {"query": ["5"], "taxonomy": node(6), "warning": {"replaced_id": {"requested": "4", "returned": "6"}}},
        {"query": [], "taxonomy": node(8, secondary_tax_ids=[7])},
    )
    found = page("measles virus", "4", "7", "9")
    assert [name.taxon and name.taxon.tax_id for name in found.values()] == [1, 6, 8, None]
    assert found["9"].error == "NCBI's answer does not mention it"


def test_an_error_can_say_that_a_name_is_ambiguous() -> None:
    message = "The taxonomy name 'x' is an exact match for more than one taxid."
    found = page_of({"query": ["x"], "errors": [{"message": message}]}, {"query": ["y"], "errors": [{}]})("x", "y")
    assert found["x"].is_ambiguous
    assert not found["y"].is_ambiguous


def test_a_taxon_without_parents_may_be_a_virus() -> None:
    taxon = page_of({"query": ["7"], "taxonomy": {"tax_id": "7"}})("7")["7"].taxon
    assert taxon is not None
    assert (taxon.is_virus, taxon.rank, str(taxon)) == (True, "no rank", "7")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**33) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["query", "taxonomy", "tax_id", "parents", "errors", "message", "warning", "sci_name",
                         "replaced_id", "requested", "current_scientific_name", "name", "rank"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["reports", "next_page_token", "sci_name_and_ids"]), values))
def test_whatever_is_answered_is_read_or_malformed(page: dict[str, Any]) -> None:
    with suppress(BadAnswer):
        reports, token = parse_page(page, {})
        assert all(node is None or node.tax_id > 0 for _, node, _ in reports)
        assert isinstance(token, str)
    with suppress(BadAnswer):
        assert all(one.tax_id > 0 for one, _, _ in parse_suggestions(page))
