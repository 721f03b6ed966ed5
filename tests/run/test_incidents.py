"""What has happened to people who ask NCBI every night, played again: each incident is one line of a table.

Seven taxa are asked for nightly. Something happens to one of them, or to all; the row, the exit code and the last good
count beside it must be right, and the next good night must be as if nothing had been. Threads are of ncbi/datasets,
unless another repository is named.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from tests.builders.november import Nights
from tests.fakes.raw_server import (
    DUPLICATE_KEYS,
    NAN_JSON,
    NESTED_JSON,
    Behaviour,
    RawServer,
    Turn,
    answer,
    bad_status_line,
    cut,
    gzip_bomb,
    hang_up,
    redirect,
    reset,
    too_many,
)
from tests.fakes.scripted_taxonomy import node

TAXON, COUNT = "8001", 1000
OTHERS = tuple(range(8002, 8008))
PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Access denied</h1></body></html>"
SUMMARY = {"record_count": COUNT, "assembly_count": COUNT}

Says = dict[str, Any] | Behaviour
"""What is said of a taxon: the fields of a good answer (a data date is added), or how the server behaves."""


class Outcome(NamedTuple):
    """What is right on a night: the exit code, and of the row its status, the first word of its error, the count
    that it shows and the last good one beside it."""

    exit_code: int
    status: str
    word: str = ""
    count: str = ""
    previous: str = f"{COUNT}"


def failed(word: str) -> Outcome:
    return Outcome(3, "failed", word)


def rejected(word: str) -> Outcome:
    return Outcome(3, "rejected", word)


GOOD = Outcome(0, "ok", "", f"{COUNT}")
BAD_ANSWER = failed("bad_answer")
REFUSED = Outcome(3, "suspect", "refused")
NO_TABLE, NOT_US = Outcome(4, "ok", "", f"{COUNT}", ""), Outcome(5, "ok", "", f"{COUNT}", "")

JUDGED: dict[str, tuple[Says, Outcome]] = {
    "two in five records gone overnight, #411 #418": ({"record_count": 600}, Outcome(3, "suspect", "fell", "600")),
    "all records gone overnight, #530": ({"record_count": 0}, Outcome(3, "suspect", "vanished", "0")),
    "the zero is left out, #312": (answer(body={}), Outcome(3, "suspect", "vanished", "0")),
    "a copy of last week's data, #309": (
        {"record_count": COUNT, "days_old": 4}, Outcome(3, "suspect", "went_back", f"{COUNT}")
    ),
    "sizes, but no count": (
        {"hydrated": {"estimated_file_size_mb": 12}}, Outcome(3, "suspect", "contradicts_itself")
    ),
    "a count beside an error": (
        {"record_count": 990, "errors": [{"message": "incomplete"}]}, Outcome(3, "suspect", "contradicts_itself", "990")
    ),
    "a count beside an error, and a message that is none": (
        {"record_count": 990, "errors": [{"message": "incomplete"}], "messages": ["?"]},
        Outcome(3, "suspect", "contradicts_itself", "990"),
    ),
    "a zero beside files": (
        {"record_count": 0, "available_files": {"cds_fasta": {"file_count": 3}}},
        Outcome(3, "suspect", "contradicts_itself", "0"),
    ),
}  # fmt: skip

UNANSWERED: dict[str, tuple[Says, Outcome]] = {
    "a valid id is called invalid, #450": (
        answer(404, {"code": 5, "message": f"The taxonomy ID '{TAXON}' does not match any existing taxids"}), REFUSED
    ),
    "the same inside a 200": (answer(body={"errors": [{"message": f"Unsupported taxon: {TAXON}"}]}), REFUSED),
    "a virus that is none any more, #280": (answer(400, {"code": 3, "message": "It is not a virus taxon."}), REFUSED),
    "one taxon is refused with a page, eutils#134": (answer(403, PAGE), rejected("http_403")),
    "one taxon is moved to another address": (redirect("https://elsewhere.example/", 308), rejected("http_308")),
    "one answer is a proxy's": (answer(407, PAGE), rejected("http_407")),
    "one answer complains about the key": (answer(400, {"error": "API key invalid"}), rejected("http_400")),
    "a gateway that finds no host": (answer(404, {"message": "host not found"}), failed("http_404")),
    "a gateway's page with 400": (answer(400, PAGE), failed("http_400")),
    "whole-tree questions fail at the gateway, #594": (answer(504, PAGE), failed("http_504")),
    "a search backend that failed, biopython#5025": (
        answer(body={"errors": [{"message": f"Search Backend failed for taxon {TAXON}"}]}), BAD_ANSWER
    ),
    "an outage with 200, metapub#73": (answer(body={"error": "Internal Server Error", "code": 500}), BAD_ANSWER),
    "a page with 200": (answer(body=PAGE), BAD_ANSWER),
    "an empty 200": (answer(), BAD_ANSWER),
    "an empty 204": (answer(204), BAD_ANSWER),
    "a count of null": (answer(body={"record_count": None}), BAD_ANSWER),
    "a count that is no number": (answer(body=NAN_JSON), BAD_ANSWER),
    "a count in quotes": (answer(body={"record_count": "1000"}), BAD_ANSWER),
    "two counts": (answer(body=DUPLICATE_KEYS), BAD_ANSWER),
    "an answer about something else": (answer(body={"total_count": 1000, "reports": []}), BAD_ANSWER),
    "brackets without end": (answer(body=NESTED_JSON), BAD_ANSWER),
    "a body cut off": (cut(SUMMARY, 20), failed("connection")),
    "a body cut off that promised no length": (cut(SUMMARY, 20, with_length=False), BAD_ANSWER),
    "a packed body cut off": (cut(SUMMARY, 30, with_length=False, compress=True), BAD_ANSWER),
    "a bomb": (gzip_bomb(20), BAD_ANSWER),
    "a status line that is none": (bad_status_line(), failed("connection")),
    "a connection that is reset": (reset, failed("connection")),
}  # fmt: skip

OF_EVERYTHING: dict[str, tuple[Says, Outcome]] = {
    "an outage that looks like typos, #367 #373": (
        answer(404, {"code": 5, "message": "The taxonomy name is not a recognized virus taxon"}),
        NO_TABLE,
    ),
    "a service that is down": (answer(503, PAGE), NO_TABLE),
    "a gateway without anybody behind it": (answer(404, {"message": "no healthy upstream"}), NO_TABLE),
    "connections that are closed, #449": (hang_up, NO_TABLE),
    "empty answers": (answer(), NO_TABLE),
    "the address is blocked, #468": (answer(403, PAGE), NOT_US),
    "the key is not accepted, ncbi-acc-download#17": (answer(400, {"error": "API key invalid"}), NOT_US),
    "a proxy in between wants a password": (answer(407, PAGE), NOT_US),
    "the address has moved": (redirect("https://elsewhere.example/", 301), NOT_US),
    "429 for a whole day": (too_many("86400"), NO_TABLE),
    "every count is zero": ({"record_count": 0}, Outcome(3, "suspect", "vanished", "0")),
    "every count falls by a third": ({"record_count": 667}, Outcome(3, "suspect", "fell", "667")),
}

ONCE: dict[str, Says] = {
    "429 under somebody else's load, #284": too_many("0"),
    "a 500 inside a 200": answer(body={"error": "Internal Server Error", "code": 500}),
    "an upstream that failed": answer(body={"code": 14, "message": "upstream connect error"}),
    "a search that timed out": answer(body={"errors": [{"message": "Search Backend failed: timeout"}]}),
    "a limit that is the key's": answer(400, {"error": "API key: rate limit exceeded"}),
    "a lookup that broke": answer(404, {"message": f"rpc error: code = Unknown desc = taxon {TAXON}: EOF"}),
    "a page with 404": answer(404, PAGE),
    "a page with 410": answer(410, PAGE),
    "nothing is released": {"record_count": 0},
    "an old copy, #488": {"record_count": 990, "days_old": 7},
    "half of an answer": cut(SUMMARY, 20),
    "an unknown host": answer(400, {"message": "Unknown host"}),
    "a wrong organism, #280": {"record_count": 3},
}

NIGHT_AFTER_NIGHT: dict[str, list[tuple[Says, Outcome]]] = {
    "a little less every night": [
        ({"record_count": 920}, Outcome(0, "ok", "", "920", "1000")),
        ({"record_count": 850}, Outcome(0, "ok", "", "850", "920")),
        ({"record_count": 790}, Outcome(3, "suspect", "fell", "790", "850")),
        ({"record_count": 1001}, Outcome(0, "ok", "", "1001", "850")),
    ],
    "copies that lag by some hours": [
        ({"record_count": 999, "days_old": 1.5}, Outcome(0, "ok", "", "999", "1000")),
        ({"record_count": 1001}, Outcome(0, "ok", "", "1001", "999")),
    ],
    "gone, unknown, gone, unanswered": [
        ({"record_count": 0}, Outcome(3, "suspect", "vanished", "0")),
        (answer(404, {"code": 5, "message": f"unknown taxon {TAXON}"}), REFUSED),
        (answer(body={}), Outcome(3, "suspect", "vanished", "0")),
        (answer(500, PAGE), failed("http_500")),
        ({"record_count": 1020}, Outcome(0, "ok", "", "1020", "1000")),
    ],
    "dates that no data have": [
        ({"record_count": 1001, "resource_updated_on": "0001-01-01T00:00:00Z"}, Outcome(0, "ok", "", "1001", "1000")),
        ({"record_count": 1002, "resource_updated_on": "2099-01-01T00:00:00Z"}, Outcome(0, "ok", "", "1002", "1001")),
        ({"record_count": 1003}, Outcome(0, "ok", "", "1003", "1002")),
        ({"record_count": 1003, "days_old": 3}, Outcome(3, "suspect", "went_back", "1003", "1003")),
    ],
    "an odd date and odd sizes beside a good count": [
        ({"record_count": 1003, "resource_updated_on": "soon"}, Outcome(0, "ok", "", "1003", "1000")),
        ({"record_count": 1004, "hydrated": {"estimated_file_size_mb": "0,5"}}, Outcome(0, "ok", "", "1004", "1003")),
        ({"record_count": 1004, "available_files": {"x": []}}, Outcome(0, "ok", "", "1004", "1004")),
    ],
}


class Watch:
    """The nights of the job against a server that is healthy but for what is scripted."""

    def __init__(self, nights: Nights, raw: RawServer, *, has_common_dates: bool = True) -> None:
        self.nights, self.raw, self.has_common_dates = nights, raw, has_common_dates
        self.day = 0
        self.nodes: dict[str, dict[str, Any]] = {}
        """What NCBI's taxonomy has of an id; of all others a virus of that id."""
        nights.ncbi.base_url = raw.base_url
        nights.write(f"taxa: [{TAXON}, {', '.join(map(str, OTHERS))}]")

    def night(self, says: Says | None = None, *, everywhere: bool = False, once: bool = False) -> Outcome:
        self.day += 1
        healthy = self._behaviour(SUMMARY)
        strange = healthy if says is None else self._behaviour(says)
        self.raw.on(TAXON, strange, *([healthy] if once else []))
        self.raw.always(strange if everywhere else healthy)
        code = self.nights.night(self.day)
        row = self.nights.rows()[0]
        word = row["error"].partition(":")[0]
        return Outcome(code, row["status"], word, row["record_count"], row["previous_record_count"])

    def _behaviour(self, says: Says) -> Behaviour:
        async def behave(turn: Turn) -> None:
            taxon = turn.arrival.taxon
            if not taxon:
                await self._names(turn)
            elif callable(says):
                await says(turn)
            else:
                await answer(body={"resource_updated_on": self._date(taxon, says.get("days_old", 0)), **says})(turn)

        return behave

    async def _names(self, turn: Turn) -> None:
        taxa = json.loads(turn.arrival.body)["taxons"]
        reports = [{"query": [taxon], "taxonomy": self.nodes.get(taxon, node(int(taxon)))} for taxon in taxa]
        await answer(body={"reports": reports})(turn)

    def _date(self, taxon: str, days_old: float) -> str:
        """The data date: NCBI's one, or one that each taxon has for itself."""
        of_taxon = timedelta(0) if self.has_common_dates else timedelta(days=30 * (int(taxon) % 10))
        moment = datetime(2026, 11, 1, 4, 11, tzinfo=UTC) + timedelta(days=self.day - days_old) - of_taxon
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def watch(nights: Nights, raw: RawServer, request: pytest.FixtureRequest) -> Watch:
    return Watch(nights, raw, has_common_dates=getattr(request, "param", True))


# Dates count where the row's past judges what was answered.
both_dates = pytest.mark.parametrize("watch", [True, False], ids=["common dates", "own dates"], indirect=True)


@both_dates
@pytest.mark.parametrize("name", JUDGED)
def test_what_a_guard_does_not_believe(name: str, watch: Watch) -> None:
    two_bad_nights(watch, *JUDGED[name])


@pytest.mark.parametrize("name", UNANSWERED)
def test_what_is_no_answer(name: str, watch: Watch) -> None:
    two_bad_nights(watch, *UNANSWERED[name])


def two_bad_nights(watch: Watch, says: Says, right: Outcome) -> None:
    assert watch.night() == GOOD._replace(previous="")
    for _ in range(2):
        assert watch.night(says) == right
        assert [row["status"] for row in watch.nights.rows()] == [right.status, *["ok"] * len(OTHERS)]
    assert watch.night() == GOOD
    assert (TAXON, "all", "recovered") in watch.nights.changes()


@pytest.mark.parametrize("name", OF_EVERYTHING)
def test_what_happens_to_everything(name: str, watch: Watch) -> None:
    says, right = OF_EVERYTHING[name]
    assert watch.night() == GOOD._replace(previous="")
    table = (watch.nights.out / "summary.csv").read_bytes()
    assert watch.night(says, everywhere=True) == right
    assert ((watch.nights.out / "summary.csv").read_bytes() == table) is (right.exit_code in (4, 5))
    assert watch.night() == GOOD


@pytest.mark.parametrize("name", ONCE)
def test_what_passes_while_the_night_lasts(name: str, watch: Watch) -> None:
    assert watch.night() == GOOD._replace(previous="")
    assert watch.night(ONCE[name], once=True) == GOOD
    assert watch.nights.manifest()["warnings"] == []


@both_dates
@pytest.mark.parametrize("name", NIGHT_AFTER_NIGHT)
def test_night_after_night(name: str, watch: Watch) -> None:
    assert watch.night() == GOOD._replace(previous="")
    for says, right in NIGHT_AFTER_NIGHT[name]:
        assert watch.night(says) == right


def test_an_id_that_ncbi_merges_and_renames_goes_on(watch: Watch) -> None:
    watch.night()
    watch.nodes[TAXON] = node(8101, "Virus novum", secondary_tax_ids=[int(TAXON)])
    assert watch.night({"record_count": 500}) == Outcome(3, "suspect", "fell", "500")
    assert any("8101 (Virus novum)" in warning for warning in watch.nights.manifest()["warnings"])
    assert watch.night() == GOOD
    assert watch.nights.rows()[0]["tax_id"] == "8101"


def test_a_child_with_more_than_its_parent(watch: Watch) -> None:
    """Child taxa were incomplete, and parents too: #407."""
    watch.nodes[TAXON] = node(int(TAXON), "", 1, 10239, OTHERS[0])
    assert watch.night() == GOOD._replace(previous="")
    assert watch.night({"record_count": 1001}) == Outcome(3, "suspect", "exceeds_wider", "1001")
    assert watch.night() == GOOD


def test_a_filter_that_is_not_applied(watch: Watch) -> None:
    """The geo filter failed for SARS-CoV-2 alone, #326: of all taxa at once it is told."""
    nights = watch.nights
    nights.write(f"taxa: [{TAXON}, {OTHERS[0]}, {OTHERS[1]}]\nfilter_sets: {{all: {{}}, asia: {{geo_location: Asia}}}}")
    assert watch.night() == GOOD._replace(previous="")
    (told,) = nights.manifest()["warnings"]
    assert told.startswith("asia has as many records as all for all of 3 taxa")
