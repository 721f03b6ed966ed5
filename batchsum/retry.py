"""What an answer means for the next step, and how long to wait: decisions only, nothing waits or sends."""

from collections.abc import Callable
from dataclasses import dataclass

from batchsum.model import Answer, Failure, Summary

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


def is_final(answer: Answer) -> bool:
    """Whether asking again could not help: NCBI answered, or refused for good."""
    return isinstance(answer, Summary) or answer.status == "rejected"


def means_too_fast(answer: Answer) -> bool:
    """429 and 503 are said to everybody at this address, so everybody waits."""
    return isinstance(answer, Failure) and answer.reason in ("http_429", "http_503")


def pause(attempt: int, retry_after: float | None, uniform: Callable[[float, float], float]) -> float:
    """Seconds before attempt number `attempt` + 1: the server's word, else doubling with jitter.

    The jitter takes away at most half, so that the pause really grows.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1))
    own = uniform(longest / 2, longest)
    return own if retry_after is None else max(own, retry_after)


@dataclass(slots=True)
class RetryBudget:
    """How many retries a whole run may spend, so that a bad night stays cheap for NCBI.

    Every answer earns a part of a retry; a run that is mostly answered never meets the bound.
    """

    left: float = 200.0
    earned_by_an_answer: float = 0.5

    def answered(self) -> None:
        self.left += self.earned_by_an_answer

    def spend(self) -> bool:
        """Take one retry; False where none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
