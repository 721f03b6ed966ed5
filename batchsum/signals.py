"""SIGINT and SIGTERM: the first ends the run as Interrupted, so that it can be resumed; the second at once."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from batchsum.errors import Interrupted

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Context manager for the main thread; anywhere else it does nothing."""

    def __init__(self) -> None:
        self._caught: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.getsignal(number) for number in _STOPPING}
            self._install()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _install(self) -> None:
        for number in self._old:
            signal.signal(number, self._raise)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        self._catch(number)
        raise Interrupted(number)

    def _catch(self, number: int) -> None:
        if self._caught is not None:
            os._exit(128 + number)
        self._caught = number

    @contextmanager
    def cancelling(self, task: "asyncio.Task[Any]") -> Iterator[None]:
        """In a running loop a signal cancels `task`, instead of raising in the middle of some callback."""
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            self._catch(number)
            task.cancel()

        for number in self._old:
            loop.add_signal_handler(number, stop, number)
        try:
            yield
        except asyncio.CancelledError:
            if self._caught is None:
                raise
            raise Interrupted(self._caught) from None
        finally:
            for number in self._old:
                loop.remove_signal_handler(number)
            self._install()
