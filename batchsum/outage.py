"""Is it this query, or is it NCBI? Counts failures in a row; the canary question settles what they mean.

Decisions only: whoever sends asks `suspected()` and tells what came back.
"""

from dataclasses import dataclass, field

FAILURES_IN_A_ROW = 8
DISTINCT_REQUESTS = 4
FIRST_PROBE_PAUSE = 5.0
LONGEST_PROBE_PAUSE = 60.0


@dataclass(slots=True)
class Outage:
    max_outage: float
    """Seconds without an answer after which the rest of the night is given up."""
    given_up: str = ""
    """Why nothing is asked any more; empty while the night goes on."""
    _failures: int = 0
    _failing: set[str] = field(default_factory=set)

    def answered(self) -> None:
        """NCBI said something about a query: whatever failed before failed by itself."""
        self._failures = 0
        self._failing.clear()

    def failed(self, key: str) -> None:
        self._failures += 1
        self._failing.add(key)

    def suspected(self) -> bool:
        """Whether so much failed in a row that the canary should be asked before anything else."""
        return self._failures >= FAILURES_IN_A_ROW and len(self._failing) >= DISTINCT_REQUESTS

    def probe_pause(self, probe: int, waited: float) -> float | None:
        """Seconds before the next probe after `probe` unanswered ones; None where it is time to give up."""
        left = self.max_outage - waited
        if left <= 0:
            return None
        return min(left, LONGEST_PROBE_PAUSE, FIRST_PROBE_PAUSE * 2.0 ** (probe - 1))
