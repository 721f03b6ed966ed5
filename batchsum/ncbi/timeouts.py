"""The timeouts of all attempts under way, on one timer.

A timer for each (`asyncio.timeout`) costs a tenth of what a request costs, and hardly one of them ever rings.
"""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self


class Timeouts:
    """Cancels whatever takes longer than `seconds`. For the running event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ends: dict[Timed, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, one: "Timed") -> None:
        """Set the end that is the furthest of all."""
        self._ends[one] = end = self._loop.time() + self._seconds
        if self._timer is None:
            self._ring_at(end)

    def set(self, one: "Timed", end: float) -> None:
        self._ends[one] = end
        if self._timer is None or end < self._timer.when():
            self._ring_at(end)

    def clear(self, one: "Timed") -> float | None:
        """The end that is no more; None where it has come."""
        return self._ends.pop(one, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring_at(self, end: float) -> None:
        self.close()
        self._timer = self._loop.call_at(end, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        over = [one for one, end in self._ends.items() if end <= now]
        for one in over:
            del self._ends[one]
        self._timer = None
        if self._ends:
            self._ring_at(min(self._ends.values()))
        for one in over:
            one.expire()


class Timed:
    """Context manager around one attempt, within one task: TimeoutError once its time is over."""

    __slots__ = ("_cancelling", "_is_over", "_task", "_timeouts", "waited")

    def __init__(self, timeouts: Timeouts) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._timeouts = timeouts
        self._task = task
        self._cancelling = task.cancelling()
        self._is_over = False
        self.waited = 0.0
        """Seconds that did not count."""

    def __enter__(self) -> Self:
        self._timeouts.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timeouts.clear(self)
        # Who else cancelled this task meanwhile is obeyed: then it is no timeout.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        self._is_over = True
        self._task.cancel()

    async def aside(self, waiting: Awaitable[None]) -> None:
        """Wait for something whose time does not count."""
        clock = asyncio.get_running_loop().time
        began, end = clock(), self._timeouts.clear(self)
        try:
            await waiting
        finally:
            waited = clock() - began
            self.waited += waited
            if end is not None:
                self._timeouts.set(self, end + waited)
