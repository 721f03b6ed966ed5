"""When it asks, how often, and when it stops: hours of virtual time, against a session that only pretends to send."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses
from yarl import URL

from batchsum import DatasetsClient
from batchsum.errors import Refused, UsageError
from batchsum.model.filters import FilterSet
from batchsum.model.queries import CANARY, Answer, Failure, Reply, Request, Summary
from batchsum.ncbi.outage import FAILURES_IN_A_ROW
from batchsum.ncbi.urls import BASE_URL as NCBI_BASE_URL
from batchsum.run.ask import run_requests
from tests.fakes import raw_server as play
from tests.fakes.raw_server import RawServer
from tests.fakes.virtual_time import run

BASE_URL = "http://127.0.0.1:1/v2"
KEY = "0123456789abcdef0123456789abcdef0123"

Said = tuple[int, Any] | tuple[int, Any, dict[str, str]] | Exception
OK: Said = (200, {"record_count": 7})
UNKNOWN: Said = (404, {"message": "taxon not found"})
DOWN: Said = ConnectionResetError(104, "Connection reset by peer")
LEAVE_ME: Said = (429, {}, {"Retry-After": "86400"})
LEFT_ALONE = Failure("skipped", "outage", "the server wants no request for 86,400 s, which is longer than max_outage")


@dataclass
class Ncbi:
    """What is said to each taxon, one after the other, the last again and again; and when it was asked."""

    script: dict[str, list[Said] | Said] = field(default_factory=dict)
    otherwise: Said = OK
    says: Callable[["Ncbi", str, float], Said | None] = lambda ncbi, taxon, now: None
    """Comes before the script."""
    takes: float = 0.1
    """Seconds for an answer."""
    connecting: float = 0.0
    """Seconds before; each connection is a new one."""
    idle: float = 1000.0
    """Seconds after which a connection is closed."""
    asked: list[tuple[str, float]] = field(default_factory=list)

    async def answer(self, url: URL, **_: Any) -> CallbackResult:
        loop = asyncio.get_running_loop()
        taxon = url.path.removeprefix("/v2/virus/taxon/").removesuffix("/genome")
        self.asked.append((taxon, loop.time()))
        said = self.says(self, taxon, loop.time()) or self._scripted(taxon)
        await asyncio.sleep(self.takes)
        if isinstance(said, Exception):
            raise said
        status, payload, headers = said if len(said) == 3 else (*said, {})
        return CallbackResult(status=status, payload=payload, headers=headers)

    def _scripted(self, taxon: str) -> Said:
        script = self.script.get(taxon, self.otherwise)
        if not isinstance(script, list):
            return script
        return script.pop(0) if len(script) > 1 else script[0]

    @property
    def counts(self) -> Counter[str]:
        return Counter(taxon for taxon, _ in self.asked)

    def times(self, taxon: str) -> list[float]:
        return [time for one, time in self.asked if one == taxon]


@pytest.fixture
def ncbi(mocked: aioresponses, monkeypatch: pytest.MonkeyPatch) -> Ncbi:
    server = Ncbi()
    at_once = aiohttp.TCPConnector._create_connection

    async def connect(*arguments: Any) -> Any:
        await asyncio.sleep(server.connecting)
        protocol = await at_once(*arguments)
        asyncio.get_running_loop().call_later(server.idle, protocol.close)
        return protocol

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", connect)
    mocked.get(re.compile(".*"), callback=server.answer, repeat=True)
    return server


@pytest.fixture(autouse=True)
def longest_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsum.ncbi.client.uniform", lambda low, high: high)


def ask(
    *taxa: str, then: Callable[[DatasetsClient], Awaitable[None]] | None = None, **options: Any
) -> dict[str, Reply]:
    """Ask for all of them at once, in no time."""
    settings = {"requests_per_second": "unlimited", **options}

    async def main() -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        async with DatasetsClient(BASE_URL, **settings) as client:
            requests = [Request(taxon) for taxon in taxa]
            await run_requests(
                requests,
                client.ask,
                workers=settings.get("workers", 64),
                on_answer=lambda request, reply: replies.update({request.taxon: reply}),
            )
            if then is not None:
                await then(client)
        return replies

    return run(main())


def reasons(replies: dict[str, Reply]) -> Counter[str]:
    return Counter(_reason(reply.answer) for reply in replies.values())


def _reason(answer: Answer) -> str:
    return "answered" if isinstance(answer, Summary) else f"{answer.status}: {answer.reason}"


def taxa(count: int) -> list[str]:
    return [f"{number}" for number in range(1, count + 1)]


# Answers


def test_one_answer_costs_one_request(ncbi: Ncbi) -> None:
    reply = ask("11320")["11320"]
    assert reply.answer == Summary(7)
    assert [attempt.outcome for attempt in reply.attempts] == ["answered"]
    assert ncbi.counts == {"11320": 1}


def test_the_python_door(ncbi: Ncbi) -> None:
    async def main() -> list[Answer]:
        async with DatasetsClient(BASE_URL, requests_per_second="unlimited") as client:
            return [
                await client.virus_genome_summary(11320),
                await client.virus_genome_summary("Influenza A virus", FilterSet(released_since=timedelta(days=7))),
            ]

    assert run(main()) == [Summary(7), Summary(7)]
    assert [taxon for taxon, _ in ncbi.asked] == ["11320", "Influenza A virus"]


@pytest.mark.parametrize(
    ("taxon", "filters", "told"),
    [
        ("..", FilterSet(), "not the name of a taxon"),
        ("", FilterSet(), "empty"),
        (" 11320", FilterSet(), "write '11320'"),
        (0, FilterSet(), "not an NCBI Taxonomy ID"),
        ("11320", FilterSet(released_before=date(2025, 1, 1)), "two requests"),
    ],
)
def test_what_cannot_be_meant_is_not_sent(ncbi: Ncbi, taxon: str | int, filters: FilterSet, told: str) -> None:
    async def main() -> None:
        async with DatasetsClient(BASE_URL) as client:
            await client.virus_genome_summary(taxon, filters)

    with pytest.raises(ValueError, match=told):
        run(main())
    assert not ncbi.asked


def test_the_server_of_the_environment_is_asked_unless_one_is_named(
    ncbi: Ncbi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHSUM_BASE_URL", f"{BASE_URL}/")

    async def main(*base_url: str) -> Answer:
        async with DatasetsClient(*base_url, requests_per_second="unlimited") as client:
            return await client.virus_genome_summary(11320)

    assert run(main()) == Summary(7)
    monkeypatch.setenv("BATCHSUM_BASE_URL", "http://ncbi.example")
    assert run(main(BASE_URL)) == Summary(7)
    with pytest.raises(UsageError, match=r"BATCHSUM_BASE_URL: .* is not encrypted"):
        DatasetsClient()
    monkeypatch.delenv("BATCHSUM_BASE_URL")
    assert str(DatasetsClient()._transport._base) == NCBI_BASE_URL
    assert [taxon for taxon, _ in ncbi.asked] == ["11320"] * 2


# Promise 5: a permanent error costs one request


def test_a_permanent_error_costs_one_request_and_the_canary_once(ncbi: Ncbi) -> None:
    ncbi.script = dict.fromkeys(taxa(20), UNKNOWN)
    replies = ask(*taxa(20), *(str(number) for number in range(100, 120)))
    assert reasons(replies) == {"rejected: unknown_taxon": 20, "answered": 20}
    assert ncbi.counts == {**dict.fromkeys(replies, 1), CANARY: 1}


@pytest.mark.parametrize("workers", [1, 64])
@pytest.mark.parametrize(("order", "asked"), [((CANARY, "1"), 1), (("1", CANARY), 2)])
def test_what_a_job_was_answered_about_the_canary_is_not_asked_again(
    ncbi: Ncbi, order: tuple[str, str], asked: int, workers: int
) -> None:
    ncbi.script = {"1": UNKNOWN}
    replies = ask(*order, workers=workers)
    assert reasons(replies) == {"rejected: unknown_taxon": 1, "answered": 1}
    assert [len(reply.attempts) for reply in replies.values()] == [1, 1]
    assert ncbi.counts["1"] == 1
    assert ncbi.counts[CANARY] <= (asked if workers == 1 else 2)


def test_a_second_round_takes_nothing_from_the_canary_of_the_first(ncbi: Ncbi) -> None:
    async def second_round(client: DatasetsClient) -> None:
        assert await client.is_answering()
        await client.ask(Request(CANARY), attempts=1)

    ncbi.script = {"1": UNKNOWN}
    ask("1", then=second_round)
    assert ncbi.counts == {"1": 1, CANARY: 2}


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_in_words_is_asked_once(ncbi: Ncbi, status: int) -> None:
    ncbi.script = {"1": (status, {"message": "Taxon 1 is not recognized"})}
    assert _reason(ask(CANARY, "1")["1"].answer) == "rejected: unknown_taxon"
    assert ncbi.counts["1"] == 1


def test_an_error_inside_a_200_is_asked_once(ncbi: Ncbi) -> None:
    ncbi.script = {"1": (200, {"errors": [{"message": "Taxon 1 is not recognized"}]})}
    assert _reason(ask(CANARY, "1")["1"].answer) == "rejected: unknown_taxon"
    assert ncbi.counts["1"] == 1


# Retries


@pytest.mark.parametrize(
    "said",
    [
        DOWN,
        (500, {}),
        (502, {}),
        (503, {}),
        (504, {}),
        (429, {}),
        (408, {}),
        (200, {"record_count": None}),
        (200, {"error": "Internal Server Error", "code": 500}),
        (200, {"code": 14, "message": "upstream connect error or disconnect/reset before headers"}),
        (200, {"errors": [{"message": "Search Backend failed: timeout"}]}),
        (400, {"message": "API rate limit exceeded"}),
        (400, "Bad Request"),
        (404, {"code": 5, "message": "Not Found"}),
        (405, {}),
        (410, {"message": "no"}),
        (501, {}),
        TimeoutError(),
    ],
    ids=str,
)
def test_what_may_pass_is_asked_again_and_every_attempt_is_kept(ncbi: Ncbi, said: Said) -> None:
    ncbi.script = {"1": [said, said, OK]}
    reply = ask("1")["1"]
    assert reply.answer == Summary(7)
    outcomes = [attempt.outcome for attempt in reply.attempts]
    assert len(outcomes) == 3
    assert outcomes[0] == outcomes[1] != outcomes[2] == "answered"


def test_the_attempts_are_bounded_and_the_pauses_grow(ncbi: Ncbi) -> None:
    ncbi.script = {"1": (500, {})}
    reply = ask("1", "2", attempts=6)["1"]
    assert reply.answer == Failure("failed", "http_500", "Internal Server Error")
    assert len(reply.attempts) == ncbi.counts["1"] == 6
    pauses = [later - earlier - ncbi.takes for earlier, later in pairwise(ncbi.times("1"))]
    assert pauses == pytest.approx([0.5, 1, 2, 4, 8], abs=0.01)


def test_a_second_round_may_ask_once_only(ncbi: Ncbi) -> None:
    ncbi.otherwise = (500, {})

    ncbi.script = {"2": OK}

    async def main() -> Reply:
        async with DatasetsClient(BASE_URL, requests_per_second="unlimited") as client:
            await client.ask(Request("2"))
            return await client.ask(Request("1"), attempts=1)

    assert _reason(run(main()).answer) == "failed: http_500"
    assert ncbi.counts == {"1": 1, "2": 1}


def test_the_retries_of_a_run_are_bounded(ncbi: Ncbi) -> None:
    ncbi.says = lambda ncbi, taxon, _: OK if taxon == CANARY else (500, {})
    replies = ask(*taxa(400), attempts=6)
    assert reasons(replies) == {"failed: http_500": 400}
    assert sum(ncbi.counts[taxon] for taxon in replies) <= 400 + 200


def test_answers_earn_retries(ncbi: Ncbi) -> None:
    bad = [f"{number}" for number in range(1001, 1401)]
    ncbi.says = lambda ncbi, taxon, _: (500, {}) if taxon in bad else OK
    ask(*taxa(400), *bad, attempts=6, workers=1)
    assert 200 + 150 <= sum(ncbi.counts[taxon] - 1 for taxon in bad if ncbi.counts[taxon]) <= 200 + 200


def test_one_taxon_that_fails_is_no_outage(ncbi: Ncbi) -> None:
    ncbi.script = {"1": (504, {}), "2": DOWN, CANARY: DOWN}
    replies = ask(*taxa(50), workers=4)
    assert reasons(replies) == {"answered": 48, "failed: http_504": 1, "failed: connection": 1}
    assert CANARY not in ncbi.counts


# 429 and 503: everybody waits


@pytest.mark.parametrize("connecting", [0.0, 2.0])
@pytest.mark.parametrize("status", [429, 503])
def test_a_429_stops_all_workers_together(ncbi: Ncbi, status: int, connecting: float) -> None:
    refused, ncbi.connecting = list[float](), connecting

    def says(ncbi: Ncbi, taxon: str, now: float) -> Said | None:
        if len(ncbi.asked) == 20:
            refused.append(now)
            return (status, {}, {"Retry-After": "40"})
        return None

    ncbi.says = says
    replies = ask(*taxa(100), workers=8)
    told = refused[0] + ncbi.takes + 0.001
    assert reasons(replies) == {"answered": 100}
    assert not [time for _, time in ncbi.asked if told < time < told + 39.9]
    assert len(ncbi.asked) == 101


def test_retry_after_as_a_date_is_honoured(ncbi: Ncbi) -> None:
    headers = {"Date": formatdate(1e9, usegmt=True), "Retry-After": formatdate(1e9 + 90, usegmt=True)}
    ncbi.script = {"1": [(429, {}, headers), OK]}
    assert ask("2", "1", workers=1)["1"].answer == Summary(7)
    first, second = ncbi.times("1")
    assert second - first == pytest.approx(90 + ncbi.takes, abs=0.1)


def test_who_wants_to_be_left_alone_for_longer_than_a_night_is(ncbi: Ncbi) -> None:
    ncbi.script = {"1": LEAVE_ME}
    answering, ended = list[bool](), list[float]()

    async def second_round(client: DatasetsClient) -> None:
        ended.append(asyncio.get_running_loop().time())
        answering.append(await client.is_answering())

    replies = ask(*taxa(100), workers=2, max_outage=600, then=second_round)
    assert replies["1"].answer == LEFT_ALONE
    assert answering == [False]
    assert len(ncbi.asked) <= 3
    assert ended[0] - ncbi.asked[0][1] < 1


def test_what_the_server_wants_is_not_taken_for_an_outage(ncbi: Ncbi) -> None:
    ncbi.otherwise, told = UNKNOWN, list[str]()

    async def second_round(client: DatasetsClient) -> None:
        ncbi.otherwise = LEAVE_ME
        await client.is_answering()
        told.append(client.outage.given_up)

    ask("1", max_outage=600, then=second_round)
    assert told == [LEFT_ALONE.detail]


def test_a_taxon_that_is_to_be_asked_again_tomorrow_is_not_waited_for(ncbi: Ncbi) -> None:
    ncbi.script, ended = {"1": (500, {}, {"Retry-After": "100000"})}, list[float]()

    async def note_time(client: DatasetsClient) -> None:
        ended.append(asyncio.get_running_loop().time())

    replies = ask(*taxa(10), max_outage=1800, then=note_time)
    assert str(replies["1"].answer) == "http_500: Internal Server Error"
    assert ncbi.counts["1"] == 1
    assert ended[0] - ncbi.asked[0][1] < 1


def test_the_canary_too_leaves_such_a_server_alone_at_once(ncbi: Ncbi) -> None:
    ncbi.script, ended = {"1": UNKNOWN, CANARY: LEAVE_ME}, list[float]()

    async def note_time(client: DatasetsClient) -> None:
        ended.append(asyncio.get_running_loop().time())

    replies = ask(*taxa(10), workers=1, max_outage=600, then=note_time)
    assert {reply.answer for reply in replies.values()} == {LEFT_ALONE}
    assert [taxon for taxon, _ in ncbi.asked] == ["1", CANARY]
    assert ended[0] - ncbi.asked[0][1] < 1


def test_the_limit_of_the_header_is_followed(ncbi: Ncbi) -> None:
    ncbi.otherwise = (200, {"record_count": 7}, {"X-RateLimit-Limit": "5"})
    ask(*taxa(40), workers=1)
    assert most_in_a_second([time for _, time in ncbi.asked[1:]]) <= 5


def most_in_a_second(times: list[float]) -> int:
    return max(sum(time < first + 1.0 for time in times[at:]) for at, first in enumerate(times))


@pytest.mark.parametrize("connecting", [0.0, 0.3, 0.9])
def test_slow_connections_cost_nothing_of_the_limit(ncbi: Ncbi, connecting: float) -> None:
    ncbi.connecting = connecting
    ask(*taxa(200), requests_per_second=10)
    times = [time for _, time in ncbi.asked]
    assert most_in_a_second(times) == 10
    assert (len(times) - 1) / (10 * (times[-1] - times[0])) >= 0.97


def test_one_connection_that_hangs_does_not_hold_up_the_others(ncbi: Ncbi) -> None:
    connecting = iter([5.0])

    def says(ncbi: Ncbi, _taxon: str, _now: float) -> None:
        ncbi.connecting = next(connecting, 0.3)

    ncbi.says = says
    ask(*taxa(100), requests_per_second=10)
    assert ncbi.asked[-1][1] - ncbi.asked[0][1] < 10.5


def test_connections_that_do_not_last_until_their_turn_are_made_anew(ncbi: Ncbi) -> None:
    ncbi.idle, ncbi.connecting = 4.0, 0.3
    replies = ask(*taxa(30), requests_per_second=0.1)
    assert {len(reply.attempts) for reply in replies.values()} == {1}
    assert reasons(replies) == {"answered": 30}
    assert 290 < ncbi.asked[-1][1] - ncbi.asked[0][1] < 300  # each is found closed when its turn has come


def test_who_still_connects_when_the_limit_falls_keeps_to_the_new_one(ncbi: Ncbi) -> None:
    fell = list[float]()

    def says(ncbi: Ncbi, _taxon: str, now: float) -> Said | None:
        if len(ncbi.asked) < 20:
            return None
        if not fell:
            fell.append(now + ncbi.takes + 0.001)
        return (200, {"record_count": 7}, {"X-RateLimit-Limit": "3"})

    ncbi.says, ncbi.connecting = says, 0.9
    assert reasons(ask(*taxa(60), requests_per_second=10)) == {"answered": 60}
    assert most_in_a_second([time for _, time in ncbi.asked if time > fell[0]]) == 3


# Outages


def test_an_outage_costs_few_requests_and_ends_with_max_outage(ncbi: Ncbi) -> None:
    ncbi.otherwise, ncbi.takes = DOWN, 0.001
    replies = ask(*taxa(500), max_outage=1800, requests_per_second=10, workers=64)
    assert reasons(replies) == {"skipped: outage": 500}
    assert len(ncbi.asked) - ncbi.counts[CANARY] <= FAILURES_IN_A_ROW + 2
    assert ncbi.counts[CANARY] <= 40
    began, ended = ncbi.asked[0][1], ncbi.asked[-1][1]
    assert 1800 <= ended - began <= 1900
    assert "it is down, or blocks this address" in str(replies["1"].answer)
    assert "Connection reset by peer" in str(replies["1"].answer)


def test_a_server_without_this_endpoint_is_told_by_its_address(ncbi: Ncbi, monkeypatch: pytest.MonkeyPatch) -> None:
    ncbi.otherwise = (404, "<html>")
    hint = "http_404: does the base URL end in /datasets/v2?"
    assert hint in str(ask("1", max_outage=1)["1"].answer)
    monkeypatch.setattr(f"{__name__}.BASE_URL", "http://127.0.0.1:1/datasets/v2")
    assert hint not in str(ask("1", max_outage=1)["1"].answer)
    monkeypatch.setattr(f"{__name__}.BASE_URL", "http://127.0.0.1:1/")
    with pytest.raises(Refused, match=r"does not have NCBI's API \(HTTP 404\); write http://127.0.0.1:1/datasets/v2"):
        ask("1")


@pytest.mark.parametrize("said", [DOWN, (500, {}), (200, {"record_count": None}), (404, "<html>")], ids=str)
@pytest.mark.parametrize("attempts", [1, 6])
def test_a_small_job_waits_for_the_first_word_too(ncbi: Ncbi, said: Said, attempts: int) -> None:
    """Three queries and no network for two minutes: nothing is lost."""
    ncbi.says = lambda ncbi, taxon, now: said if now < ncbi.asked[0][1] + 120 else None
    replies = ask(*taxa(3), attempts=attempts)
    assert reasons(replies) == {"answered": 3}


@pytest.mark.parametrize("takes", [0.1, 45.0, 10_000.0])
def test_and_no_longer_than_max_outage(ncbi: Ncbi, takes: float) -> None:
    ncbi.otherwise, ncbi.takes, ended = DOWN, takes, list[float]()

    async def note_time(client: DatasetsClient) -> None:
        ended.append(asyncio.get_running_loop().time())

    replies = ask(*taxa(3), max_outage=300, then=note_time)
    assert reasons(replies) == {"skipped: outage": 3}
    assert 299 <= ended[0] - ncbi.asked[0][1] <= 303


def test_a_query_that_fails_for_ever_is_not_waited_for_once_others_are_answered(ncbi: Ncbi) -> None:
    ncbi.script, ended = {"1": (500, {})}, list[float]()

    async def note_time(client: DatasetsClient) -> None:
        ended.append(asyncio.get_running_loop().time())

    assert reasons(ask("1", then=note_time)) == {"failed: http_500": 1}
    assert ncbi.counts[CANARY] == 1
    assert ended[0] - ncbi.asked[0][1] < 20


def test_an_outage_that_ends_loses_nothing(ncbi: Ncbi) -> None:
    ncbi.says = lambda ncbi, taxon, now: DOWN if now < ncbi.asked[0][1] + 600 else None
    replies = ask(*taxa(200), workers=16)
    assert reasons(replies) == {"answered": 200}
    assert len(ncbi.asked) < 200 + 64


def test_probes_become_rarer(ncbi: Ncbi) -> None:
    ncbi.otherwise = DOWN
    ask(*taxa(20), max_outage=300)
    pauses = [round(later - earlier - ncbi.takes) for earlier, later in pairwise(ncbi.times(CANARY))]
    assert pauses[:5] == [5, 10, 20, 40, 60]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_held_by_the_server_is_held_for_the_canary_too(ncbi: Ncbi, status: int) -> None:
    ncbi.otherwise = (status, {}, {"Retry-After": "100"})
    ask(*taxa(20), max_outage=900)
    assert all(later - earlier >= 100 for earlier, later in pairwise(ncbi.times(CANARY)))


def test_nothing_is_rejected_while_the_canary_is_not_known_either(ncbi: Ncbi) -> None:
    ncbi.otherwise = UNKNOWN
    replies = ask(*taxa(50), workers=4)
    assert reasons(replies) == {"skipped: outage": 50}
    assert ncbi.counts[CANARY] == 1
    assert len(ncbi.asked) <= 5
    assert "NCBI also refuses taxon 2697049, which it surely has" in str(replies["1"].answer)
    assert "base_url" in str(replies["50"].answer)


def test_an_outage_that_refuses_everything_costs_few_requests(ncbi: Ncbi) -> None:
    """Whoever waits for a turn waits for the canary instead, once a rejection is not understood."""
    ncbi.otherwise, ncbi.takes = UNKNOWN, 0.3
    replies = ask(*taxa(500), workers=64, requests_per_second=10)
    assert reasons(replies) == {"skipped: outage": 500}
    assert len(ncbi.asked) <= 10


def test_a_canary_that_is_slow_holds_up_nobody_who_is_answered(ncbi: Ncbi) -> None:
    ncbi.script, done = {"2": UNKNOWN, CANARY: [DOWN, DOWN, OK]}, dict[str, float]()

    async def main() -> dict[str, Reply]:
        replies: dict[str, Reply] = {}

        def note(request: Request, reply: Reply) -> None:
            replies[request.taxon], done[request.taxon] = reply, asyncio.get_running_loop().time()

        async with DatasetsClient(BASE_URL, requests_per_second=10) as client:
            await run_requests(map(Request, taxa(30)), client.ask, workers=4, on_answer=note)
        return replies

    replies = run(main())
    assert reasons(replies) == {"answered": 29, "rejected: unknown_taxon": 1}
    assert max(time for taxon, time in done.items() if taxon != "2") - ncbi.asked[0][1] < 4
    assert done["2"] - ncbi.asked[0][1] > 15


def test_a_canary_of_the_job_that_is_refused_is_no_rejection(ncbi: Ncbi) -> None:
    ncbi.otherwise = UNKNOWN
    replies = ask(CANARY, *taxa(10), workers=1)
    assert reasons(replies) == {"skipped: outage": 11}
    assert ncbi.counts == {CANARY: 1}


@pytest.mark.parametrize("said", [UNKNOWN, DOWN])
def test_a_canary_that_is_missing_alone_ends_nothing_for_the_others(ncbi: Ncbi, said: Said) -> None:
    ncbi.script = {"50": UNKNOWN, "60": UNKNOWN, CANARY: said}
    replies = ask(*taxa(100), workers=4, attempts=3)
    assert reasons(replies) == {"answered": 98, "skipped: outage": 2}
    assert ncbi.counts[CANARY] <= 3


def test_an_outage_that_looks_like_typos_is_seen_in_the_middle_of_a_night(ncbi: Ncbi) -> None:
    ncbi.says = lambda ncbi, taxon, _: UNKNOWN if len(ncbi.asked) > 100 else None
    replies = ask(*taxa(1000), workers=4)
    counted = reasons(replies)
    assert counted["rejected: unknown_taxon"] == 0
    assert counted == {"answered": 100, "skipped: outage": 900}
    assert len(ncbi.asked) < 130


def test_a_night_that_was_given_up_may_go_on(ncbi: Ncbi) -> None:
    ncbi.says = lambda ncbi, taxon, now: DOWN if now < ncbi.asked[0][1] + 400 else None
    seen = list[Any]()

    async def second_round(client: DatasetsClient) -> None:
        seen.append(await client.is_answering())
        await asyncio.sleep(200)
        seen.append(await client.is_answering())
        seen.append((await client.ask(Request("1"), attempts=1)).answer)

    assert reasons(ask(*taxa(20), max_outage=300, then=second_round)) == {"skipped: outage": 20}
    assert seen == [False, True, Summary(7)]


def test_with_one_attempt_only_what_fails_before_the_doubt_has_failed(ncbi: Ncbi) -> None:
    ncbi.script, ncbi.otherwise = {"0": OK}, DOWN
    replies = ask("0", *taxa(20), attempts=1, max_outage=60, workers=1)
    first = FAILURES_IN_A_ROW - 1
    del replies["0"]
    assert reasons(replies) == {"failed: connection": first, "skipped: outage": 20 - first}


def test_the_log_tells_of_the_canary(ncbi: Ncbi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "batchsum")
    ncbi.says = lambda ncbi, taxon, now: DOWN if now < ncbi.asked[0][1] + 20 else None
    ask(*taxa(20))
    assert [record.getMessage() for record in caplog.records] == [
        "canary: NCBI does not answer (test taxon 2697049: connection: Connection reset by peer); next try in 5 s",
        "canary: NCBI does not answer (test taxon 2697049: connection: Connection reset by peer); next try in 10 s",
        "canary: NCBI does not answer (test taxon 2697049: connection: Connection reset by peer); next try in 20 s",
        "canary: NCBI answers for taxon 2697049",
    ]


# Questions beside those of a job


def test_a_question_beside_is_asked_again_and_then_told(mocked: aioresponses) -> None:
    url = f"{BASE_URL}/taxonomy/dataset_report"
    mocked.post(url, status=500)
    mocked.post(url, payload={"reports": []})
    mocked.post(url, status=400, payload={"code": 3, "message": "page_size: bad"})

    async def main() -> list[Any]:
        async with DatasetsClient(BASE_URL, requests_per_second="unlimited", api_key=KEY) as client:
            return [await client.post("/taxonomy/dataset_report", {"taxons": ["1", "2"]}) for _ in range(2)]

    assert run(main()) == [{"reports": []}, Failure("rejected", "bad_request", "page_size: bad")]
    calls = mocked.requests["POST", URL(url)]
    assert [call.kwargs["json"] for call in calls] == [{"taxons": ["1", "2"]}] * 3
    assert calls[0].kwargs["headers"]["api-key"] == KEY


def test_a_question_beside_may_be_asked_few_times_only(mocked: aioresponses) -> None:
    mocked.post(f"{BASE_URL}/x", status=500, repeat=True)

    async def main() -> Any:
        async with DatasetsClient(BASE_URL, requests_per_second="unlimited") as client:
            return await client.post("/x", {}, attempts=2)

    assert run(main()) == Failure("failed", "http_500", "Internal Server Error")
    assert len(mocked.requests["POST", URL(f"{BASE_URL}/x")]) == 2


def test_who_wants_to_be_left_alone_is_asked_no_more_beside(mocked: aioresponses) -> None:
    mocked.post(f"{BASE_URL}/x", status=429, headers={"Retry-After": "86400"}, repeat=True)

    async def main() -> Any:
        async with DatasetsClient(BASE_URL, requests_per_second="unlimited", max_outage=600) as client:
            began = asyncio.get_running_loop().time()
            said = [await client.post("/x", {}) for _ in range(2)]
            return said, asyncio.get_running_loop().time() - began

    said, seconds = run(main())
    assert said == [LEFT_ALONE, LEFT_ALONE]
    assert seconds < 1
    assert len(mocked.requests["POST", URL(f"{BASE_URL}/x")]) == 1


# Refusals stop everything


@pytest.mark.parametrize("status", [401, 403, 301])
@pytest.mark.parametrize("order", [("1", "2"), (CANARY, "1")])
def test_a_refusal_that_the_canary_meets_too_stops_at_once(ncbi: Ncbi, status: int, order: tuple[str, str]) -> None:
    ncbi.otherwise = (status, {})
    with pytest.raises(Refused, match=f"met by taxon {order[0]}"):
        ask(*order, *taxa(100), workers=1, api_key=KEY)
    assert len(ncbi.asked) == 2


def test_a_key_that_is_refused_in_words_stops_too(ncbi: Ncbi) -> None:
    ncbi.otherwise = (400, {"error": "API key invalid", "api-key": "x"})
    with pytest.raises(Refused, match=r"does not accept the API key \(HTTP 400\); look at the key"):
        ask(*taxa(100), workers=64, api_key=KEY)
    assert len(ncbi.asked) <= 64 + 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((403, {}), "http_403"),
        ((401, {}), "http_401"),
        ((308, {}, {"Location": "https://elsewhere.test/"}), "http_308"),
        ((400, {"error": "API key invalid"}), "http_400"),
    ],
)
@pytest.mark.parametrize("order", [("1", "2", "3"), ("2", "1", "3")])
def test_a_query_that_is_refused_alone_is_that_rows_rejection(
    ncbi: Ncbi, said: Said, reason: str, order: tuple[str, ...]
) -> None:
    ncbi.script = {"1": said}
    replies = ask(*order, workers=1)
    assert reasons(replies) == {f"rejected: {reason}": 1, "answered": 2}
    assert "NCBI answers other queries" in str(replies["1"].answer)
    assert ncbi.counts == {"1": 1, "2": 1, "3": 1, CANARY: 1}


def test_refusals_ask_the_canary_once_a_minute_at_most(ncbi: Ncbi) -> None:
    """Each waits for an answer that came after it, and they share one."""
    ncbi.script = {str(number): (403, {}) for number in range(10, 200, 20)}
    replies = ask(*taxa(200), workers=64, requests_per_second=10)
    assert reasons(replies) == {"rejected: http_403": 10, "answered": 190}
    assert 1 < ncbi.counts[CANARY] <= 4
    assert all(later - earlier >= 60 for earlier, later in pairwise(ncbi.times(CANARY)))


def test_a_server_that_begins_to_refuse_us_in_the_middle_of_a_night_is_told(ncbi: Ncbi) -> None:
    ncbi.says = lambda ncbi, taxon, now: (403, {}) if len(ncbi.asked) > 50 else None
    with pytest.raises(Refused, match="NCBI may have blocked its address; met by taxon 51"):
        ask(*taxa(100), workers=1)


def test_a_canary_that_does_not_answer_leaves_a_refusal_open(ncbi: Ncbi) -> None:
    ncbi.script = {"1": (403, {}), CANARY: DOWN}
    replies = ask("2", "1", "3", workers=1, attempts=2)
    assert reasons(replies) == {"skipped: outage": 1, "answered": 2}


@pytest.mark.parametrize("said", [(200, {}), (200, {"record_count": 0})])
def test_a_canary_without_records_is_not_known(ncbi: Ncbi, said: Said) -> None:
    ncbi.script = {"1": UNKNOWN, CANARY: said}
    replies = ask("2", "1", "3", workers=1)
    assert reasons(replies) == {"skipped: outage": 1, "answered": 2}
    assert "no records of taxon 2697049, which it surely has" in str(replies["1"].answer)


def test_a_canary_that_is_unknown_is_asked_again_a_minute_later(ncbi: Ncbi) -> None:
    ncbi.script = {"1": UNKNOWN, "70": UNKNOWN, CANARY: [(200, {}), OK]}
    replies = ask(*taxa(80), workers=1, requests_per_second=1)
    assert _reason(replies["1"].answer) == "skipped: outage"
    assert _reason(replies["70"].answer) == "rejected: unknown_taxon"
    assert ncbi.counts[CANARY] == 2


def test_another_canary_may_be_named(ncbi: Ncbi) -> None:
    ncbi.script = {"1": UNKNOWN, CANARY: UNKNOWN}
    assert reasons(ask("1", canary="12637")) == {"rejected: unknown_taxon": 1}
    assert ncbi.counts == {"1": 1, "12637": 1}


# Through a real session


def test_a_key_is_in_no_text_of_the_client() -> None:
    client = DatasetsClient(BASE_URL, api_key=KEY)
    assert KEY not in f"{client!r} {client} {client.pacer!r} {client.outage!r}"


async def test_a_day_of_small_disasters_on_real_connections(raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsum.ncbi.client.FIRST_PAUSE", 0.001)
    disasters = [
        play.hang_up,
        play.reset,
        play.bad_status_line(),
        play.answer(200, play.NAN_JSON),
        play.cut({"record_count": 7}, 5),
        play.answer(500, b"<html>"),
        play.too_many("0"),
    ]
    for taxon, disaster in zip(taxa(len(disasters)), disasters, strict=True):
        raw.on(taxon, disaster, disaster, play.summary())
    replies: dict[str, Reply] = {}
    async with DatasetsClient(raw.base_url, requests_per_second="unlimited", workers=3) as client:
        await run_requests(
            [Request(taxon) for taxon in taxa(20)],
            client.ask,
            workers=3,
            on_answer=lambda request, reply: replies.update({request.taxon: reply}),
        )
    assert reasons(replies) == {"answered": 20}
    asked = {taxon: count for taxon, count in raw.counts.items() if taxon != CANARY}  # whom a first failure asks
    assert {taxon: len(reply.attempts) for taxon, reply in replies.items()} == asked
    assert sorted(asked.values()) == [1] * 13 + [3] * 7


async def test_no_more_requests_are_under_way_than_there_are_workers(raw: RawServer) -> None:
    under_way, most = 0, 0

    async def slowly(turn: play.Turn) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1
        await play.summary()(turn)

    raw.always(slowly)
    async with DatasetsClient(raw.base_url, requests_per_second="unlimited", workers=3) as client:
        answers = await asyncio.gather(*(client.virus_genome_summary(number) for number in range(1, 21)))
    assert answers == [Summary(7, 7)] * 20
    assert (raw.connections, most) == (3, 3)


async def test_every_send_takes_a_slot(raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsum.ncbi.client.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("batchsum.ncbi.outage.FIRST_PROBE_PAUSE", 0.001)
    raw.on("1", play.hang_up, play.too_many("0"), play.error(404, "no such taxon"))
    raw.on(CANARY, play.error(500), play.summary())
    slots = 0
    async with DatasetsClient(raw.base_url, requests_per_second=1000) as client:
        slot = client.pacer.slot

        async def counted(can_send: Callable[[], bool]) -> float | None:
            nonlocal slots
            slots += 1
            return await slot(can_send)

        monkeypatch.setattr(client.pacer, "slot", counted)
        answer = await client.virus_genome_summary(1)
    assert _reason(answer) == "rejected: unknown_taxon"
    assert raw.counts == {"1": 3, CANARY: 2}
    assert slots == 5
