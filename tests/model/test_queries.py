"""What a request looks like to NCBI: one path whatever the text, and a JSON twin for long lists."""

from datetime import date, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from batchsum.model.filters import FILTER_NAMES, FilterSet
from batchsum.model.queries import LONGEST_LIST, Request, post_body, request_key

EVERYTHING = FilterSet(
    accessions=("NC_038294.1", "MN908947.3"),
    refseq_only=True,
    annotated_only=True,
    released_since=date(2025, 1, 15),
    updated_since=date(2024, 12, 31),
    host="Homo sapiens",
    pangolin_classification="LP.8.1",
    geo_location="USA",
    usa_state="CA",
    complete_only=True,
    include_sequence=("GENOME", "CDS", "PROTEIN"),
    aux_report=("BIOSAMPLE_REPORT",),
)

hostile = st.text(
    st.one_of(st.sampled_from("/?#%.+&;='\"\\ :@[]{}|<>é東🦠"), st.characters(exclude_categories=("Cs", "Cc"))),
    min_size=1,
    max_size=40,
).filter(lambda text: text not in (".", ".."))


def accessions(count: int) -> tuple[str, ...]:
    return tuple(f"NC_{number:06}.1" for number in range(count))


def test_all_parameters_as_ncbi_spells_them() -> None:
    assert [name for name in FILTER_NAMES if not getattr(EVERYTHING, name)] == [], "EVERYTHING lacks a filter"
    assert request_key(Request("1335626", EVERYTHING)) == (
        "/virus/taxon/1335626/genome?accessions=NC_038294.1&accessions=MN908947.3&refseq_only=true"
        "&annotated_only=true&released_since=2025-01-15T00%3A00%3A00Z&updated_since=2024-12-31T00%3A00%3A00Z"
        "&host=Homo%20sapiens&pangolin_classification=LP.8.1&geo_location=USA&usa_state=CA&complete_only=true"
        "&include_sequence=GENOME&include_sequence=CDS&include_sequence=PROTEIN&aux_report=BIOSAMPLE_REPORT"
    )


def test_what_is_absent_or_false_is_not_sent() -> None:
    assert request_key(Request("11320", FilterSet(refseq_only=False, host=""))) == "/virus/taxon/11320/genome"


@given(taxon=hostile, host=hostile)
def test_no_text_changes_the_endpoint_or_a_parameter(taxon: str, host: str) -> None:
    parts = urlsplit(request_key(Request(taxon)))
    assert parts.path.count("/") == 4
    assert unquote(parts.path.removeprefix("/virus/taxon/").removesuffix("/genome")) == taxon
    try:
        filters = FilterSet(host=host)
    except ValueError:
        return  # blanks around it, an id that went through a spreadsheet, ...
    parts = urlsplit(request_key(Request(taxon, filters)))
    assert parse_qsl(parts.query, keep_blank_values=True) == [("host", host)]
    assert not parts.fragment


@given(taxon=hostile)
def test_the_library_sends_the_path_as_it_was_written(taxon: str) -> None:
    key = request_key(Request(taxon))
    assert URL("https://ncbi.test/v2" + key, encoded=True).raw_path == "/v2" + key


@pytest.mark.parametrize("taxon", [".", "..", ""])
def test_what_no_quoting_keeps_in_its_place_is_refused(taxon: str) -> None:
    with pytest.raises(ValueError, match="not the name of a taxon"):
        request_key(Request(taxon))


def test_a_relative_date_is_no_request_yet() -> None:
    with pytest.raises(ValueError, match="resolve"):
        request_key(Request("11320", FilterSet(released_since=timedelta(days=7))))


def test_a_list_goes_in_the_url_while_it_fits() -> None:
    for count in range(1, 200):
        request = Request("11320", FilterSet(accessions=accessions(count)))
        in_url = request_key(request).partition("?")[2]
        assert (post_body(request) is None) == (len(in_url) <= LONGEST_LIST)


def test_the_twin_holds_the_same_fields_as_json() -> None:
    filters = FilterSet(
        accessions=accessions(300),
        refseq_only=True,
        released_since=date(2025, 1, 15),
        host="true",
        include_sequence=("GENOME",),
        aux_report=("ANNOTATION", "BIOSAMPLE_REPORT"),
    )
    assert post_body(Request("MERS / x", filters)) == {
        "taxon": "MERS / x",
        "accessions": list(accessions(300)),
        "refseq_only": True,
        "released_since": "2025-01-15T00:00:00Z",
        "host": "true",
        "include_sequence": ["GENOME"],
        "aux_report": ["ANNOTATION", "BIOSAMPLE_REPORT"],
    }


def test_long_text_elsewhere_stays_a_get() -> None:
    assert post_body(Request("東" * 200, FilterSet(host="東" * 200, accessions=accessions(3)))) is None
