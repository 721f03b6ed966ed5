"""SIGINT and SIGTERM: the first ends the run as Interrupted, so that it can be resumed; the second at once.

Outside an event loop the first is raised as KeyboardInterrupt, which no `except Exception` on its way takes
for an error, and becomes Interrupted where the block is left.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from batchsum.errors import Interrupted

LONGEST_STOP = 8.0
"""Seconds after which whatever still hangs (a name server, a network disk) is left behind."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Context manager for the main thread. May stand inside another one.

    In another thread it does nothing, nor where a loop runs (a notebook): signals are its owner's there.
    """

    def __init__(self) -> None:
        self._caught: int | None = None
        self._old: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread() and not is_loop_running():
            # None stands for a handler that Python did not install, and cannot put back.
            self._old = {number: signal.getsignal(number) or signal.SIG_DFL for number in _STOPPING}
            self._install()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        if self._timer is not None:
            self._timer.cancel()
        if self._caught is not None and isinstance(error, KeyboardInterrupt):
            interrupted = Interrupted(self._caught)
            for note in getattr(error, "__notes__", ()):
                interrupted.add_note(note)
            raise interrupted from None

    def _install(self) -> None:
        for number in self._old:
            signal.signal(number, self._raise)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        self._catch(number)
        raise KeyboardInterrupt

    def _catch(self, number: int) -> None:
        if self._caught is not None:
            os._exit(128 + number)  # whoever sends a second one has waited long enough; what is committed stays
        self._caught = number
        self._timer = threading.Timer(LONGEST_STOP, os._exit, [128 + number])
        self._timer.daemon = True
        self._timer.start()

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
        except (asyncio.CancelledError, TimeoutError):
            if self._caught is None:
                raise
        finally:
            for number in self._old:
                loop.remove_signal_handler(number)
            self._install()  # the loop has put back the handlers of Python, not ours
        if self._caught is not None:
            raise Interrupted(self._caught)


def is_loop_running() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
