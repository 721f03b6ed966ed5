"""SharedLimit: one limit for all processes of a lab, on many machines, counted in a Redis or Valkey of its own.

The rule: while it cannot be reached, a process has only its static share, and none of its sends before may still
count; when it is back, nobody takes more than its static share until everybody must have noticed.
"""

import asyncio
import hashlib
import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batchsum.errors import UsageError
from batchsum.text import install_extra

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("batchsum")

PASSWORD = "BATCHSUM_REDIS_PASSWORD"
"""The environment variable with the password: it may stand in no job file and no command line."""
PATIENCE = 0.5
"""Seconds for one question; who answers later is away."""
PROBE = 2.0
"""Seconds between two looks whether it is back."""
SETTLING = PROBE + PATIENCE + 1.5
"""Seconds after which whoever was away has noticed that it is back, and a second more."""

# What Redis runs for us; what it keeps goes an hour after the last send.
_TAKE = Path(__file__).with_name("pacing_take.lua").read_text(encoding="utf-8")
_NOTE = Path(__file__).with_name("pacing_note.lua").read_text(encoding="utf-8")


class SharedLimit:
    """The sends of everybody who asks `server` with `api_key` and counts them in the Redis at `url`.

    `url` is `redis://`, `rediss://` or `unix://`, without a password. `parts` is among how many processes the
    limit is divided while Redis is away. UsageError where the package for it is not installed.
    """

    def __init__(self, url: str, server: str, api_key: str | None, *, parts: int = 1) -> None:
        try:
            import redis.asyncio  # noqa: F401
        except ImportError:
            raise UsageError(f"api.shared_limit needs the package redis; {install_extra('redis')}") from None
        self._url = url
        # A hash tag in braces: both keys lie on one node of a cluster.
        name = hashlib.sha256(f"{server}\0{api_key or ''}".encode()).hexdigest()[:32]
        self._keys = [f"batchsum:{{{name}}}:sends", f"batchsum:{{{name}}}:state"]
        self._static = parts
        self._redis: Redis | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._is_away = self._is_settling = False
        self._heard = False
        self._warned = False
        self._free_at = self._probe_at = 0.0
        self.trip = 0.0
        """Seconds that a question takes, there and back. What it lets through leaves half of that later."""

    @property
    def parts(self) -> int:
        """Among how many processes the limit is to be divided just now."""
        return 1 if self._heard and not (self._is_away or self._is_settling) else self._static

    async def take(self, rate: float, guard: float) -> tuple[float, str]:
        """Seconds to wait, 0 where one may send now, and the name of that send ('' where it is not counted)."""
        now = asyncio.get_running_loop().time()
        if self._is_away and now < self._probe_at:
            return max(0.0, self._free_at - now), ""
        name = secrets.token_hex(8)
        values = [rate, round(guard * 1e6), round(self.trip / 2 * 1e6), name, int(self._is_away), round(SETTLING * 1e6)]
        try:
            wait, settling = await self._ask(_TAKE, values)
        except Exception as error:
            return self._lose(error, guard), ""
        self.trip += (asyncio.get_running_loop().time() - now - self.trip) / 4
        if self._is_away:
            log.log(logging.INFO if self._warned else logging.DEBUG, "the shared limit is back: %s", self._place())
        self._heard, self._is_away, self._is_settling = True, False, bool(settling)
        return wait / 1e6, "" if wait else name

    def sent(self, name: str) -> None:
        """The send of this name (a new one: '') leaves now, later than it was let through."""
        self._post(name or secrets.token_hex(8), -self.trip / 2)

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long."""
        self._post("", seconds)

    def lower(self, rate: float) -> None:
        """The server allows `rate` only, whatever those who sent last believed."""
        self._post("", 0.0, str(round(1000 * rate)))

    async def close(self) -> None:
        if self._posts:
            await asyncio.wait(self._posts, timeout=PATIENCE)
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    def _post(self, name: str, seconds: float, millirate: str = "") -> None:
        """Tell Redis, without waiting for it: what is lost when it goes away does not matter any more."""
        if self._is_away or not self._heard:
            return

        async def post() -> None:
            try:
                await self._ask(_NOTE, [name, round(seconds * 1e6), millirate])
            except Exception as error:
                log.debug("the shared limit was not reached: %s", self._told(error))

        task = asyncio.create_task(post())
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _ask(self, script: str, values: list[Any]) -> Any:
        if self._redis is None:
            self._redis = _connect(self._url)
        async with asyncio.timeout(PATIENCE):
            return await self._redis.eval(script, 2, *self._keys, *values)

    def _lose(self, error: Exception, guard: float) -> float:
        """Seconds until one may send without Redis."""
        now = asyncio.get_running_loop().time()
        self._probe_at = now + PROBE
        if not self._is_away:
            self._is_away = True
            # Until now this process may have had the whole limit: let that pass out of the server's window.
            self._free_at = now + 1.0 + guard
            if not self._warned:
                self._warned = True
                share = f"1/{self._static} of the limit" if self._static > 1 else "the whole limit"
                log.warning("the shared limit is away, this process keeps to %s: %s", share, self._told(error))
        return max(0.0, self._free_at - now)

    def _place(self) -> str:
        url = urlsplit(self._url)
        return url.path if url.scheme == "unix" else f"{url.hostname}:{url.port or 6379}"

    def _told(self, error: Exception) -> str:
        words = str(error) or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
        password = os.environ.get(PASSWORD)
        return f"{self._place()}: {words.replace(password, '[password]') if password else words}"


def _connect(url: str) -> "Redis":
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # Tries of its own would outlast our patience, and a take must not be counted twice.
    return Redis.from_url(
        url,
        password=os.environ.get(PASSWORD) or None,
        protocol=2,  # says nothing before it has told its password, and every version knows it
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
