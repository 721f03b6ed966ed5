"""How long an answer takes: always the same, or with the heavy tail that NCBI's answers have."""

import math
import re
from dataclasses import dataclass
from random import Random

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# How many standard deviations of a normal distribution 99 in 100 stay below.
_P99 = 2.3263


def parse_duration(text: str) -> float:
    """Seconds of `200ms`, `30s`, `10m`, `6h` or `7d`. Raises ValueError with a message to show."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", text, re.ASCII)
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
        return random.lognormvariate(math.log(self.median), math.log(self.p99 / self.median) / _P99)


def parse_latency(text: str) -> Latency:
    """`200ms`, or `200ms,p99=5s` for a heavy tail. Raises ValueError with a message to show."""
    median_text, comma, tail = text.partition(",")
    try:
        median = parse_duration(median_text.strip())
        if not comma:
            return Latency(median, median)
        name, _, p99_text = tail.strip().partition("=")
        if name != "p99":
            raise ValueError(f"{tail.strip()!r} is not p99=DURATION")
        p99 = parse_duration(p99_text)
    except ValueError as exc:
        raise ValueError(f"latency {text!r}: {exc}; write 200ms, or 200ms,p99=5s for a heavy tail") from None
    if not 0 < median <= p99:
        raise ValueError(f"latency {text!r}: the median must be above zero and not above p99")
    return Latency(median, p99)
