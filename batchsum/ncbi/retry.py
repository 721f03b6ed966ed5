"""What an answer means for the next step, and how long to wait: decisions only, nothing waits or sends."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from batchsum.model.queries import Failure

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


def is_final(answer: object) -> bool:
    """Whether asking again could not help: NCBI answered, or refused for good."""
    return not isinstance(answer, Failure) or answer.status == "rejected"


def means_too_fast(answer: object) -> bool:
    """429 and 503 are said to everybody at this address, so everybody waits."""
    return isinstance(answer, Failure) and answer.reason in ("http_429", "http_503")


def pause(attempt: int, retry_after: float | None, uniform: Callable[[float, float], float]) -> float:
    """Seconds before attempt number `attempt` + 1: the server's word, else doubling with jitter.

    The jitter takes away at most half, so that the pause really grows.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 16))  # no float holds 2 ** 1024
    own = uniform(longest / 2, longest)
    return own if retry_after is None else max(own, retry_after)


def seconds_of(retry_after: str, date: str = "") -> float | None:
    """What a Retry-After header means, in its two forms; None where it means nothing.

    A moment is counted from the `Date` of the same answer: the clocks of two machines differ.
    """
    if not retry_after:
        return None
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", retry_after.strip()):
        return float(retry_after)
    if (until := _moment(retry_after)) is None:
        return None
    now = _moment(date)
    return max(0.0, until - (time.time() if now is None else now))


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # RFC 9110 has GMT only; "-0000" and a missing zone leave a moment without one.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


@dataclass(slots=True)
class RetryBudget:
    """How many retries a whole run may spend, so that a bad night stays cheap for NCBI.

    Every answer earns a part of a retry; a run that is mostly answered never meets the bound.
    """

    left: float = 200.0  # for what fails before the first answers have earned a retry
    earned_by_an_answer: float = 0.5

    def answered(self) -> None:
        self.left += self.earned_by_an_answer

    def spend(self) -> bool:
        """Take one retry; False where none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
