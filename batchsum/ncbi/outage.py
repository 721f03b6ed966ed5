"""Is it this query, or is it NCBI? Counts failures in a row; the canary question settles what they mean.

Decisions only: whoever sends looks at `in_doubt` first, and tells it what came back.
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
    is_final: bool = False
    """Whether not even the canary may be asked again."""
    _heard: bool = False
    _failures: int = 0
    _failing: set[str] = field(default_factory=set)

    def answered(self) -> None:
        """NCBI said something to be believed: whatever failed before failed by itself."""
        self._heard = True
        self._failures = 0
        self._failing.clear()

    def failed(self, key: str) -> None:
        self._failures += 1
        if len(self._failing) < DISTINCT_REQUESTS:
            self._failing.add(key)

    @property
    def in_doubt(self) -> bool:
        """Whether the canary should have answered before anything else is sent."""
        many = self._failures >= FAILURES_IN_A_ROW and len(self._failing) >= DISTINCT_REQUESTS
        return many or bool(self.given_up)

    @property
    def is_total(self) -> bool:
        """Whether a canary without an answer would be the last proof: nothing else is answered either."""
        return self.in_doubt or not self._heard

    def probe_pause(self, probe: int, waited: float) -> float | None:
        """Seconds before the next probe after `probe` unanswered ones; None where it is time to give up."""
        left = self.max_outage - waited
        if left <= 0:
            return None
        return min(left, LONGEST_PROBE_PAUSE, FIRST_PROBE_PAUSE * 2.0 ** min(probe - 1, 16))

    def stay_away(self, seconds: float) -> None:
        """The server wants to be left alone for longer than a night waits."""
        self.is_final = True
        self.given_up = f"the server wants no request for {seconds:,.0f} s, which is longer than max_outage"
