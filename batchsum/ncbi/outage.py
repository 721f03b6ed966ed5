"""Is it this query, is it us, or is it NCBI? Counts what fails, and asks the canary what that means.

The canary is a question that NCBI can surely answer, asked where an answer is missing or hard to believe. It tells
"your taxon is wrong" and "this query is refused" from "NCBI is down" and "NCBI has blocked this address".
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from batchsum.errors import Refused
from batchsum.model.queries import Answer, Failure, Request, Summary
from batchsum.ncbi.http import Response
from batchsum.ncbi.refusals import is_refusal

log = logging.getLogger("batchsum")

FAILURES_IN_A_ROW = 8
DISTINCT_REQUESTS = 4  # a few bad queries that are tried again and again are no outage
FIRST_PROBE_PAUSE = 5.0
LONGEST_PROBE_PAUSE = 60.0
REST = 60.0
"""Seconds between two questions for the canary that refusals wait for."""
LAST_WORD = 2.0
"""Seconds beyond `max_outage` in which the last question may still be answered."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What everybody waits for while the canary is not answered. Times are the event loop's."""

    reason: str
    next_try: float
    gives_up: float


@dataclass(slots=True)
class Outage:
    """What failed in a row, and whether the night is given up for it. Decisions only: it sends nothing."""

    max_outage: float
    """Seconds without an answer after which the rest of the night is given up."""
    given_up: str = ""
    """Why nothing is asked any more; empty while the night goes on."""
    is_final: bool = False
    """Whether not even the canary may be asked again."""
    waiting: Waiting | None = None
    """Until when nothing is sent, for whoever looks on; None while NCBI answers."""
    is_silent: bool = True
    """Whether nothing at all was answered yet: no count, no zero, no refusal in NCBI's words."""
    _believed: bool = False
    _failures: int = 0
    _failing: set[str] = field(default_factory=set)
    _silent_until: float = math.inf
    _waiting: set[asyncio.Timeout] = field(default_factory=set)

    def answered(self) -> None:
        """NCBI said something to be believed: whatever failed before failed by itself."""
        self.spoke()
        self._believed = True
        self._failures = 0
        self._failing.clear()

    def spoke(self) -> None:
        """NCBI said something, be it a refusal: nobody has to wait for the first word any more."""
        self.is_silent, self.waiting = False, None
        while self._waiting:
            self._waiting.pop().reschedule(None)  # those that are being asked have all the time they need again

    def failed(self, key: str) -> None:
        """The request of this key was not answered, or not believably."""
        self._failures += 1
        self._failing.add(key)

    @property
    def in_doubt(self) -> bool:
        """Whether the canary should have answered before anything else is sent.

        Before the first word of NCBI one failure is enough: a job of three queries would else be over, all of them
        failed, before an outage of a minute is.
        """
        few = self.is_silent and self._failures > 0
        many = self._failures >= FAILURES_IN_A_ROW and len(self._failing) >= DISTINCT_REQUESTS
        return few or many or bool(self.given_up)

    @property
    def is_total(self) -> bool:
        """Whether a canary without an answer would be the last proof: nothing else is answered either."""
        return self.in_doubt or not self._believed

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """Ends the block with TimeoutError where NCBI, silent until now, stays so for `max_outage`."""
        if self._silent_until == math.inf:
            self._silent_until = asyncio.get_running_loop().time() + self.max_outage
        async with asyncio.timeout_at(self._silent_until + LAST_WORD) as timeout:
            self._waiting.add(timeout)
            try:
                yield
            finally:
                self._waiting.discard(timeout)

    def probe_pause(self, probe: int, now: float, began: float) -> float | None:
        """Seconds before the next probe after `probe` unanswered ones; None where it is time to give up."""
        left = self.gives_up(began) - now
        if left <= 0:
            return None
        return min(left, LONGEST_PROBE_PAUSE, FIRST_PROBE_PAUSE * 2.0 ** min(probe - 1, 16))

    def gives_up(self, began: float) -> float:
        """When an outage that `began` then is waited for no longer."""
        return min(began + self.max_outage, self._silent_until if self.is_silent else math.inf)

    def stay_away(self, seconds: float) -> None:
        """The server wants to be left alone for longer than a night waits."""
        self.is_final = True
        self.given_up = f"the server wants no request for {seconds:,.0f} s, which is longer than max_outage"


@dataclass(slots=True)
class Canary:
    """Asks its question through `send(request, number)`: a response, and the seconds to leave before the next."""

    question: Request
    send: Callable[[Request, int], Awaitable[tuple[Response[Summary], float]]]
    outage: Outage
    attempts: int
    base_url: str
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once something came of a question, be it that no answer came."""
    verdict: Answer | None = None
    """What the canary said last; None until it was asked to the end."""
    _told_at: float = -math.inf
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_known(self) -> bool:
        """Whether NCBI has records of it: one that answers zero for it would answer zero for everything."""
        return isinstance(self.verdict, Summary) and bool(self.verdict.record_count)

    async def ask(self) -> None:
        """Ask, ever more rarely, until all doubt is gone: it is answered, or it surely will not be."""
        async with self._asking:
            await self._ask_to_the_end()

    async def ask_while_unknown(self) -> None:
        """Ask where it is not known, at most once a minute."""
        async with self._asking:
            if not self.is_known and asyncio.get_running_loop().time() >= self._told_at + REST:
                self.verdict = None  # an old word could end the asking before it begins
                await self._ask_to_the_end()

    async def ask_after(self, moment: float) -> None:
        """Ask once more unless it has answered since `moment`, at most once a minute: what is refused waits for it."""
        async with self._asking:
            if self._told_at < moment:
                await asyncio.sleep(self._told_at + REST - asyncio.get_running_loop().time())
                self.verdict = None
                await self._ask_to_the_end()

    async def _ask_to_the_end(self) -> None:
        clock = asyncio.get_running_loop().time
        began, number = clock(), 0
        try:
            while not self.outage.given_up and (self.outage.in_doubt or self.verdict is None):
                number += 1
                answer, wait = await self._probe(number)
                if isinstance(answer, Summary):
                    log.info("canary: NCBI answers for taxon %s", self.question.taxon)
                    return
                if self.outage.is_final:
                    return
                pause = self.outage.probe_pause(number, clock(), began)
                # While others are answered, a silent canary is no reason to wait for max_outage.
                tired = number >= self.attempts and not self.outage.is_total
                if answer.status == "rejected" or pause is None or tired or wait == math.inf:
                    self.judge(answer)
                    return
                pause = max(wait, pause)
                told = "canary: NCBI does not answer (test taxon %s: %s); next try in %.0f s"
                log.warning(told, self.question.taxon, answer, pause)
                self.outage.waiting = Waiting(str(answer), clock() + pause, self.outage.gives_up(began))
                await asyncio.sleep(pause)
        finally:
            self.heard.set()  # also where asking was broken off: others wait for this, and would go on waiting

    async def ask_again(self) -> None:
        """For a second round: a night that was given up may go on if NCBI is back."""
        if self.outage.given_up and not self.outage.is_final:
            self.outage.given_up = ""  # else nothing would be sent
            answer, _ = await self._probe(1)
            if isinstance(answer, Failure) and not self.outage.is_final:
                self.outage.given_up = self.what_it_means(answer)
        elif not self.is_known:
            self.verdict = None

    def judge(self, answer: Answer) -> None:
        """The canary's last word. Where nothing else is answered either, the night is over."""
        self.verdict = answer
        self._told_at = asyncio.get_running_loop().time()
        if isinstance(answer, Failure) and self.outage.is_total and not is_refusal(answer):
            self.give_up(answer)

    def give_up(self, answer: Answer) -> None:
        self.outage.given_up, self.outage.waiting = self.what_it_means(answer), None
        log.warning("giving up: %s", self.outage.given_up)

    async def _probe(self, number: int) -> tuple[Answer, float]:
        response, pause = await self.send(self.question, number)
        self.heard.set()
        self._told_at = asyncio.get_running_loop().time()
        answer = response.answer
        if isinstance(answer, Summary):
            self.verdict = answer
            self.outage.answered()
        elif answer.reason == "http_404" and not self.base_url.endswith("/datasets/v2"):
            if not urlsplit(self.base_url).path.strip("/"):
                server = self.base_url.rstrip("/")
                raise Refused(f"{server} does not have NCBI's API (HTTP 404); write {server}/datasets/v2")
            answer = replace(answer, detail="does the base URL end in /datasets/v2?")
        return answer, pause

    def what_it_means(self, answer: Answer) -> str:
        """In words for a user whose query was not answered: neither is a question that NCBI can surely answer."""
        taxon, why = self.question.taxon, "it is in trouble, or base_url is not its API"
        if isinstance(answer, Summary):
            said = f"NCBI says that it has no records of taxon {taxon}, which it surely has"
            return f"{said}: {why}; a server of your own wants api.canary"
        if answer.status == "rejected":
            return f"NCBI also refuses taxon {taxon}, which it surely has ({answer}): {why}"
        if answer.reason == "bad_answer":
            return f"NCBI gives no usable answer ({taxon}: {answer}): {why}"
        return f"NCBI does not answer (test taxon {taxon}: {answer}): it is down, or blocks this address"
