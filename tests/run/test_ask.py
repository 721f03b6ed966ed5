"""The pool: everything is fetched once, never too much at a time, and an error that stops the night stops it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.errors import Refused
from batchsum.run.ask import run_requests


@given(st.integers(0, 60), st.integers(1, 9), st.randoms(use_true_random=False))
def test_every_request_is_answered_once_and_no_more_than_the_workers_are_under_way(count, workers, chance) -> None:  # type: ignore[no-untyped-def]
    async def scenario() -> None:
        under_way, most, answers = 0, 0, dict[int, int]()

        async def fetch(request: int) -> int:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            under_way -= 1
            return request * 2

        def keep(request: int, answer: int) -> None:
            assert request not in answers
            answers[request] = answer

        await run_requests(range(count), fetch, workers=workers, on_answer=keep)
        assert answers == {request: request * 2 for request in range(count)}
        assert most <= workers

    asyncio.run(scenario())


async def test_an_iterator_is_read_no_further_than_the_workers_are() -> None:
    read: list[int] = []
    going = asyncio.Event()

    def requests():  # type: ignore[no-untyped-def]
        for number in range(1000):
            read.append(number)
            yield number

    async def fetch(request: int) -> int:
        if len(read) == 4:
            going.set()
        await asyncio.Event().wait()
        return request

    pool = asyncio.create_task(run_requests(requests(), fetch, workers=4, on_answer=lambda request, answer: None))
    await going.wait()
    assert read == [0, 1, 2, 3]
    pool.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pool


async def test_what_stops_the_night_comes_out_as_it_is() -> None:
    cancelled: list[int] = []

    async def fetch(request: int) -> int:
        if request == 3:
            raise Refused("the key")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(request)
        return request

    with pytest.raises(Refused, match="the key"):
        await run_requests(range(10), fetch, workers=4, on_answer=lambda request, answer: None)
    assert sorted(cancelled) == [0, 1, 2]
