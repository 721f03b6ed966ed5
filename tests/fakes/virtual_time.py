"""An event loop whose clock goes on only when everybody waits: hours pass at once, and the same way each time."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STEP = 1e-6
"""Seconds that one turn of the loop takes."""


class _Selector(selectors.SelectSelector):
    def __init__(self, late: Callable[[], float]) -> None:
        super().__init__()
        self.now = 1000.0
        self._late = late

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None:
            assert ready, "everybody waits, and nobody will ever wake anybody"
        elif timeout > 0:
            self.now += timeout + self._late()
        self.now += STEP
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`late()` is how many seconds too late a timer fires; `asked` counts who looked at the clock."""

    def __init__(self, late: Callable[[], float] = lambda: 0.0) -> None:
        self._virtual = _Selector(late)
        self.asked = 0
        super().__init__(self._virtual)

    def time(self) -> float:
        self.asked += 1
        return self._virtual.now


def run(main: Coroutine[Any, Any, T], late: Callable[[], float] = lambda: 0.0) -> T:
    """As asyncio.run, in no time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(late)) as runner:
        return runner.run(main)
