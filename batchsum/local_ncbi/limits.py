"""How often somebody may ask the embedded server.

The limit is a sliding window of one second for each key, or for each address without one; a request that is refused
does not count against the next ones.
"""

import re
from collections import defaultdict, deque
from typing import Literal, NamedTuple

_WINDOW = 1.0
NCBI_WITHOUT_KEY, NCBI_WITH_KEY = 5, 10


class Allowance(NamedTuple):
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
        self._sent: defaultdict[str, deque[float]] = defaultdict(deque)

    def ask(self, asker: str, *, has_key: bool, now: float) -> Allowance | None:
        """Count one request at `now` (seconds of any steady clock); None where there is no limit."""
        if self._per_second is None:
            return None
        per_second = self._per_second
        if per_second == "ncbi":
            per_second = NCBI_WITH_KEY if has_key else NCBI_WITHOUT_KEY
        # Below one a second the window grows instead: 0.5 is one in two seconds.
        limit, window = max(1, int(per_second)), _WINDOW / min(1, per_second)
        sent = self._sent[asker]
        while sent and now - sent[0] >= window:
            sent.popleft()
        if len(sent) >= limit:
            return Allowance(limit, 0, granted=False)
        sent.append(now)
        return Allowance(limit, limit - len(sent), granted=True)


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_seconds(text: str) -> float:
    """Seconds of `200ms`, `30s`, `10m`, `6h` or `7d`. Raises ValueError with a message to show."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", text)
    if not match:
        raise ValueError(f"{text!r} is no duration; write it as 200ms, 30s, 10m, 6h or 7d")
    return float(match[1]) * _UNITS[match[2]]
