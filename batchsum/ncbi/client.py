"""DatasetsClient: asks until there is an answer, and knows when to stop.

Every send, retries and canary included, goes through the one Transport, and so at the pace of the one Pacer.
"""

import asyncio
import logging
import math
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from random import uniform
from typing import Any, Literal, Self, TypeVar

from batchsum.model.filters import FilterSet, parse_taxon
from batchsum.model.queries import CANARY, Answer, Attempt, Failure, Reply, Request, Summary, request_key
from batchsum.ncbi.connector import Withdrawn
from batchsum.ncbi.http import Response, Transport
from batchsum.ncbi.outage import Canary, Outage
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.parse import parse_document
from batchsum.ncbi.refusals import is_refusal, refused
from batchsum.ncbi.urls import default_base_url

LARGEST_DOCUMENT = 64 * 2**20
"""Bytes of an answer about a thousand names: two or three thousand each, and more where a taxon has many below it."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
RETRIES = 200.0
"""How many retries a run may spend, so that a bad night stays cheap for NCBI; each answer earns a part of one more, so
that a run that is mostly answered never meets the bound."""
EARNED_BY_AN_ANSWER = 0.5

A = TypeVar("A")

log = logging.getLogger("batchsum")


class DatasetsClient:
    """NCBI Datasets v2, as far as virus genome summaries go.

    Parameters: `base_url` is that of the environment (`BATCHSUM_BASE_URL`) unless given, else NCBI's. `api_key`
    goes into the `api-key` header only. `requests_per_second`: `"auto"` (3 without a key, 10 with one, then what
    the server says), a ceiling, or `"unlimited"`. `timeout` is for one answer, in seconds from when it was asked
    for, `max_outage` for a time without any answer. `shared_limit` is the address of a Redis that counts the
    requests of all machines; without it each of `parts` processes takes its part of the rate. `canary` is a taxon
    that the server surely has.
    Use it as an asynchronous context manager, in one event loop.

    Raises `Refused` where the server refuses us: key, TLS, redirect. Whatever else goes wrong is a `Failure`.

    Source: `GET /virus/taxon/{taxon}/genome`, operation `virus_genome_summary`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        contact: str | None = None,
        requests_per_second: float | Literal["auto", "unlimited"] = "auto",
        workers: int = 64,
        timeout: float = 60.0,
        attempts: int = 6,
        max_outage: float = 1800.0,
        shared_limit: str | None = None,
        parts: int = 1,
        canary: str = CANARY,
    ) -> None:
        base_url = base_url or default_base_url()
        self.pacer = Pacer.for_server(base_url, api_key, requests_per_second, shared_limit=shared_limit, parts=parts)
        self.outage = Outage(max_outage)
        self._transport = Transport(
            base_url, self.pacer, api_key=api_key, contact=contact, timeout=timeout, connections=workers
        )
        self._attempts = attempts
        self._retries = RETRIES
        self._has_key = bool(api_key)
        self._was_rejected = False
        self._last_failure: Failure | None = None
        send = partial(self._send, even_in_doubt=True)  # doubt stops everything else, and only the canary can end it
        self._canary = Canary(Request(canary), send, self.outage, attempts, base_url)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._transport.__aexit__(*exception)
        await self.pacer.close()

    async def virus_genome_summary(self, taxon: str | int, filters: FilterSet = FilterSet()) -> Answer:
        """How many genomes there are of `taxon` (id or name) under `filters`, and how large they are.

        ValueError where `taxon` or a filter cannot be meant. A relative date counts back from today, UTC.
        A window (`released_before`) is two questions: ask for both and subtract.
        """
        if filters.released_before is not None:
            raise ValueError("released_before makes a window of two requests; ask for each of its edges")
        request = Request(parse_taxon(str(taxon)), filters.resolve(datetime.now(UTC).date()))
        return (await self.ask(request)).answer

    async def ask(self, request: Request, *, attempts: int | None = None) -> Reply:
        """Ask until NCBI has said something, the attempts are spent, or the night is given up."""
        made: list[Attempt] = []
        answer = await self._patiently(self._ask(request, attempts or self._attempts, made))
        return Reply(answer, tuple(made))

    async def post(
        self, path: str, body: Mapping[str, Any], *, attempts: int | None = None
    ) -> dict[str, Any] | Failure:
        """Post a question that is about no genome, as names are: the JSON object it is answered with.

        No outage is told from it: whoever asks judges what is not answered.
        """
        return await self._patiently(self._post(path, body, attempts or self._attempts))

    async def is_answering(self) -> bool:
        """After a night that was given up: one more question for the canary. True as long as none was."""
        await self._canary.ask_again()
        return not self.outage.given_up

    async def knows_canary(self) -> bool:
        """Whether NCBI has records of a taxon that it surely has: asked where that is not known yet."""
        if not self._canary.is_known and not self.outage.given_up:
            await self._canary.ask_while_unknown()
            self._stop_where_refused(self._canary.question)
        return self._canary.is_known

    async def _patiently(self, asking: Coroutine[Any, Any, A]) -> A | Failure:
        """What comes of `asking`; a Failure where NCBI says nothing at all for `max_outage`."""
        if not self.outage.is_silent:
            return await asking
        try:
            async with self.outage.patience():
                return await asking
        except TimeoutError:
            if not self.outage.is_silent:
                raise  # somebody else's
        if not self.outage.given_up:
            self._canary.give_up(self._last_failure or Failure("failed", "timeout", "no answer at all"))
        return self._skipped()

    async def _ask(self, request: Request, most: int, made: list[Attempt]) -> Answer:
        """The answer; `made` gets every attempt as it ends."""
        spent = 0
        while True:
            if self._in_doubt:
                if self.outage.is_silent:
                    spent = 0  # what failed before NCBI's first word was no fault of this query
                if not await self._goes_on():
                    return self._skipped()
            try:
                response, pause = await self._send(request, spent + 1)
            except Withdrawn:  # doubt came up while it waited for its turn
                continue
            made.append(response.attempt)
            spent += 1
            answer = response.answer
            if isinstance(answer, Summary) or is_final(answer):
                return await self._settle(request, answer)
            # No answer: once more after a pause, unless attempts or the run's retries are spent, or NCBI is down.
            self._last_failure = answer
            self.outage.failed(key := request_key(request))
            # Before NCBI's first word no query is given up: the canary decides how long that is waited for.
            is_over = spent >= most or pause == math.inf or not self._spend_retry()
            if is_over and (pause == math.inf or not self.outage.is_silent):
                lost = self.outage.in_doubt and not await self._goes_on()
                return self._skipped() if lost else answer
            log.debug("%s: %s; attempt %d in %.1f s", key, answer, spent + 1, pause)
            await asyncio.sleep(pause)

    async def _post(self, path: str, body: Mapping[str, Any], most: int) -> dict[str, Any] | Failure:
        number = 0
        while not self.outage.given_up:
            number += 1
            response = await self._transport.exchange(path, body, parse_document, LARGEST_DOCUMENT)
            answer, pause = response.answer, self._obey(response, number)
            if is_refusal(answer):
                raise refused(answer, has_key=self._has_key, met_by=path)
            if is_final(answer) or number >= most or pause == math.inf or not self._spend_retry():
                return answer
            log.debug("%s: %s; attempt %d in %.1f s", path, answer, number + 1, pause)
            await asyncio.sleep(pause)
        return self._skipped()

    def _spend_retry(self) -> bool:
        """Take one retry; False where none is left."""
        has_one = self._retries >= 1
        self._retries -= has_one
        return has_one

    @property
    def _in_doubt(self) -> bool:
        """Whether nothing but the canary should be sent: nobody answers, or the first rejection is not understood."""
        return self.outage.in_doubt or (self._was_rejected and not self._canary.heard.is_set())

    async def _goes_on(self) -> bool:
        if self.outage.in_doubt:
            await self._canary.ask()
            self._stop_where_refused(self._canary.question)
        else:
            await self._canary.heard.wait()  # whose rejection it is asks
        return not self.outage.given_up

    async def _send(
        self, request: Request, number: int, *, even_in_doubt: bool = False
    ) -> tuple[Response[Summary], float]:
        """Attempt `number`, and seconds before the next. Raises Withdrawn where doubt comes up before it is sent."""
        response = await self._transport.send(request, lambda: even_in_doubt or not self._in_doubt)
        return response, self._obey(response, number)

    def _obey(self, response: Response[Any], number: int) -> float:
        """Do what the server says about our pace. Seconds before the next attempt of the same request; infinite
        where it wants that later than a night waits."""
        if response.rate_limit is not None:
            self.pacer.limit(response.rate_limit)
        if is_final(response.answer):
            return 0.0
        longest, retry_after = self.outage.max_outage, response.retry_after
        pause = min(longest, pause_before(number + 1, retry_after))
        if retry_after is not None and retry_after > longest:
            if not means_too_fast(response.answer):
                return math.inf  # said of this query alone: it is given up, and the others go on
            self.outage.stay_away(retry_after)
            return 0.0
        if means_too_fast(response.answer):
            self.pacer.hold(pause, refused=response.sent_at if response.attempt.http_status == 429 else None)
        return pause

    async def _settle(self, request: Request, answer: Answer) -> Answer:
        """What a final answer comes to: a rejection is believed only while NCBI knows the canary."""
        if isinstance(answer, Summary):
            self._retries += EARNED_BY_AN_ANSWER
            self.outage.answered()
            if request == self._canary.question:
                self._canary.judge(answer)
            return answer
        if is_refusal(answer):
            return await self._settle_refusal(request, answer)
        self.outage.spoke()
        if request == self._canary.question:
            self._canary.judge(answer)
        elif not self._canary.is_known:
            self._was_rejected = True
            await self._canary.ask_while_unknown()
            self._stop_where_refused(request)
        if self._canary.is_known:
            self.outage.answered()
            return answer
        self.outage.failed(request_key(request))
        return self._skipped()

    async def _settle_refusal(self, request: Request, answer: Failure) -> Answer:
        """Is it this query that the server refuses, or is it us? What the canary is told from now on says it."""
        self.outage.failed(request_key(request))
        await self._canary.ask_after(asyncio.get_running_loop().time())
        self._stop_where_refused(request)
        if not self._canary.is_known:
            return self._skipped()
        self.outage.answered()
        return replace(answer, detail=f"{answer.detail}; NCBI answers other queries")

    def _stop_where_refused(self, met_by: Request) -> None:
        """Raise Refused where the canary was refused: going on would be wrong."""
        verdict = self._canary.verdict
        if is_refusal(verdict):
            query = ", ".join(filter(None, (f"taxon {met_by.taxon}", met_by.filters.text())))
            raise refused(verdict, has_key=self._has_key, met_by=query)

    def _skipped(self) -> Failure:
        verdict = self._canary.verdict
        told = self._canary.what_it_means(verdict) if verdict is not None else "NCBI does not answer"
        return Failure("skipped", "outage", self.outage.given_up or told)


def is_final(answer: object) -> bool:
    """Whether asking again could not help: NCBI answered, or refused for good."""
    return not isinstance(answer, Failure) or answer.status == "rejected"


def means_too_fast(answer: object) -> bool:
    """429 and 503 are said to everybody at this address, so everybody waits."""
    return isinstance(answer, Failure) and answer.reason in ("http_429", "http_503")


def pause_before(attempt: int, retry_after: float | None) -> float:
    """Seconds before the second attempt or a later one: the server's word, else doubling with jitter.

    The jitter takes away at most half, so that the pause really grows.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 2, 16))  # no float holds 2 ** 1024
    return max(uniform(longest / 2, longest), retry_after or 0.0)
