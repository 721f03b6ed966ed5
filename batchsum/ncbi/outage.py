"""Is it this query, or is it NCBI? An outage is told from failures in a row, and the canary settles what they mean.

The canary is a question that NCBI can surely answer, asked where an answer is missing or hard to believe: it tells
"your taxon is wrong" from "NCBI is down, or has blocked this address". Whoever sends looks at `Outage.in_doubt`
first, and tells it what came back.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from batchsum.model.queries import CANARY, Answer, Failure, Request, Summary
from batchsum.ncbi.http import Response

log = logging.getLogger("batchsum")

CANARY_REQUEST = Request(CANARY)

FAILURES_IN_A_ROW = 8
DISTINCT_REQUESTS = 4
"""Among those failures: one request that fails again and again is no outage."""
FIRST_PROBE_PAUSE = 5.0
LONGEST_PROBE_PAUSE = 60.0


@dataclass(slots=True)
class Outage:
    """Whether NCBI seems to be down, and whether the night is given up. Decides only; nothing waits or sends."""

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
        """The request of this key was not answered, or not believably."""
        self._failures += 1
        if len(self._failing) < DISTINCT_REQUESTS:  # more need not be remembered
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


class Canary:
    """Asks the canary's question through `send(number)`: a response, and the seconds to leave before the next."""

    def __init__(
        self, send: Callable[[int], Awaitable[tuple[Response[Summary], float]]], outage: Outage, *, attempts: int
    ) -> None:
        self._send = send
        self._outage = outage
        self._attempts = attempts
        self._for_the_job: Response[Summary] | None = None
        self.asking = asyncio.Lock()
        """Held by whoever asks the question, for a job too: it is never asked twice at a time."""
        self.heard = asyncio.Event()
        """Set once something came of a question, be it that no answer came."""
        self.verdict: Answer | None = None
        """What the canary said last; None until it was asked to the end."""

    @property
    def is_known(self) -> bool:
        return isinstance(self.verdict, Summary)

    async def ask(self) -> None:
        """Ask, ever more rarely, until all doubt is gone: it is answered, or it surely will not be."""
        async with self.asking:
            try:
                await self._ask_to_the_end()
            finally:
                self.heard.set()

    async def _ask_to_the_end(self) -> None:
        clock = asyncio.get_running_loop().time
        began, number = clock(), 0
        while not self._outage.given_up and (self._outage.in_doubt or self.verdict is None):
            number += 1
            answer, wait = await self._probe(number)
            if isinstance(answer, Summary):
                log.info("canary: NCBI answers for taxon %s", CANARY)
                return
            if self._outage.is_final:
                return
            pause = self._outage.probe_pause(number, clock() - began)
            # While others are answered, a silent canary is no reason to wait for max_outage.
            tired = number >= self._attempts and not self._outage.is_total
            if answer.status == "rejected" or pause is None or tired or wait == math.inf:
                self.judge(answer)
                return
            pause = max(wait, pause)
            log.warning("canary: no answer for taxon %s either (%s); next in %.0f s", CANARY, answer, pause)
            await asyncio.sleep(pause)

    async def ask_again(self) -> None:
        """For a second round: a night that was given up may go on if NCBI is back."""
        if self._outage.given_up and not self._outage.is_final:
            self._outage.given_up = ""  # else nothing would be sent
            answer, _ = await self._probe(1)
            if isinstance(answer, Failure) and not self._outage.is_final:
                self._outage.given_up = what_it_means(answer)
        elif not self.is_known:
            self.verdict = None
        self._for_the_job = None

    def judge(self, answer: Answer) -> None:
        """The canary's last word. Where nothing else is answered either, the night is over."""
        self.verdict = answer
        if isinstance(answer, Failure) and self._outage.is_total:
            self._outage.given_up = what_it_means(answer)
            log.warning("giving up: %s", self._outage.given_up)

    def answer_for_the_job(self) -> Response[Summary] | None:
        """What the canary got, for a job that asks the same; once, since who asks twice wants a new answer."""
        response, self._for_the_job = self._for_the_job, None
        return response

    async def _probe(self, number: int) -> tuple[Answer, float]:
        response, pause = await self._send(number)
        self.heard.set()
        if isinstance(response.answer, Summary):
            self.verdict, self._for_the_job = response.answer, response
            self._outage.answered()
        return response.answer, pause


def is_canary(request: Request) -> bool:
    """Whether a job asks what the canary asks."""
    return request.taxon == CANARY and request == CANARY_REQUEST


def what_it_means(canary: Failure) -> str:
    """In words for a user whose query was not answered: neither is a question that NCBI can surely answer."""
    if canary.status == "rejected":
        return (
            f"NCBI refuses taxon {CANARY} too, which it surely has ({canary}): "
            "it is in trouble, or base_url is not its API"
        )
    return (
        f"no answer for taxon {CANARY} either, which NCBI surely has ({canary}): NCBI is down, or blocks this address"
    )
