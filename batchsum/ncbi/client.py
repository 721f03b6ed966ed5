"""DatasetsClient: asks until there is an answer, and knows when to stop.

Every send, retries and canary included, goes through the one Transport, and so at the pace of the one Pacer.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Self

from batchsum.model.filters import FilterSet, parse_taxon
from batchsum.model.queries import Answer, Attempt, Failure, Reply, Request, Summary, request_key
from batchsum.ncbi import retry
from batchsum.ncbi.connector import Withdrawn
from batchsum.ncbi.http import Response, Transport
from batchsum.ncbi.outage import CANARY_REQUEST, Canary, Outage, is_canary, what_it_means
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.urls import default_base_url

log = logging.getLogger("batchsum")


class DatasetsClient:
    """NCBI Datasets v2, as far as virus genome summaries go.

    Parameters: `base_url` is that of the environment (`BATCHSUM_BASE_URL`) unless given, else NCBI's. `api_key`
    goes into the `api-key` header only. `requests_per_second`: `"auto"` (3 without a key, 10 with one, then what
    the server says), a ceiling, or `"unlimited"`. `timeout` is for one answer, in seconds from when it was asked
    for, `max_outage` for a time without any answer. `shared_limit` is the address of a Redis that counts the
    requests of all machines; without it each of `parts` processes takes its part of the rate.
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
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        base_url = base_url or default_base_url()
        self.pacer = Pacer.for_server(base_url, api_key, requests_per_second, shared_limit=shared_limit, parts=parts)
        self.outage = Outage(max_outage)
        self._transport = Transport(
            base_url, self.pacer, api_key=api_key, contact=contact, timeout=timeout, connections=workers
        )
        self._budget = retry.RetryBudget()
        self._attempts = attempts
        self._uniform = uniform
        self._was_rejected = False
        self._canary = Canary(partial(self._send, CANARY_REQUEST, even_in_doubt=True), self.outage, attempts=attempts)

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
        made, most = list[Attempt](), attempts or self._attempts
        while True:
            if self._in_doubt and not await self._goes_on():
                return Reply(self._skipped(), tuple(made))
            try:
                response, pause = await self._attempt(request, len(made) + 1)
            except Withdrawn:  # doubt came up while it waited for its turn
                continue
            made.append(response.attempt)
            answer = response.answer
            if retry.is_final(answer):
                if isinstance(answer, Failure) or is_canary(request):
                    answer = await self._settle(request, answer)
                else:
                    self._answered()
                return Reply(answer, tuple(made))
            # No answer: once more after a pause, unless attempts or the run's retries are spent, or NCBI is down.
            self.outage.failed(key := request_key(request))
            if len(made) >= most or pause == math.inf or not self._budget.spend():
                lost = self.outage.in_doubt and not await self._goes_on()
                return Reply(self._skipped() if lost else answer, tuple(made))
            log.debug("%s: %s; attempt %d in %.1f s", key, answer, len(made) + 1, pause)
            await asyncio.sleep(pause)

    async def post(
        self, path: str, body: Mapping[str, Any], *, attempts: int | None = None
    ) -> dict[str, Any] | Failure:
        """Post a question that is about no genome, as names are: the JSON object it is answered with.

        No outage is told from it: whoever asks judges what is not answered.
        """
        number, most = 0, attempts or self._attempts
        while not self.outage.given_up:
            number += 1
            response = await self._transport.post(path, body)
            pause = self._obey(response, number)
            if retry.is_final(response.answer) or number >= most or pause == math.inf or not self._budget.spend():
                return response.answer
            log.debug("%s: %s; attempt %d in %.1f s", path, response.answer, number + 1, pause)
            await asyncio.sleep(pause)
        return self._skipped()

    async def is_answering(self) -> bool:
        """After a night that was given up: one more question for the canary. True as long as none was."""
        await self._canary.ask_again()
        return not self.outage.given_up

    @property
    def _in_doubt(self) -> bool:
        """Whether nothing but the canary should be sent: nobody answers, or the first rejection is not understood."""
        return self.outage.in_doubt or (self._was_rejected and not self._canary.heard.is_set())

    async def _goes_on(self) -> bool:
        if self.outage.in_doubt:
            await self._canary.ask()
        else:
            await self._canary.heard.wait()  # whose rejection it is asks
        return not self.outage.given_up

    async def _attempt(self, request: Request, number: int) -> tuple[Response[Summary], float]:
        """Attempt `number`, and seconds before the next. Raises Withdrawn where doubt comes up before it is sent."""
        if not is_canary(request):
            return await self._send(request, number)
        async with self._canary.asking:  # what it just got need not be asked again for the job
            if (response := self._canary.answer_for_the_job()) is not None:
                return response, 0.0
            return await self._send(request, number)

    async def _send(
        self, request: Request, number: int, *, even_in_doubt: bool = False
    ) -> tuple[Response[Summary], float]:
        response = await self._transport.send(request, lambda: even_in_doubt or not self._in_doubt)
        return response, self._obey(response, number)

    def _obey(self, response: Response[Any], number: int) -> float:
        """Do what the server says about our pace. Seconds before the next attempt of the same request; infinite
        where it wants that later than a night waits."""
        if response.rate_limit is not None:
            self.pacer.limit(response.rate_limit)
        if retry.is_final(response.answer):
            return 0.0
        longest, retry_after = self.outage.max_outage, response.retry_after
        pause = min(longest, retry.pause(number, retry_after, self._uniform))
        if retry_after is not None and retry_after > longest:
            if not retry.means_too_fast(response.answer):
                return math.inf
            self.outage.stay_away(retry_after)
            return 0.0
        if retry.means_too_fast(response.answer):
            self.pacer.hold(pause, refused=response.sent_at if response.attempt.http_status == 429 else None)
        return pause

    def _answered(self) -> None:
        self._budget.answered()
        self.outage.answered()

    async def _settle(self, request: Request, answer: Answer) -> Answer:
        """Believe a rejection only while NCBI knows the canary: an outage can look like a typo."""
        if is_canary(request) and not self._canary.is_known:
            self._canary.judge(answer)
        elif isinstance(answer, Failure) and self._canary.verdict is None:
            self._was_rejected = True
            await self._canary.ask()
        if isinstance(answer, Summary):
            self._answered()
            return answer
        if self._canary.is_known:
            self.outage.answered()
            return answer
        self.outage.failed(request_key(request))
        return self._skipped()

    def _skipped(self) -> Failure:
        verdict = self._canary.verdict
        told = what_it_means(verdict) if isinstance(verdict, Failure) else "NCBI does not answer"
        return Failure("skipped", "outage", self.outage.given_up or told)
