"""Pacer: the one gate every send passes.

The rule: a send is let through only while fewer than `rate` others count, and each counts from the moment
it was let through until a second (and a guard) after its headers left. So no second of the server can hold
more, whichever of them were late. The even pace on top is courtesy.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

from aiolimiter import AsyncLimiter

from batchsum.errors import UsageError
from batchsum.ncbi.pacing_file import Reservation, window
from batchsum.ncbi.pacing_redis import SharedLimit
from batchsum.ncbi.urls import NCBI_LIMIT, excess, is_ncbi

# Which pace a job means, and what NCBI would have to suffer of it.


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second: what to begin with, and what no header of the server may raise it above."""

    start: float
    ceiling: float

    @classmethod
    def of(cls, setting: float | Literal["auto", "unlimited"], *, has_key: bool, host: str) -> Self:
        """The rate that `setting` means for `host`. UsageError where NCBI would have to suffer it."""
        if setting == "auto":
            return cls(NCBI_LIMIT if has_key else 3.0, NCBI_LIMIT if is_ncbi(host) else math.inf)
        rate = math.inf if setting == "unlimited" else float(setting)
        if not rate > 0:
            raise UsageError(f"requests per second: {setting} is no rate; write auto, or a number above 0")
        if problem := excess(setting, host):
            raise UsageError(problem)
        return cls(rate, rate)


GUARD = 0.008
"""Seconds: about how much later one request may travel than another."""
LARGEST_GUARD = 0.250
LEAST = 1 / 60
"""Requests a second: a server that allows less means something else, or is broken."""
_KEPT = 1.0
"""Seconds for which a slot may wait for its connection. Less than it counts, whatever the rate becomes."""
_LATE = 0.001
"""Seconds behind its turn from which on a send is re-timed for other processes too; the guard covers less."""


class Ticket:
    """Leave to send once, soon."""

    __slots__ = ("counted", "rate", "time")

    def __init__(self, time: float) -> None:
        self.time = time
        self.rate = math.inf
        """The one it was let through at: it is worth nothing once that has fallen."""
        self.counted = ""
        """What the lab's limit calls this send."""


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
        self._held_at = self._held_until = -math.inf
        self._turn = asyncio.Lock()
        self._last_second: OrderedDict[Ticket, None] = OrderedDict()
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
        rate = Rate.of(setting, has_key=bool(api_key), host=url.hostname or "")
        server = f"{url.hostname}:{url.port or (80 if url.scheme == 'http' else 443)}"
        lab = SharedLimit(shared_limit, server, api_key, parts=parts) if shared_limit else None
        return cls(rate.start, ceiling=rate.ceiling, shared=Reservation(server, api_key), lab=lab, parts=parts)

    @property
    def rate(self) -> float | None:
        """Sends a second allowed to this process now; None for no limit."""
        return None if self._rate is None else self._rate / self._parts

    @property
    def held_until(self) -> float:
        """The event loop's time (the monotonic clock's) before which nobody may send; long ago where nobody is held."""
        return self._held_until

    def _begin(self, rate: float | None) -> None:
        """Pace at `rate` from here on, catching nothing up."""
        self._rate = rate
        if rate is not None:
            self._count, self._period = window(rate / self._parts, self._guard)
            # Half a slot of catch-up, and what a timer that counts whole milliseconds can miss.
            burst = 1.5 + 0.005 * rate / self._parts
            self._pace = AsyncLimiter(burst, burst * self._period / self._count)

    def free_slot(self) -> Ticket | None:
        """A slot that needs no waiting for: nobody is paced or held now."""
        if self._rate is None and (now := asyncio.get_running_loop().time()) >= self._held_until:
            return Ticket(now)
        return None

    async def slot(self) -> Ticket:
        """Wait for the next turn; first come, first served. A slot that is not used is lost."""
        if (free := self.free_slot()) is not None:
            return free
        clock = asyncio.get_running_loop().time
        # All but one wait here, and each lets in the next: a thousand workers cost what one does.
        async with self._turn:
            ticket, pace = Ticket(-math.inf), None
            while True:
                now = clock()
                if now < self._held_until:
                    await asyncio.sleep(self._held_until - now)
                elif self._rate is None:
                    return Ticket(now)
                elif pace is not self._pace:  # the first time, or a hold or another rate has begun meanwhile
                    pace = self._pace
                    await pace.acquire()
                elif wait := self._enter(ticket, now):
                    await asyncio.sleep(wait)
                elif self._lab is None or await self._count_in(ticket, self._lab):
                    return ticket

    def confirm(self, ticket: Ticket) -> Awaitable[None] | None:
        """To be asked when the connection stands, which may have taken longer than a slot is kept: what is to be
        awaited before the send; None where it may leave now."""
        now = asyncio.get_running_loop().time()
        if now >= self._held_until and (self._rate is None or self._is_good(ticket, now)):
            return None
        return self._enter_again(ticket)

    def _is_good(self, ticket: Ticket, now: float) -> bool:
        return now < ticket.time + _KEPT and self._rate is not None and ticket.rate <= self._rate

    async def _enter_again(self, ticket: Ticket) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            if now < self._held_until:
                await asyncio.sleep(self._held_until - now)
            elif self._rate is None or self._is_good(ticket, now):
                return
            elif wait := self._enter(ticket, now):
                await asyncio.sleep(wait)
            elif self._lab is None or await self._count_in(ticket, self._lab):
                return

    async def _count_in(self, ticket: Ticket, lab: SharedLimit) -> bool:
        """Wait until `lab` has room for a ticket that was entered here. False where it must be entered again,
        since a hold or another rate has begun meanwhile."""
        assert self._rate is not None
        pace, wait = self._pace, 1.0
        while wait:
            wait, ticket.counted = await lab.take(self._rate, self._guard)
            if lab.parts != self._parts:
                self._parts = lab.parts
                self._begin(self._rate)
            elif wait and pace is self._pace:
                await asyncio.sleep(wait)
            if pace is not self._pace:
                ticket.time = -math.inf
                return False
        self._leave(ticket, asyncio.get_running_loop().time())
        return True

    def _enter(self, ticket: Ticket, now: float) -> float:
        """Count `ticket` as a send of now and return 0, or seconds until it is worth another try."""
        sends = self._last_second
        sends.pop(ticket, None)
        while sends and (first := next(iter(sends))).time + self._period <= now:
            del sends[first]
        if len(sends) >= self._count:
            return first.time + self._period - now
        if self._shared is not None and self._rate is not None:
            wait = self._shared.take(now, self._rate, self._guard, again=ticket.time)
            if wait > 0:
                return wait
        ticket.time, ticket.rate = now, self._rate or math.inf
        sends[ticket] = None
        return 0.0

    def sent(self, ticket: Ticket) -> None:
        """The headers leave now, and the second begins."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        if self._lab is not None and now - ticket.time > _LATE:
            self._lab.sent(ticket.counted)
        self._leave(ticket, now)

    def _leave(self, ticket: Ticket, now: float) -> None:
        """`ticket` counts from now on only, here and for this user's other processes."""
        if self._shared is not None and self._rate is not None and now - ticket.time > _LATE:
            self._shared.sent(ticket.time, now, self._rate)
        ticket.time = now
        self._last_second[ticket] = None
        self._last_second.move_to_end(ticket)

    def hold(self, seconds: float, *, refused: Ticket | None = None) -> None:
        """Nobody sends for `seconds`, then all go on at the pace.

        `refused` is the ticket of a request that was answered 429 (not 503). The guard doubles for it, but
        not for one that was under way when everybody was told to wait.
        """
        now = asyncio.get_running_loop().time()
        if refused is not None and refused.time > self._held_at:
            self._guard = min(2 * self._guard, LARGEST_GUARD)
        self._held_at = now
        if now + seconds > self._held_until:
            self._held_until = now + seconds
            if self._shared is not None and self._rate is not None:
                self._shared.hold(now, self._held_until)
            if self._lab is not None and self._rate is not None:
                self._lab.hold(seconds)
        self._begin(self._rate)

    def limit(self, n: float) -> None:
        """The server says that it allows `n` requests a second; what can be no rate is not heard."""
        if not LEAST <= n < math.inf or (rate := min(self._ceiling, n)) == self._rate:
            return
        if self._rate is None:
            # Nobody counted until now: let what was sent so far pass out of the server's window.
            now = asyncio.get_running_loop().time()
            self._held_until = max(self._held_until, now + 1.0 + self._guard)
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
