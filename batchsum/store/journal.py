"""Answers on their way to the disk: committed in groups by a thread, so that no fsync stops the asking.

An answer waits for others at most `LONGEST_WAIT`, and for the commit before it.
"""

import queue
import threading
from typing import Self

from batchsum.model.queries import Reply
from batchsum.store.store import Run, Store

LONGEST_WAIT = 0.05


class Journal:
    """Context manager; leaving it commits what is left. `put` and leaving raise what stopped the thread."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        self._queue: queue.SimpleQueue[tuple[str, int, Reply] | None] = queue.SimpleQueue()
        """The answers that wait; None behind the last."""
        self._leaving = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._queue.put(None)
        self._leaving.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def put(self, key: str, round_: int, reply: Reply) -> None:
        """Take the reply of the request of this key; it is on the disk soon after."""
        if self._error is not None:
            raise self._error
        self._queue.put((key, round_, reply))

    def _work(self) -> None:
        is_last = False
        while not is_last:
            group = [self._queue.get()]
            # Asleep while others come: a thread that woke for each would take the interpreter from the loop each time.
            self._leaving.wait(LONGEST_WAIT)
            group += [self._queue.get_nowait() for _ in range(self._queue.qsize())]
            is_last = group[-1] is None
            if (answers := [one for one in group if one is not None]) and self._error is None:
                try:
                    self._store.keep_answers(self._run, answers)
                except Exception as error:  # handed to the thread that asks, at its next answer
                    self._error = error
