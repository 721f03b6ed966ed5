"""No second of the server ever holds more sends than the limit: whatever is late, held, changed or cancelled."""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsum.errors import UsageError
from batchsum.ncbi.pacing import GUARD, LARGEST_GUARD, Pacer
from batchsum.ncbi.pacing_file import Reservation, window
from batchsum.ncbi.urls import rate_and_ceiling
from tests.fakes.virtual_time import VirtualLoop, run

NCBI = "api.ncbi.nlm.nih.gov"


def clock() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Arrival:
    """A request as the server sees it, and the rate that was in force when it left."""

    time: float
    rate: float


def assert_never_over(arrivals: Sequence[Arrival]) -> None:
    """In each second that begins with an arrival there are at most as many as some rate in force allowed."""
    arrivals = sorted(arrivals, key=lambda arrival: arrival.time)
    for first, arrival in enumerate(arrivals):
        in_second = [one for one in arrivals[first:] if one.time < arrival.time + 1.0]
        assert len(in_second) <= window(max(one.rate for one in in_second), 0)[0]


class Server:
    """A spy: sends through a pacer and notes when each send arrived."""

    def __init__(self, pacer: Pacer, *, travel: Sequence[float] = (0.0,)) -> None:
        self.pacer, self.travel, self.arrivals = pacer, travel, list[Arrival]()
        self.sent = list[float]()

    async def receive(self) -> float:
        slot = await self.pacer.slot()
        assert slot is not None
        travel = self.travel[len(self.arrivals) % len(self.travel)]
        self.arrivals.append(Arrival(clock() + travel, self.pacer.rate or math.inf))
        self.sent.append(clock())
        return slot

    async def receive_all(self, count: int, workers: int = 8) -> None:
        pending = iter(range(count))

        async def worker() -> None:
            for _ in pending:
                await self.receive()

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())

    def use(self, limit: float) -> float:
        times = [arrival.time for arrival in self.arrivals]
        return (len(times) - 1) / (limit * (times[-1] - times[0]))


times = st.floats(0.0, 6.0)
rates = st.sampled_from([0.5, 1.0, 2.5, 3.0, 5.0, 10.0, 40.0])
holds = st.tuples(times, st.just("hold"), st.floats(0.0, 3.0))
refusals = st.tuples(times, st.just("refuse"), st.floats(0.0, 3.0))
limits = st.tuples(times, st.just("limit"), rates)
cancellations = st.tuples(times, st.just("cancel"), st.integers(0, 29))


@settings(max_examples=250, deadline=None)
@given(
    rate=rates,
    starts=st.lists(times, min_size=30, max_size=30),
    travel=st.lists(st.floats(0.0, GUARD - 0.001), min_size=1, max_size=7),
    late=st.lists(st.sampled_from([0.0, 0.0005, 0.001, 0.004, 0.25]), min_size=1, max_size=9),
    events=st.lists(st.one_of(holds, refusals, limits, cancellations), max_size=8),
)
def test_no_second_holds_more_than_the_limit(
    rate: float,
    starts: list[float],
    travel: list[float],
    late: list[float],
    events: list[tuple[float, str, float]],
) -> None:
    chance = random.Random(0)
    held = list[tuple[float, float]]()

    async def night() -> tuple[Server, int]:
        server = Server(Pacer(rate, ceiling=40.0), travel=travel)

        async def ask(number: int) -> None:
            await asyncio.sleep(starts[number])
            await server.receive()

        async def happen(time: float, what: str, value: float) -> None:
            await asyncio.sleep(time)
            if what == "limit":
                server.pacer.limit(value)
            elif what == "cancel":
                tasks[int(value)].cancel()
            else:
                held.append((clock(), clock() + value))
                server.pacer.hold(value, refused=clock() if what == "refuse" else None)

        tasks = [asyncio.create_task(ask(number)) for number in range(len(starts))]
        await asyncio.gather(*(happen(*event) for event in events))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return server, sum(isinstance(result, float | None) for result in results)

    server, finished = run(night(), late=lambda: chance.choice(late))
    assert_never_over(server.arrivals)
    assert not [(a, b) for a, b in held if any(a < time < b for time in server.sent)]
    assert finished >= len(starts) - sum(what == "cancel" for _, what, _ in events)


@pytest.mark.parametrize("limit", [10, 5, 3, 1, 0.5, 200])
def test_the_whole_limit_is_used(limit: float) -> None:
    async def night() -> Server:
        server = Server(Pacer(limit))
        await server.receive_all(min(math.ceil(40 * limit), 2000), workers=64)
        return server

    server = run(night(), late=lambda: 0.0005)
    assert_never_over(server.arrivals)
    assert server.use(limit) >= 0.99


def test_the_pace_is_even_from_the_first_send() -> None:
    async def night() -> Server:
        server = Server(Pacer(10))
        await server.receive_all(30)
        return server

    times = [arrival.time for arrival in run(night()).arrivals]
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 0.04
    assert sum(gap < 0.09 for gap in gaps) <= 3  # half a slot of catch-up, once a second


def test_a_fraction_counts_as_the_whole_number_below_it() -> None:
    async def night() -> Server:
        server = Server(Pacer(2.5))
        await server.receive_all(20)
        return server

    times = [arrival.time for arrival in run(night()).arrivals]
    assert all(later - time > 1.0 for time, later in zip(times, times[2:], strict=False))


def test_after_a_hold_nothing_is_caught_up() -> None:
    async def night() -> tuple[float, list[float]]:
        server = Server(Pacer(10))
        await server.receive_all(5)
        server.pacer.hold(7.0)
        until, before = clock() + 7.0, len(server.arrivals)
        await server.receive_all(30)
        return until, [arrival.time for arrival in server.arrivals[before:]]

    until, times = run(night())
    assert times[0] >= until
    assert sum(time < until + 0.5 for time in times) <= 6


def test_those_who_waited_out_a_hold_do_not_start_together() -> None:
    async def night() -> list[float]:
        server = Server(Pacer(10))
        sending = asyncio.create_task(server.receive_all(30))
        await asyncio.sleep(0.52)
        server.pacer.hold(3.0)
        before = len(server.arrivals)
        await sending
        return [arrival.time for arrival in server.arrivals[before:]]

    times = run(night())
    assert min(after - before for before, after in pairwise(times)) >= 0.04


def test_a_hold_reaches_all_who_wait() -> None:
    async def night() -> list[float]:
        server = Server(Pacer(10))
        tasks = [asyncio.create_task(server.receive()) for _ in range(20)]
        await asyncio.sleep(0.02)
        held, before = clock(), len(server.arrivals)
        server.pacer.hold(3.0)
        server.pacer.hold(1.0)
        await asyncio.gather(*tasks)
        return [arrival.time - held for arrival in server.arrivals[before:]]

    assert min(run(night())) >= 3.0


def test_an_unlimited_pacer_is_held_as_well() -> None:
    async def night() -> float:
        pacer = Pacer(None)
        start = clock()
        pacer.hold(2.0)
        await asyncio.gather(*(pacer.slot() for _ in range(100)))
        return clock() - start

    assert run(night()) == pytest.approx(2.0, abs=0.01)


def gap_after(refusals: int, *, episodes: bool) -> float:
    """Seconds between two sends at 1 a second, after 429s of one episode or of several."""

    async def night() -> float:
        server = Server(Pacer(1))
        sent = await server.receive()
        for _ in range(refusals):
            if episodes:
                sent = await server.receive()
            server.pacer.hold(1.0, refused=sent)
        await server.receive_all(2)
        return server.arrivals[-1].time - server.arrivals[-2].time

    return run(night()) - 1.0


def test_each_episode_of_refusals_doubles_the_guard_once() -> None:
    assert gap_after(0, episodes=False) == pytest.approx(GUARD, abs=1e-4)
    assert gap_after(9, episodes=False) == pytest.approx(2 * GUARD, abs=1e-4)
    assert gap_after(2, episodes=True) == pytest.approx(4 * GUARD, abs=1e-4)
    assert gap_after(9, episodes=True) == pytest.approx(LARGEST_GUARD, abs=1e-4)


def test_who_cannot_send_takes_no_slot() -> None:
    async def night() -> list[float | None]:
        pacer, start = Pacer(0.1), clock()
        taken = [await pacer.slot(), await pacer.slot(lambda: clock() < start + 5), await pacer.slot()]
        return [None if slot is None else slot - start for slot in taken]

    assert run(night()) == [pytest.approx(0, abs=0.1), None, pytest.approx(10, abs=0.1)]


def test_the_header_lowers_the_rate_and_raises_it_up_to_the_ceiling() -> None:
    async def night() -> list[float | None]:
        seen = list[float | None]()
        pacer = Pacer(3, ceiling=10)
        for said in (5.0, 2.0, 0.0, -1.0, math.nan, math.inf, 50.0):
            pacer.limit(said)
            seen.append(pacer.rate)
        return seen

    assert run(night()) == [5.0, 2.0, 2.0, 2.0, 2.0, 2.0, 10.0]


def test_a_pacer_without_pace_follows_a_header_and_lets_its_past_go_by_first() -> None:
    async def night() -> Server:
        server = Server(Pacer(None))
        await server.receive_all(50)
        server.pacer.limit(5)
        await server.receive_all(30)
        return server

    server = run(night())
    assert server.pacer.rate == 5
    assert server.arrivals[50].time - server.arrivals[49].time > 1.0
    assert_never_over(server.arrivals[50:])


async def test_an_unlimited_slot_never_gives_way() -> None:
    with pytest.raises(StopIteration):
        Pacer(None).slot().send(None)


@pytest.mark.parametrize("workers", [10, 1000])
def test_one_waiter_wakes_at_a_time(workers: int) -> None:
    async def night() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        server = Server(Pacer(100))
        tasks = [asyncio.create_task(server.receive()) for _ in range(workers)]
        await asyncio.sleep(0)
        loop.asked = 0
        await asyncio.gather(*tasks)
        return loop.asked / workers

    assert run(night()) < 40


def test_first_come_first_served() -> None:
    async def night() -> list[int]:
        pacer, served = Pacer(10), list[int]()

        async def ask(number: int) -> None:
            await pacer.slot()
            served.append(number)

        await asyncio.gather(*(ask(number) for number in range(30)))
        return served

    assert run(night()) == list(range(30))


def test_a_limit_that_rises_costs_no_turn(tmp_path: Path) -> None:
    async def night() -> Server:
        server = Server(Pacer(10, shared=Reservation("host", None, directory=tmp_path)))
        asked = asyncio.gather(*(server.receive() for _ in range(100)))
        for n in (9.5, 10.0) * 20:
            await asyncio.sleep(0.3)
            server.pacer.limit(n)
        await asked
        return server

    server = run(night(), late=lambda: 0.0005)
    assert_never_over(server.arrivals)
    assert server.use(9) >= 0.9


def test_two_pacers_share_one_limit_and_both_get_their_turns(tmp_path: Path) -> None:
    async def night() -> tuple[Server, Server]:
        servers = [Server(Pacer(10, shared=Reservation("host", None, directory=tmp_path))) for _ in range(2)]
        both = asyncio.gather(*(server.receive_all(500) for server in servers))
        await asyncio.sleep(30)
        both.cancel()
        return servers[0], servers[1]

    one, other = run(night(), late=lambda: 0.0005)
    together = sorted([*one.arrivals, *other.arrivals], key=lambda arrival: arrival.time)
    assert_never_over(together)
    assert (len(together) - 1) / (10 * (together[-1].time - together[0].time)) >= 0.95
    assert min(len(one.arrivals), len(other.arrivals)) > 75


def test_who_has_not_heard_of_a_higher_limit_is_not_starved(tmp_path: Path) -> None:
    async def night() -> tuple[Server, Server]:
        informed, newcomer = (
            Server(Pacer(3, ceiling=10, shared=Reservation("host", None, directory=tmp_path))) for _ in range(2)
        )
        informed.pacer.limit(5)
        busy = asyncio.create_task(informed.receive_all(500))
        await asyncio.sleep(5)
        await newcomer.receive_all(10)
        busy.cancel()
        return informed, newcomer

    informed, newcomer = run(night(), late=lambda: 0.0005)
    assert_never_over([*informed.arrivals, *newcomer.arrivals])
    assert newcomer.arrivals[-1].time - informed.arrivals[0].time < 30


@pytest.mark.parametrize(("processes", "lower"), [(2, 5.0), (3, 3.0), (3, 1.0)])
def test_a_limit_that_falls_holds_for_all_processes_that_have_heard(
    processes: int, lower: float, tmp_path: Path
) -> None:
    async def night() -> tuple[list[Arrival], float]:
        servers = [Server(Pacer(10, shared=Reservation("host", None, directory=tmp_path))) for _ in range(processes)]
        busy = asyncio.gather(*(server.receive_all(500) for server in servers))
        await asyncio.sleep(5)
        for server in servers:
            await asyncio.sleep(0.05)
            server.pacer.limit(lower)
        fell = clock()
        await asyncio.sleep(10)
        busy.cancel()
        return [arrival for server in servers for arrival in server.arrivals], fell

    arrivals, fell = run(night(), late=lambda: 0.0005)
    after = [Arrival(arrival.time, lower) for arrival in arrivals if arrival.time > fell]
    assert_never_over(after)
    assert len(after) >= 9 * lower


@pytest.mark.parametrize("n", [0.000001, 0.0, -3.0, math.inf, math.nan])
def test_what_can_be_no_rate_is_not_heard(n: float) -> None:
    async def night() -> float | None:
        pacer = Pacer(10)
        pacer.limit(n)
        return pacer.rate

    assert run(night()) == 10


@pytest.mark.parametrize(("seconds", "at_least"), [(5.0, 5.0), (3600.0, 3600.0), (7200.0, 3600.0)])
def test_a_hold_reaches_the_other_processes(tmp_path: Path, seconds: float, at_least: float) -> None:
    """For an hour at most: what is longer may be damage."""

    async def night() -> float:
        one, other = (Pacer(10, shared=Reservation("host", None, directory=tmp_path)) for _ in range(2))
        await one.slot()
        start = clock()
        one.hold(seconds)
        await other.slot()
        return clock() - start

    assert at_least <= run(night()) < at_least + 1.0


@pytest.mark.parametrize(
    ("setting", "has_key", "host", "start", "ceiling"),
    [
        ("auto", False, NCBI, 3, 10),
        ("auto", True, NCBI, 10, 10),
        ("auto", False, "127.0.0.1", 3, math.inf),
        ("auto", True, "127.0.0.1", 10, math.inf),
        (0.5, False, NCBI, 0.5, 0.5),
        (10, False, NCBI, 10, 10),
        (400, False, "localhost", 400, 400),
        ("unlimited", False, "notncbi.nlm.nih.gov.example.org", math.inf, math.inf),
    ],
)
def test_what_a_setting_means(setting: float | str, has_key: bool, host: str, start: float, ceiling: float) -> None:
    assert rate_and_ceiling(setting, host, has_key=has_key) == (start, ceiling)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", [NCBI, "API.NCBI.NLM.NIH.GOV", f"{NCBI}.", "ncbi.nlm.nih.gov"])
@pytest.mark.parametrize("setting", ["unlimited", 10.1, 11, math.inf])
def test_ncbi_is_never_asked_faster_than_it_allows(setting: float | str, host: str) -> None:
    with pytest.raises(UsageError, match="allows 10 at most; write auto"):
        rate_and_ceiling(setting, host, has_key=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [0, -1, math.nan])
def test_a_rate_is_above_zero(setting: float) -> None:
    with pytest.raises(UsageError, match="write auto, or a number above 0"):
        rate_and_ceiling(setting, "localhost")


def test_the_pacer_of_a_server_has_the_rate_of_its_host() -> None:
    assert Pacer.for_server(f"https://{NCBI}/datasets/v2", None).rate == 3
    assert Pacer.for_server(f"https://{NCBI}/datasets/v2", "key", 2).rate == 2
    assert Pacer.for_server("http://[::1]:80/datasets/v2", None, "unlimited").rate is None
