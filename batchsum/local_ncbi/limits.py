"""How often somebody may ask, and how long an answer takes.

The limit is a sliding window of one second for each key, or for each address without one; a request that is refused
does not count against the next ones. An answer takes always the same time, or has the heavy tail of NCBI's answers.
"""

import math
import re
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Literal

_WINDOW = 1.0
NCBI_WITHOUT_KEY, NCBI_WITH_KEY = 5, 10
_MOST_ASKERS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one request was granted: the limit in force, what is left of it now, and whether it may pass."""

    limit: int
    remaining: int
    granted: bool


class RateLimit:
    """`per_second` is a number for everybody, "ncbi" for 5 without and 10 with a key, or None for no limit."""

    def __init__(self, per_second: float | Literal["ncbi"] | None) -> None:
        if per_second not in (None, "ncbi") and not float(per_second) > 0:
            raise ValueError(f"requests per second must be above zero, not {per_second}")
        self._per_second = per_second
        self._sent: dict[str, deque[float]] = {}

    def ask(self, asker: str, *, has_key: bool, now: float) -> Allowance | None:
        """Count one request at `now` (seconds of any steady clock); None where there is no limit."""
        if self._per_second is None:
            return None
        limit, window = self._limit(has_key)
        sent = self._sent.get(asker)
        if sent is None:
            # A client that makes up keys must not fill the memory.
            if len(self._sent) >= _MOST_ASKERS:
                self._sent = {name: times for name, times in self._sent.items() if times and now - times[-1] < _WINDOW}
            sent = self._sent[asker] = deque()
        while sent and now - sent[0] >= window:
            sent.popleft()
        if len(sent) >= limit:
            return Allowance(limit, 0, granted=False)
        sent.append(now)
        return Allowance(limit, limit - len(sent), granted=True)

    def _limit(self, has_key: bool) -> tuple[int, float]:
        if self._per_second == "ncbi":
            return (NCBI_WITH_KEY if has_key else NCBI_WITHOUT_KEY), _WINDOW
        per_second = float(self._per_second or 0)
        # Below one a second the window grows instead: 0.5 is one in two seconds.
        return max(1, int(per_second)), _WINDOW if per_second >= 1 else _WINDOW / per_second


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# How many standard deviations of a normal distribution 99 in 100 stay below.
_P99 = 2.3263


DURATION = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)"


def duration_seconds(text: str) -> float:
    """Seconds of `200ms`, `30s`, `10m`, `6h` or `7d`. Raises ValueError with a message to show."""
    match = re.fullmatch(DURATION, text)
    if not match:
        raise ValueError(f"{text!r} is no duration; write it as 200ms, 30s, 10m, 6h or 7d")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds an answer takes: half of them less than `median`, one in a hundred more than `p99`."""

    median: float = 0.0
    p99: float = 0.0

    def draw(self, random: Random) -> float:
        if self.p99 <= self.median:
            return self.median
        # Of a lognormal distribution the logarithms are normal, and its median is the one of their mean.
        return random.lognormvariate(math.log(self.median), math.log(self.p99 / self.median) / _P99)


def parse_latency(text: str) -> Latency:
    """`200ms`, or `200ms,p99=5s` for a heavy tail. Raises ValueError with a message to show."""
    median_text, *tail = re.split(r"\s*,\s*p99=", text.strip(), maxsplit=1)
    try:
        median = duration_seconds(median_text)
        p99 = duration_seconds(tail[0]) if tail else median
    except ValueError as exc:
        raise ValueError(f"latency {text!r}: {exc}; write 200ms, or 200ms,p99=5s for a heavy tail") from None
    if tail and not 0 < median <= p99:
        raise ValueError(f"latency {text!r}: the median must be above zero and not above p99")
    return Latency(median, p99)
