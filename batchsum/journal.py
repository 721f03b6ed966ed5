"""Answers on their way to the disk: committed in groups by a thread, so that no fsync stops the asking.

An answer waits for others at most `LONGEST_WAIT` from when it came, or for the commit before it.
"""

import queue
import threading
import time
from types import TracebackType
from typing import Self

from batchsum.model import Reply
from batchsum.store import Run, Store

GROUP = 100
"""Answers that are committed without waiting for more."""
LARGEST_GROUP = 10_000
LONGEST_WAIT = 0.1

_Item = tuple[float, str, int, Reply]


class Journal:
    """Context manager; leaving it commits what is left. `put` and leaving raise what stopped the thread."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def put(self, key: str, round_: int, reply: Reply) -> None:
        if self._error is not None:
            raise self._error
        self._queue.put((time.monotonic(), key, round_, reply))

    def _work(self) -> None:
        more = True
        while more:
            group, more = self._next_group()
            if group and self._error is None:
                try:
                    self._store.keep_answers(self._run, [(key, round_, reply) for _, key, round_, reply in group])
                except Exception as error:  # handed to the thread that asks, at its next answer
                    self._error = error

    def _next_group(self) -> tuple[list[_Item], bool]:
        """Answers that came within LONGEST_WAIT of the first, and whether there will be more.

        What is here already is never left for the next commit: a slow disk makes groups larger, not waits longer.
        """
        group: list[_Item] = []
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) == LARGEST_GROUP:
                return group, True
            wait = group[0][0] + LONGEST_WAIT - time.monotonic() if len(group) < GROUP else 0.0
            try:
                item = self._queue.get(timeout=max(0.0, wait))
            except queue.Empty:
                return group, True
        return group, False
