"""Parameters are read strictly, in every form that is seen in the wild."""

import json
from collections.abc import Iterator
from datetime import date

import pytest

from batchsum.local_ncbi.question import parameters
from tests.fakes.local_ncbi_server import Served, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(as_of=date(2026, 11, 20)) as served:
        yield served


PUBLISHED = {
    "accessions": ["NC_038294.1"],
    "refseq_only": "true",
    "annotated_only": "true",
    "released_since": "2025-01-15",
    "updated_since": "2025-01-15",
    "host": "human",
    "pangolin_classification": "LP.8.1",
    "geo_location": "USA",
    "usa_state": "CA",
    "complete_only": "true",
    "include_sequence": ["GENOME", "CDS", "PROTEIN"],
    "aux_report": ["BIOSAMPLE_REPORT"],
}


def test_published_example_is_answered(server: Served) -> None:
    assert PUBLISHED.keys() == parameters("accessions", "filters", "package").keys(), (
        "PUBLISHED: a value of each filter"
    )
    assert server.summary(1335626, **PUBLISHED) == {"record_count": 0}


@pytest.mark.parametrize(
    "form",
    ["2025-01-15", "2025-01-15T00:00:00Z", "2025-01-15T00:00:00.000Z", "2025-01-15T00:00:00.000000+0000",
     "2025-01-15T02:00:00+02:00", "2025-01-14T23:59:59.5Z"],
)  # fmt: skip
def test_every_form_of_a_date_means_the_same_day(server: Served, form: str) -> None:
    count = server.count(2697049, released_since=form)
    assert count == server.count(2697049, released_since="2025-01-15") > 0
    assert count < server.count(2697049, released_since="2025-01-14")


@pytest.mark.parametrize("name", ["released_since", "updated_since"])
@pytest.mark.parametrize(
    "value",
    ["yesterday", "2025-02-30", "15/01/2025", "2025-01-15T00:00:00", "2025-1-5", "20250115", "2025-01-15 00:00:00Z",
     "2025-01-15T00:00:00 0000", "2025-01-15T25:00:00Z", "9999-12-31T23:59:59Z", "\u0662\u0660\u0662\u0665-01-15"],
)  # fmt: skip
def test_other_dates_are_refused(server: Served, name: str, value: str) -> None:
    reply = server.ask("/virus/taxon/11320/genome", {name: value})
    assert reply.status == 400
    assert name in reply.json["message"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"hosts": "human"}, "hosts"),
        ({"accessions[]": "NC_045512.2"}, "accessions[]"),
        ({"filter.host": "human"}, "filter.host"),
        ({"released_before": "2025-01-15"}, "released_before"),
        ({"refseq_only": "yes"}, "refseq_only"),
        ({"annotated_only": "True"}, "annotated_only"),
        ({"complete_only": "1"}, "complete_only"),
        ({"include_sequence": "['GENOME', 'CDS', 'PROTEIN']"}, "include_sequence"),
        ({"include_sequence": "genome"}, "include_sequence"),
        ({"aux_report": "BIOSAMPLE"}, "aux_report"),
        ({"host": ["human", "dog"]}, "host"),
        ({"host": "unicorn"}, "unicorn"),
    ],
)
def test_what_is_not_understood_is_refused(server: Served, query: dict[str, str], named: str) -> None:
    reply = server.ask("/virus/taxon/11320/genome", query)
    assert (reply.status, reply.json["code"]) == (400, 3)
    assert named in reply.json["message"]


def test_empty_values_are_no_filters(server: Served) -> None:
    absent = dict.fromkeys(PUBLISHED, "") | {
        "released_since": "0001-01-01T00:00:00Z",
        "updated_since": "0001-01-01T00:00:00Z",
        "refseq_only": "false",
    }
    assert server.count(11320, **absent) == server.count(11320)


@pytest.mark.parametrize(
    "body",
    [{}, {"taxon": 11320}, {"taxon": "11320", "host": ["human"]}, {"taxon": "11320", "refseq_only": "yes"},
     {"taxon": "11320", "accessions": "NC_045512.2"}, {"taxon": "11320", "hosts": "human"}, [], "11320", None,
     {"taxon": "11320", "include_sequence": ["genome"]}, {"taxon": "\ud800"}],
)  # fmt: skip
def test_bodies_that_are_refused(server: Served, body: object) -> None:
    reply = server.ask("/virus/genome", body=json.dumps(body).encode(), method="POST")
    assert (reply.status, reply.json["code"]) == (400, 3)
