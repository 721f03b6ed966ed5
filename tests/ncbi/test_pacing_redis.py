"""Processes that share nothing but a Redis never send more than one of them may, whatever becomes of the Redis."""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from batchsum.config import values
from batchsum.errors import UsageError
from batchsum.ncbi.pacing import GUARD, Pacer
from batchsum.ncbi.pacing_redis import PASSWORD, SharedLimit
from tests.fakes.paced_sender import Arrivals, senders
from tests.fakes.redis_server import RedisServer, needs_redis

KEY = "0123456789abcdef0123456789abcdef0123"
SERVER = "api.ncbi.nlm.nih.gov:443"
RATE = 20

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's stamps of datagrams are Linux's")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def limit(url: str, key: str | None = KEY, parts: int = 1) -> AsyncIterator[SharedLimit]:
    shared = SharedLimit(url, SERVER, key, parts=parts)
    try:
        yield shared
    finally:
        await shared.close()


@needs_redis
async def test_what_one_takes_the_other_has_not(redis: RedisServer) -> None:
    async with limit(redis.url) as one, limit(redis.url) as other:
        assert (await one.take(1, GUARD))[0] == 0
        wait, name = await other.take(1, GUARD)
        assert 0.5 < wait <= 1 + GUARD
        assert name == ""


@needs_redis
async def test_each_server_and_each_key_has_its_own_limit(redis: RedisServer) -> None:
    async with limit(redis.url, KEY) as one, limit(redis.url, None) as other:
        assert (await one.take(1, GUARD))[0] == 0
        assert (await other.take(1, GUARD))[0] == 0


@needs_redis
async def test_no_name_in_redis_tells_the_key(redis: RedisServer) -> None:
    from redis.asyncio import Redis

    async with limit(redis.url) as one, Redis.from_url(redis.url) as client:
        await one.take(10, GUARD)
        names = await client.keys("*")
        members = await client.zrange(next(name for name in names if name.endswith(b":sends")), 0, -1)
        assert len(names) == 2
        assert len(members) == 1
        assert KEY.encode() not in b"".join([*names, *members])


@needs_redis
async def test_a_hold_is_everybodys(redis: RedisServer) -> None:
    async with limit(redis.url) as one, limit(redis.url) as other:
        await one.take(10, GUARD)
        one.hold(30)
        await one.close()
        assert 25 < (await other.take(10, GUARD))[0] <= 30


@needs_redis
async def test_a_hold_without_end_is_not_believed(redis: RedisServer) -> None:
    async with limit(redis.url) as one, limit(redis.url) as other:
        await one.take(10, GUARD)
        one.hold(1e9)
        await one.close()
        assert (await other.take(10, GUARD))[0] < 1


@needs_redis
async def test_the_highest_rate_anybody_knows_is_the_limit(redis: RedisServer) -> None:
    async with limit(redis.url) as informed, limit(redis.url) as newcomer:
        assert (await informed.take(100, GUARD))[0] == 0
        assert (await newcomer.take(1, GUARD))[0] < 0.1


@needs_redis
async def test_a_limit_that_falls_is_everybodys_at_once(redis: RedisServer) -> None:
    async with limit(redis.url) as one, limit(redis.url) as other:
        assert (await one.take(100, GUARD))[0] == 0
        one.lower(1)
        await one.close()
        assert (await other.take(1, GUARD))[0] > 0.5


@needs_redis
async def test_a_send_that_leaves_late_counts_from_then(redis: RedisServer) -> None:
    async with limit(redis.url) as one, limit(redis.url) as other:
        _, name = await one.take(1, GUARD)
        await asyncio.sleep(0.4)
        one.sent(name)
        await one.close()
        assert (await other.take(1, GUARD))[0] > 0.7


@needs_redis
async def test_a_book_just_begun_gives_nobody_more_than_a_share(redis: RedisServer) -> None:
    """Nobody knows what was sent before: those who have not noticed yet keep to their share meanwhile."""
    async with limit(redis.url, parts=4) as one, limit(redis.url, parts=4) as other:
        assert one.parts == 4
        await one.take(10, GUARD)
        await other.take(10, GUARD)
        assert (one.parts, other.parts) == (4, 4)


@needs_redis
async def test_somebody_elses_value_in_its_place_fails_no_run(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    from redis.asyncio import Redis

    async with limit(redis.url) as one, Redis.from_url(redis.url) as client:
        await one.take(10, GUARD)
        for name in await client.keys("*"):
            await client.set(name, "rubbish")
        assert (await one.take(10, GUARD))[0] > 1
        assert "WRONGTYPE" in caplog.text


async def test_without_redis_each_has_its_share_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with limit(f"redis://127.0.0.1:{nobody.getsockname()[1]}", parts=4) as one:
            waits = [(await one.take(10, GUARD))[0] for _ in range(5)]
            # What was sent before passes out of the server's second first.
            assert waits == sorted(waits, reverse=True)
            # A clock that has run for days knows no more than a nanosecond.
            assert 0.5 < waits[-1] <= waits[0] <= 1 + GUARD + 1e-9
            assert one.parts == 4
    assert len(caplog.messages) == 1
    assert "1/4 of the limit" in caplog.messages[0]


@needs_redis
async def test_the_password_comes_from_the_environment_and_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    redis = RedisServer(tmp_path, "--requirepass", "open sesame")
    redis.start()
    try:
        async with limit(redis.url, parts=2) as one:
            await one.take(10, GUARD)
            assert "keeps to 1/2 of the limit" in caplog.text
        monkeypatch.setenv(PASSWORD, "open sesame")
        async with limit(redis.url, parts=2) as one:
            wait, name = await one.take(10, GUARD)
            assert (wait, bool(name)) == (0, True)
    finally:
        redis.kill()
    assert "sesame" not in caplog.text


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[redis\]'"):
        SharedLimit("redis://127.0.0.1", SERVER, None)


def test_a_pacer_of_several_has_its_part_of_the_rate() -> None:
    assert Pacer(10, parts=4).rate == 2.5
    assert Pacer(None, parts=4).rate is None


@pytest.mark.parametrize(
    "text", ["redis://host", "redis://host:6379/2", "rediss://user@host/0", "redis://[::1]/", "unix:///run/redis.sock"]
)
def test_addresses_of_a_redis(text: str) -> None:
    assert values.parse_shared_limit(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("redis://:secret@host", "environment variable BATCHSUM_REDIS_PASSWORD"),
        ("redis://host?password=secret", "behind [?] or #"),
        ("http://host", "is not the address"),
        ("redis://", "is not the address"),
        ("redis://host:0", "is not the address"),
        ("redis://host:port", "is not the address"),
        ("redis://host/name", "is not the address"),
        ("unix://redis.sock", "is not the address"),
    ],
)
def test_what_is_no_address_of_a_redis(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        values.parse_shared_limit(text)
    assert "secret" not in str(caught.value)


@needs_redis
@on_linux
def test_four_processes_keep_the_limit_while_redis_is_killed_and_started_again(
    redis: RedisServer, tmp_path: Path
) -> None:
    arrivals = Arrivals()
    with senders(4, arrivals, RATE, redis.url, tmp_path):
        arrivals.receive_until(parts=1, count=40)
        redis.kill()
        arrivals.receive_until(parts=4, count=30)
        redis.start()
        arrivals.receive_until(parts=1, count=40)
    arrivals.assert_never_over(RATE)


@needs_redis
@on_linux
def test_one_process_alone_gets_what_four_would_share(redis: RedisServer, tmp_path: Path) -> None:
    arrivals = Arrivals()
    with senders(1, arrivals, RATE, redis.url, tmp_path):
        arrivals.receive_until(parts=1, count=40)
    times = [arrival.time for arrival in arrivals.seen if arrival.parts == 1]
    assert any(later - first < 1.0 for first, later in zip(times, times[RATE // 4 :], strict=False))
