"""Pacer: says when the next request may be sent.

The rule: a send is let through only while fewer than `rate` others count, and each counts from the moment it is
let through, which is when it is sent, until a second (and a guard) later. So no second of the server can hold
more, whichever of them were late. The even pace on top is courtesy.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Literal, Self
from urllib.parse import urlsplit

from aiolimiter import AsyncLimiter

from batchsum.ncbi.pacing_file import LONGEST_SHARED_HOLD, Reservation, window
from batchsum.ncbi.pacing_redis import SharedLimit
from batchsum.ncbi.urls import rate_and_ceiling

GUARD = 0.008
"""Seconds: about how much later one request may travel than another."""
LARGEST_GUARD = 0.250
LEAST = 1 / 60
"""Requests a second: a server that allows less means something else, or is broken."""
_COUNTED_FOR = 0.5
"""Seconds for which a send that the lab's limit has counted may still wait here. Less than it counts there."""
_LATE = 0.001
"""Seconds behind that count from which on the lab's limit is told; the guard covers less."""
_SLOW = GUARD / 2
"""Seconds that writing a send down may take; else what was written is too early, and is given up for another."""


class Pacer:
    """Lets `rate` sends pass in any second, evenly, over tries, retries and processes: those of this user on
    this machine (`shared`), and those of a lab (`lab`).

    `rate` None or infinite: no pace of its own. A header of the server moves the rate, up to `ceiling`
    (`rate` unless given). Of `parts` processes that have no `lab` in common, each keeps to its part of the
    rate. For one event loop; everything but `slot` and `close` returns at once.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        ceiling: float | None = None,
        shared: Reservation | None = None,
        lab: SharedLimit | None = None,
        parts: int = 1,
    ) -> None:
        rate = None if rate == math.inf else rate
        self._ceiling = ceiling or rate or math.inf
        self._shared = shared
        self._lab = lab
        self._parts = lab.parts if lab else parts
        self._guard = GUARD
        self._held_at = self.held_until = -math.inf
        """The event loop's time (the monotonic clock's) before which nobody may send; long ago where nobody is held."""
        self._turn = asyncio.Lock()
        self._sends = deque[float]()
        """When those left that still count here, the oldest first."""
        self._paced_by: AsyncLimiter | None = None
        """The pace that has let the next send pass; None where none has since the last."""
        self._begin(rate)

    @classmethod
    def for_server(
        cls,
        base_url: str,
        api_key: str | None,
        setting: float | Literal["auto", "unlimited"] = "auto",
        *,
        shared_limit: str | None = None,
        parts: int = 1,
    ) -> Self:
        """The pacer of this user's processes against the server of `base_url`, and of all that use `shared_limit`."""
        url = urlsplit(base_url)
        rate, ceiling = rate_and_ceiling(setting, url.hostname or "", has_key=bool(api_key))
        server = f"{url.hostname}:{url.port or (80 if url.scheme == 'http' else 443)}"
        lab = SharedLimit(shared_limit, server, api_key, parts=parts) if shared_limit else None
        return cls(rate, ceiling=ceiling, shared=Reservation(server, api_key), lab=lab, parts=parts)

    @property
    def rate(self) -> float | None:
        """Sends a second allowed to this process now; None for no limit."""
        return None if self._rate is None else self._rate / self._parts

    async def slot(self, can_send: Callable[[], bool] = lambda: True) -> float | None:
        """Wait for the next turn, first come, first served, and send at once: it counts from the moment that is
        returned, by the event loop's clock. None, and no slot is taken, once `can_send` says no."""
        clock = asyncio.get_running_loop().time
        # All but one wait here, and each lets in the next: a thousand waiters cost what one does.
        async with self._turn:
            counted = None
            while can_send():
                now = clock()
                if now < self.held_until:
                    await asyncio.sleep(self.held_until - now)
                elif self._rate is None:
                    return now
                elif self._paced_by is not (pace := self._pace):  # or a hold or another rate has begun meanwhile
                    await pace.acquire()
                    self._paced_by = pace
                elif wait := self._until_room(now):
                    await asyncio.sleep(wait)
                elif self._lab is not None and (counted is None or now > counted[0] + _COUNTED_FOR):
                    counted = await self._count_in(self._lab, self._rate)
                elif self._shared is not None and (wait := self._shared.take(now, self._rate, self._guard)):
                    await asyncio.sleep(wait)
                elif clock() - now > _SLOW:  # what was written stays in the file, and costs us a slot
                    continue
                else:
                    self._sends.append(now)
                    self._paced_by = None
                    if self._lab is not None and counted is not None and now > counted[0] + _LATE:
                        self._lab.sent(counted[1])
                    return now
        return None

    def hold(self, seconds: float, *, refused: float | None = None) -> None:
        """Nobody sends for `seconds`, then all go on at the pace.

        `refused` is when a request was sent that was answered 429 (not 503). The guard doubles for it, but not
        for one that was under way when everybody was told to wait.
        """
        now = asyncio.get_running_loop().time()
        if refused is not None and refused > self._held_at:
            self._guard = min(2 * self._guard, LARGEST_GUARD)
        self._held_at = now
        if now + seconds > self.held_until:
            self.held_until = now + seconds
            told = min(seconds, LONGEST_SHARED_HOLD)  # the others would not believe more, and then not wait at all
            if self._shared is not None and self._rate is not None:
                self._shared.hold(now, now + told)
            if self._lab is not None and self._rate is not None:
                self._lab.hold(told)
        self._begin(self._rate)  # a new pace, since a pause must not save up turns

    def limit(self, n: float) -> None:
        """The server says that it allows `n` requests a second; what can be no rate is not heard."""
        if not LEAST <= n < math.inf or (rate := min(self._ceiling, n)) == self._rate:
            return
        if self._rate is None:
            # Nobody counted until now: let what was sent so far pass out of the server's window.
            now = asyncio.get_running_loop().time()
            self.held_until = max(self.held_until, now + 1.0 + self._guard)
        elif rate < self._rate:
            if self._shared is not None:
                self._shared.lower(asyncio.get_running_loop().time(), rate)
            if self._lab is not None:
                self._lab.lower(rate)
        self._begin(rate)

    async def close(self) -> None:
        """Leave the lab's limit, where there is one."""
        if self._lab is not None:
            await self._lab.close()

    def _begin(self, rate: float | None) -> None:
        """Pace at `rate` from here on, catching nothing up."""
        self._rate = rate
        if rate is not None:
            self._count, self._period = window(rate / self._parts, self._guard)
            # Half a slot of catch-up, and what a timer that counts whole milliseconds can miss.
            burst = 1.5 + 0.005 * rate / self._parts
            self._pace = AsyncLimiter(burst, burst * self._period / self._count)

    def _until_room(self, now: float) -> float:
        """Seconds until it is worth another try; 0 where fewer than allowed count now."""
        sends = self._sends
        while sends and sends[0] + self._period <= now:
            sends.popleft()
        return sends[0] + self._period - now if len(sends) >= self._count else 0.0

    async def _count_in(self, lab: SharedLimit, rate: float) -> tuple[float, str] | None:
        """Have `lab` count a send: when it did, and what it calls it. None where it is to be asked once more."""
        clock = asyncio.get_running_loop().time
        usual = clock() + lab.trip
        wait, name = await lab.take(rate, self._guard)
        if lab.parts != self._parts:
            self._parts = lab.parts
            self._begin(self._rate)
        elif wait:
            await asyncio.sleep(wait)
        else:
            return min(usual, clock()), name  # what comes back late was counted as early as ever
        return None
