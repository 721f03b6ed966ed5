"""A connection is handed out when its request may leave: paced, wanted, and on a connection that is fit for it."""

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial

import aiohttp
import pytest

from batchsum.model.queries import Failure, Request, Summary
from batchsum.ncbi.connector import MOST_WAITING, TRIES, Withdrawn
from batchsum.ncbi.http import Transport
from batchsum.ncbi.pacing import Pacer
from tests.fakes import raw_server as play
from tests.fakes.raw_server import RawServer

ASKED = Request("11320")


class SlowPacer(Pacer):
    """Each slot comes so many seconds after it was asked for."""

    def __init__(self, seconds: float, on_asked: Callable[[], None] = lambda: None) -> None:
        super().__init__(10_000.0)  # without a rate nobody would have to wait
        self.seconds, self.on_asked, self.slots = seconds, on_asked, 0

    async def slot(self, can_send: Callable[[], bool] = lambda: True) -> float | None:
        self.on_asked()
        await asyncio.sleep(self.seconds)
        slot = await super().slot(can_send)
        self.slots += slot is not None
        return slot


def opened(raw: RawServer, pacer: Pacer | None = None, *, timeout: float = 5.0, connections: int = 4) -> Transport:
    return Transport(
        raw.base_url, pacer or Pacer(None), api_key=None, contact=None, timeout=timeout, connections=connections
    )


async def test_the_timeout_stands_still_while_the_pacer_makes_it_wait(raw: RawServer) -> None:
    async with opened(raw, SlowPacer(0.3), timeout=0.2) as session:
        exchange = await session.send(ASKED)
    assert exchange.answer == Summary(7, 7)
    assert exchange.attempt.seconds < 0.3


async def test_requests_that_share_a_context_are_told_apart(raw: RawServer) -> None:
    async with opened(raw, SlowPacer(0.02)) as session:
        shared = contextvars.copy_context()
        wanted = {"1": True, "2": False, "3": True}
        tasks = [
            asyncio.create_task(session.send(Request(taxon), partial(wanted.get, taxon)), context=shared)
            for taxon in wanted
        ]
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, Withdrawn) for result in results] == [False, True, False]
    assert raw.counts == {"1": 1, "3": 1}


async def test_a_connection_that_ends_while_its_request_waits_is_replaced(raw: RawServer) -> None:
    async def close_soon(turn: play.Turn) -> None:
        await play.summary()(turn)
        await asyncio.sleep(0.02)
        turn.close()

    raw.first = [close_soon]
    async with opened(raw, SlowPacer(0.2)) as session:
        await session.send(ASKED)
        exchange = await session.send(ASKED)
    assert exchange.answer == Summary(7, 7)
    assert [arrival.connection for arrival in raw.arrivals] == [1, 2]


async def test_the_slot_is_waited_for_behind_the_connection(raw: RawServer) -> None:
    seen = list[tuple[int, int]]()
    pacer = SlowPacer(0.02, lambda: seen.append((len(connector._acquired), len(raw.arrivals))))
    async with opened(raw, pacer) as session:
        assert session._session is not None
        connector = session._session.connector
        assert connector is not None
        for _ in range(2):
            await session.send(ASKED)
    assert seen == [(1, 0), (1, 1)]  # connected, arrived
    assert raw.connections == 1


async def test_what_does_not_connect_takes_no_slot() -> None:
    pacer = SlowPacer(0)
    nobody = RawServer(f"http://127.0.0.1:{play.refused_port()}")
    async with opened(nobody, pacer) as session:
        await session.send(ASKED)
    assert pacer.slots == 0


async def test_what_is_not_wanted_any_more_is_not_sent_and_its_connection_is_kept(raw: RawServer) -> None:
    is_wanted = True

    def doubt() -> None:
        nonlocal is_wanted
        is_wanted = False

    pacer = SlowPacer(0, doubt)
    async with opened(raw, pacer) as session:
        for _ in range(2):  # while it waits for its slot, and before it connects
            with pytest.raises(Withdrawn):
                await session.send(ASKED, lambda: is_wanted)
        await session.send(ASKED)
    assert pacer.slots == 1
    assert (len(raw.arrivals), raw.connections) == (1, 1)


async def test_what_is_not_wanted_any_more_is_no_failure_of_the_last_connection_either(raw: RawServer) -> None:
    raw.greeting = b"HTTP/1.1 408 Request Timeout\r\n\r\n"  # so that no connection can be used
    turns = list[int]()
    async with opened(raw, SlowPacer(0.05, lambda: turns.append(raw.connections))) as session:
        with pytest.raises(Withdrawn):
            await session.send(ASKED, lambda: len(turns) < TRIES)
    assert len(turns) == TRIES
    assert not raw.arrivals


async def test_few_connections_are_open_at_once_however_many_wait(raw: RawServer) -> None:
    """Behind a server that ends each connection with its answer, and a pace that everybody has to wait for."""
    raw.always(play.answer(200, {"record_count": 7}, with_length=False))
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1
        assert asked - pacer.slots <= MOST_WAITING
        assert raw.connections - pacer.slots <= MOST_WAITING

    pacer = SlowPacer(0.001, count)
    async with opened(raw, pacer, connections=64) as session:
        answers = await asyncio.gather(*(session.send(ASKED) for _ in range(200)))
    assert [one.answer for one in answers] == [Summary(7)] * 200
    assert raw.connections == len(raw.arrivals) == pacer.slots == 200


@pytest.mark.parametrize("behaviour", [play.hang_up, play.reset], ids=["hang_up", "reset"])
async def test_nothing_is_sent_twice_when_a_reused_connection_dies(raw: RawServer, behaviour: play.Behaviour) -> None:
    raw.first = [play.summary(), behaviour]
    async with opened(raw) as session:
        await session.send(ASKED)
        exchange = await session.send(ASKED)
    assert [(arrival.connection, arrival.number) for arrival in raw.arrivals] == [(1, 1), (1, 2)]
    assert isinstance(exchange.answer, Failure)
    assert exchange.answer.reason == "connection"


async def test_the_library_would_send_it_twice(raw: RawServer) -> None:
    """Where this fails, the library has changed: look whether Transport still has to switch something off."""
    raw.first = [play.summary(), play.hang_up]
    async with aiohttp.ClientSession() as session:
        assert session._retry_connection is True
        for _ in range(2):
            async with session.get(raw.base_url) as response:
                await response.read()
    assert len(raw.arrivals) == 3


# What nobody asked for


def said_twice(seconds: float, body: bytes = b'{"record_count": 1}') -> play.Behaviour:
    """An answer, and `seconds` later one that belongs to no question."""

    async def behave(turn: play.Turn) -> None:
        await play.answer(200, {"record_count": 1})(turn)
        await asyncio.sleep(seconds)
        turn.writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await turn.writer.drain()

    return behave


@pytest.mark.parametrize("body", [b'{"record_count": 1}', b'{"message": "taxon not found"}', b"{"])
async def test_an_answer_that_nobody_asked_for_is_nobodys(raw: RawServer, body: bytes) -> None:
    """The next question goes over another connection, and is told its own answer."""
    raw.first = [said_twice(0.0, body)]
    raw.always(play.answer(200, {"record_count": 2}))
    async with opened(raw) as session:
        first = await session.send(ASKED)
        await asyncio.sleep(0.05)
        later = [await session.send(ASKED) for _ in range(3)]
    assert first.answer == Summary(1)
    assert [one.answer for one in later] == [Summary(2)] * 3
    assert [arrival.connection for arrival in raw.arrivals] == [1, 2, 2, 2]


async def test_a_server_that_speaks_before_it_is_asked_is_not_believed(raw: RawServer) -> None:
    raw.greeting = b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"record_count": 9}\n'
    async with opened(raw, SlowPacer(0.02)) as session:
        answer = (await session.send(ASKED)).answer
    assert answer == Failure("failed", "connection", "the server speaks or hangs up before it is asked")
    assert not raw.arrivals
    assert raw.connections == TRIES
