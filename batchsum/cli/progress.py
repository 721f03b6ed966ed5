"""The live line on a terminal while a night is asked: how far, how fast against the limit, and what is waited for.

It looks on from a thread of its own, and nothing it does can stop the asking.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Literal

from batchsum.cli.terminal import NOBODY_THERE, is_watched, stderr_console
from batchsum.text import spoken

if TYPE_CHECKING:
    from rich.console import Console

    from batchsum.run.ask import Fetcher

WINDOW = 10.0
"""Seconds over which the rate is told."""
SECONDS_A_DRAW = 0.25
SECONDS_A_LINE = 30.0
"""Where no cursor can move."""
_WIDEST = 120


Piece = tuple[int, str]
"""A part of the line with its weight: in a narrow window the lightest goes first."""


class Progress:
    """What a line needs to know, gathered while a run asks. `watch` is what `run_job` calls with the asking."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._asking: Fetcher | None = None
        self._whom = self._reading = ""
        self._total = self._before = 0
        self._seen: deque[tuple[float, int]] = deque()

    def watch(self, asking: "Fetcher") -> None:
        self._total = asking.night.plan.request_count
        self._before = min(self._total, asking.night.store.count_answers(asking.night.run))
        self._whom = whom(asking.night.run.base_url)
        self._asking = asking  # last: the drawing thread takes all of the above as known once this is set

    def reading(self, words: str) -> None:
        """What is read before anything is asked: words that `run_job` tells."""
        self._reading = words

    def line(self, width: int, now: float | None = None) -> tuple[str, bool]:
        """How the night stands in at most `width` characters, and whether it waits for the server.

        Empty before anything is asked. `now` is the monotonic clock's time.
        """
        asking = self._asking
        if asking is None:
            return fitted([(1, self._name), (5, self._reading)], width) if self._reading else "", bool(self._reading)
        now = time.monotonic() if now is None else now
        rate = self._rate(now, asking.done)  # also while nothing is told of it: it looks back from draw to draw
        waits = [*self._waits(asking, now)]
        return fitted([*self._done(asking), *(waits or self._pace(asking, rate))], width), bool(waits)

    def _done(self, asking: "Fetcher") -> Iterator[Piece]:
        # Questions of the second round come on top of the total.
        done = min(self._before + asking.done, self._total)
        yield 1, self._name
        yield 6, f"{done:,}/{self._total:,}"
        yield 4, f"{100 * done // self._total if self._total else 100} %"

    def _waits(self, asking: "Fetcher", now: float) -> Iterator[Piece]:
        """What is waited for; nothing while the server answers."""
        waiting, held = asking.client.outage.waiting, asking.client.pacer.held_until - now
        if waiting:
            left = waiting.next_try - now
            is_answered = waiting.reason.startswith("http_")  # it is there, and why it is of no use matters most
            yield 5, f"{'errors' if is_answered else 'no answer'} from {self._whom}"
            yield 4 if is_answered else 2, waiting.reason[:_WIDEST]
            yield 3, f"next try in {spoken(left)}" if left >= 0.5 else "trying again"
            yield 4, f"gives up in {spoken(max(0.0, waiting.gives_up - now))}"
        elif held > 0:
            yield 5, f"held, {spoken(max(1.0, held))} more"

    def _pace(self, asking: "Fetcher", rate: float | None) -> Iterator[Piece]:
        limit, left = asking.client.pacer.rate, self._total - self._before - (asking.done - asking.compared)
        if asking.is_comparing:
            yield 5, "comparing what you hold"
        elif left <= 0:
            yield 5, f"asking again: {-left:,}" if left else "judging"
        elif rate is not None:
            yield 3, f"{rate:.1f}/s" + (f" of {limit:g}" if limit is not None else "")
            if rate >= 0.01:
                yield 5, f"{spoken(max(1.0, left / rate))} left"

    def _rate(self, now: float, done: int) -> float | None:
        # Over the last seconds, not since the start: after an outage the mean of the night tells nobody anything.
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()
        begin, count = self._seen[0]
        return (done - count) / (now - begin) if now - begin >= 1.0 else None


def fitted(pieces: list[Piece], width: int) -> str:
    """The pieces as one line of at most `width` characters; what matters least goes first."""
    pieces = [piece for piece in pieces if piece[1]]
    while len(line := "  ".join(text for _, text in pieces)) > width and len(pieces) > 1:
        pieces.remove(min(pieces))
    # A number that is cut off would be another number.
    return line if len(line) <= width else ""


def whom(base_url: str) -> str:
    """The server that is asked, and the proxy on the way to it, without what is secret in its address."""
    from yarl import URL

    from batchsum.ncbi.http import proxy_of_environment

    url = URL(base_url)
    proxy = proxy_of_environment(url)
    return f"{url.host}" + (f" through the proxy {proxy.host}:{proxy.port}" if proxy else "")


def is_wanted(choice: Literal["auto", "always", "never"], *, quiet: bool = False, verbose: bool = False) -> bool:
    """Whether there is to be a line: on a terminal that nothing else writes to, unless it is asked for."""
    if choice != "auto":
        return sys.stderr is not None and choice == "always"
    return is_watched() and os.environ.get("TERM") != "dumb" and not (quiet or verbose)


@contextmanager
def live(name: str, console: "Console | None" = None) -> Iterator[Progress]:
    """A line on stderr that moves until the block ends; where no cursor can move, a new line now and then."""
    from rich.control import Control
    from rich.segment import ControlType
    from rich.text import Text

    console = console or stderr_console()
    progress, ended = Progress(name), Event()
    moves = console.is_terminal and not console.is_dumb_terminal
    clear = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))

    def draw() -> None:
        with suppress(*NOBODY_THERE):
            if moves:
                console.show_cursor(False)
            while not ended.wait(SECONDS_A_DRAW if moves else SECONDS_A_LINE):
                # A last column that is filled makes some terminals begin a new line.
                line, waits = progress.line(console.width - 1 if moves else _WIDEST)
                if moves:
                    console.control(clear)
                    console.print(Text(line, style="bold yellow" if waits else "cyan"), no_wrap=True, end="")
                elif line:
                    console.print(line, soft_wrap=True)
            if moves:
                console.control(clear, Control.show_cursor(True))

    # A daemon: the process may end without waiting for a line.
    thread = Thread(target=draw, name="progress", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()
