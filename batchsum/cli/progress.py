"""The live line on a terminal while a night is asked: how far, how fast against the limit, and what is waited for.

It looks on from a thread of its own, and nothing it does can stop the asking.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Literal

from batchsum.cli.terminal import stderr_console
from batchsum.text import spoken

if TYPE_CHECKING:
    from rich.console import Console

    from batchsum.ncbi.outage import Waiting
    from batchsum.run.ask import Fetcher

WINDOW = 10.0
"""Seconds over which the rate is told."""
SECONDS_A_LINE = 30.0
"""Where no cursor can move."""
_TIMES_A_SECOND = 4
_WIDEST = 120


@dataclass(frozen=True, slots=True)
class Standing:
    """How a night stands at one moment."""

    name: str
    done: int
    """Requests with an answer, those of an earlier process included."""
    total: int
    rate: float | None
    """Answers a second, lately; None while nobody can say."""
    limit: float | None
    """Sends a second allowed; None for no limit."""
    waits: tuple[tuple[int, str], ...] = ()
    """What is waited for, in pieces with their weights; empty while the server answers."""
    held: float = 0.0
    """Seconds until anybody may send again."""
    again: int = 0
    """Questions of the second round that were answered."""

    def line(self, width: int) -> str:
        """The standing in at most `width` characters; what matters least goes first."""
        pieces = [piece for piece in self._pieces() if piece[1]]
        while len(pieces) > 1 and len(_joined(pieces)) > width:
            pieces.remove(min(pieces))  # the piece of the lowest weight
        line = _joined(pieces)
        # A number that is cut off would be another number.
        return line if len(line) <= width else ""

    def _pieces(self) -> Iterator[tuple[int, str]]:
        """Each with its weight, in the order they are read."""
        share = self.done / self.total if self.total else 1.0
        yield 1, self.name
        if self.total or not self.waits:
            yield 6, f"{self.done:,}/{self.total:,}"
            yield 4, f"{int(100 * share)} %"
        if self.waits:
            yield from self.waits
        elif self.held > 0:
            yield 5, f"held, {spoken(max(1.0, self.held))} more"
        elif self.again or self.done >= self.total:
            yield 5, f"asking again: {self.again:,}" if self.again else "judging"
        elif self.rate is not None:
            limit = f" of {self.limit:g}" if self.limit is not None else ""
            yield 3, f"{self.rate:.1f}/s{limit}"
            if self.rate >= 0.01:
                yield 5, f"{spoken(max(1.0, (self.total - self.done) / self.rate))} left"


def _joined(pieces: list[tuple[int, str]]) -> str:
    return "  ".join(text for _, text in pieces)


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

    def standing(self, now: float | None = None) -> Standing | None:
        """How it stands; None before anything is asked. `now` is the monotonic clock's time."""
        asking = self._asking
        if asking is None:
            return Standing(self._name, 0, 0, None, None, waits=((5, self._reading),)) if self._reading else None
        now = time.monotonic() if now is None else now
        answered = self._before + asking.done
        pacer = asking.client.pacer
        return Standing(
            # Questions of the second round come on top of the total.
            self._name, min(answered, self._total), self._total, self._rate(now, asking.done), pacer.rate,
            waits=self._waits(asking.client.outage.waiting, now),
            held=max(0.0, pacer.held_until - now),
            again=max(0, answered - self._total),
        )  # fmt: skip

    def _waits(self, waiting: "Waiting | None", now: float) -> tuple[tuple[int, str], ...]:
        if waiting is None:
            return ()
        left = waiting.next_try - now
        return (
            (5, f"no answer from {self._whom}"),
            (2, waiting.reason[:_WIDEST]),
            (3, f"next try in {spoken(left)}" if left >= 0.5 else "trying again"),
            (4, f"gives up in {spoken(max(0.0, waiting.gives_up - now))}"),
        )

    def _rate(self, now: float, done: int) -> float | None:
        # Over the last seconds, not since the start: after an outage the mean of the night tells nobody anything.
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()
        begin, count = self._seen[0]
        return (done - count) / (now - begin) if now - begin >= 1.0 else None


def whom(base_url: str) -> str:
    """The server that is asked, and the proxy on the way to it, without what is secret in its address."""
    from yarl import URL

    from batchsum.ncbi.http import proxy_of_environment

    url = URL(base_url)
    proxy = proxy_of_environment(url)
    return f"{url.host}" + (f" through the proxy {proxy.host}:{proxy.port}" if proxy else "")


def is_wanted(choice: Literal["auto", "always", "never"], *, quiet: bool = False, verbose: bool = False) -> bool:
    """Whether there is to be a line: on a terminal that nothing else writes to, unless it is asked for."""
    if sys.stderr is None or choice != "auto":
        return sys.stderr is not None and choice == "always"
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not (quiet or verbose)


@contextmanager
def live(name: str, console: "Console | None" = None) -> Iterator[Progress]:
    """A line on stderr that moves until the block ends; where no cursor can move, a new line now and then."""
    console = console or stderr_console()
    progress = Progress(name)
    with (
        _moving(progress, console)
        if console.is_terminal and not console.is_dumb_terminal
        else _lines(progress, console)
    ):
        yield progress


def _moving(progress: Progress, console: "Console") -> AbstractContextManager[object]:
    from rich.live import Live
    from rich.text import Text

    def drawn() -> Text:
        standing = progress.standing()
        # A last column that is filled makes some terminals begin a new line.
        text = standing.line(console.width - 1) if standing else ""
        return Text(
            text,
            style="bold yellow" if standing and (standing.held or standing.waits) else "cyan",
            no_wrap=True,
            end="",
        )

    return Live(
        console=console,
        get_renderable=drawn,
        refresh_per_second=_TIMES_A_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextmanager
def _lines(progress: Progress, console: "Console") -> Iterator[None]:
    ended = Event()

    def tell() -> None:
        while not ended.wait(SECONDS_A_LINE):
            if standing := progress.standing():
                console.file.write(standing.line(_WIDEST) + "\n")
                console.file.flush()

    # A daemon: the process may end without waiting for a line.
    thread = Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
