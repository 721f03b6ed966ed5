"""DatasetsClient: asks until there is an answer, and knows when to stop.

Slot, then token, then send: every send, retries and canary included, passes the one pacer.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Self

from batchsum import retry
from batchsum.filters import parse_taxon
from batchsum.job import BASE_URL
from batchsum.model import CANARY, Answer, Attempt, Failure, FilterSet, Reply, Request, Summary
from batchsum.outage import Outage
from batchsum.pacing import Pacer
from batchsum.transport import Exchange, Transport
from batchsum.wire import request_key

log = logging.getLogger("batchsum")

_CANARY = Request(CANARY)


class DatasetsClient:
    """NCBI Datasets v2, as far as virus genome summaries go.

    Parameters: `api_key` goes into the `api-key` header only. `requests_per_second`: `"auto"` (3 without a
    key, 10 with one, then what the server says), a ceiling, or `"unlimited"`. `timeout` is for one attempt,
    in seconds, `max_outage` for a time without any answer. Use it as an asynchronous context manager.

    Raises `Refused` where the server refuses us: key, TLS, redirect. Whatever else goes wrong is a `Failure`.

    Source: `GET /virus/taxon/{taxon}/genome`, operation `virus_genome_summary`.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        api_key: str | None = None,
        contact: str | None = None,
        requests_per_second: float | Literal["auto", "unlimited"] = "auto",
        workers: int = 64,
        timeout: float = 60.0,
        attempts: int = 6,
        max_outage: float = 1800.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._transport = Transport(base_url, api_key=api_key, contact=contact, timeout=timeout, connections=workers)
        self.pacer = Pacer.for_server(base_url, api_key, requests_per_second)
        self.outage = Outage(max_outage)
        self._budget = retry.RetryBudget()
        self._attempts = attempts
        self._uniform = uniform
        self._canary_known = False
        self._asking_canary = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._transport.__aexit__(*exception)

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
        key, sent = request_key(request), list[Attempt]()
        while True:
            if (self.outage.given_up or self.outage.suspected()) and not await self._canary_answers():
                return Reply(self._skipped(), tuple(sent))
            exchange = await self._send(request)
            sent.append(exchange.attempt)
            answer = exchange.answer
            if isinstance(answer, Summary) or answer.status == "rejected":
                return Reply(await self._settle(request, answer), tuple(sent))
            self.outage.failed(key)
            wait = self._pause(len(sent), exchange)
            if not self.outage.suspected() and (len(sent) >= (attempts or self._attempts) or not self._budget.spend()):
                return Reply(answer, tuple(sent))
            log.debug("%s: %s; attempt %d in %.1f s", key, answer, len(sent) + 1, wait)
            await asyncio.sleep(wait)

    async def _send(self, request: Request) -> Exchange:
        ticket = await self.pacer.slot()
        exchange = await self._transport.send(request, on_sent=lambda: self.pacer.sent(ticket))
        if exchange.rate_limit is not None:
            self.pacer.limit(exchange.rate_limit)
        return exchange

    def _pause(self, attempt: int, exchange: Exchange) -> float:
        """Seconds until this request's next attempt; after a 429 or 503 nobody sends before."""
        wait = min(retry.pause(attempt, exchange.retry_after, self._uniform), self.outage.max_outage)
        if retry.means_too_fast(exchange.answer):
            self.pacer.hold(wait)
        return wait

    async def _settle(self, request: Request, answer: Answer) -> Answer:
        """Believe a rejection only while NCBI knows the canary: an outage can look like a typo."""
        if isinstance(answer, Summary):
            self._budget.answered()
            self._canary_known = self._canary_known or request == _CANARY
        elif not self._canary_known and (request == _CANARY or not await self._canary_answers()):
            return answer if request == _CANARY else self._skipped()
        self.outage.answered()
        return answer

    async def _canary_answers(self) -> bool:
        """Ask for the canary, ever more rarely, until it is answered or the night is given up."""
        async with self._asking_canary:
            began, probe = time.monotonic(), 0
            while not self.outage.given_up and not (self._canary_known and not self.outage.suspected()):
                exchange = await self._send(_CANARY)
                probe += 1
                if isinstance(exchange.answer, Summary):
                    self._canary_known = True
                    self.outage.answered()
                    log.info("canary: NCBI answers for taxon %s", CANARY)
                    break
                wait = self.outage.probe_pause(probe, time.monotonic() - began)
                if exchange.answer.status == "rejected" or wait is None:
                    self.outage.given_up = f"taxon {CANARY}, which NCBI surely has: {exchange.answer}"
                    log.warning("canary: giving up; %s", self.outage.given_up)
                    break
                log.warning(
                    "canary: no answer for taxon %s either (%s); next in %.0f s",
                    CANARY,
                    exchange.answer,
                    wait,
                )
                await asyncio.sleep(wait)
        return not self.outage.given_up

    def _skipped(self) -> Failure:
        return Failure("skipped", "outage", self.outage.given_up)
