"""Answers on their way to the disk: committed in groups by a thread, so that no fsync stops the asking.

An answer waits for others at most `LONGEST_WAIT` from when it came, or for the commit before it. The thread sleeps
meanwhile: one that woke for every answer would take the interpreter's lock from the loop each time.
"""

import queue
import threading
import time
from types import TracebackType
from typing import Self

from batchsum.model.queries import Reply
from batchsum.store.store import Run, Store

LONGEST_WAIT = 0.05


class Journal:
    """Context manager; leaving it commits what is left. `put` and leaving raise what stopped the thread."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        self._queue: queue.SimpleQueue[tuple[str, int, Reply]] = queue.SimpleQueue()
        self._arrived = threading.Event()
        self._leaving = threading.Event()
        self._since = 0.0
        """When the first of those that wait came."""
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._arrived.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def put(self, key: str, round_: int, reply: Reply) -> None:
        """Take the reply of the request of this key; it is on the disk soon after."""
        if self._error is not None:
            raise self._error
        self._queue.put((key, round_, reply))
        if not self._arrived.is_set():
            self._since = time.monotonic()
            self._arrived.set()

    def _work(self) -> None:
        more = True
        while more:
            self._arrived.wait()
            self._leaving.wait(max(0.0, self._since + LONGEST_WAIT - time.monotonic()))
            self._arrived.clear()  # before looking: what comes from now on is for the next group
            more = not self._leaving.is_set()
            group = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
            if group and self._error is None:
                try:
                    self._store.keep_answers(self._run, group)
                except Exception as error:  # handed to the thread that asks, at its next answer
                    self._error = error
