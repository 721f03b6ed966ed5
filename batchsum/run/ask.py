"""The two rounds of a night: everything once, then once more what has no answer that can be believed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from batchsum.config.names import moved_names
from batchsum.model.queries import Failure, Reply, Request, Summary, request_key
from batchsum.ncbi.client import DatasetsClient
from batchsum.run.plan import Plan
from batchsum.store.journal import Journal
from batchsum.store.store import Run, Store
from batchsum.text import spoken

log = logging.getLogger("batchsum")

T = TypeVar("T")

SHORTEST_PAUSE = 2.0
LONGEST_PAUSE = 60.0

TOLD = 20
"""Failures that the log tells of one by one, unless it is verbose; `explain` knows them all."""


@dataclass(slots=True)
class Asking:
    """Asks for what is missing of a run's plan and keeps what comes.

    `doubtful` finds what should be asked again, once all has been asked: it is told what to say of a request that
    was never answered.
    """

    plan: Plan
    store: Store
    run: Run
    client: DatasetsClient
    workers: int
    doubtful: Callable[[Failure], list[Request]]
    unasked: Failure = Failure("skipped", "interrupted", "not asked")
    done: int = 0
    """Requests that are settled, answered or not, by this process; those asked again count again."""
    warnings: list[str] = field(default_factory=list)
    """What the summary should say beside the answers: names that have moved."""
    _began: float = field(default_factory=time.monotonic)
    _failures: int = 0
    _first: dict[Request, Reply] = field(default_factory=dict)
    """What was kept of the requests that are just asked again."""
    is_settled: bool = False
    """Whether what `doubtful` saw is all that was answered: nothing was worth asking again, or may be."""

    async def look_up_names(self) -> None:
        """Whether the locked names still mean what they are asked as. Nothing of the night depends on it."""
        self.warnings = await moved_names(partial(self.client.post, attempts=2), self.plan.lock, self.plan.job)
        for warning in self.warnings:
            log.warning("%s", warning)

    async def both_rounds(self) -> None:
        await self._round(1, await self._aside(self._pending), self.client.ask)
        log.info("%d requests answered in %s", self.done, spoken(time.monotonic() - self._began))
        await self.second_round()

    async def second_round(self) -> None:
        doubtful = await self._aside(self._doubtful)
        if not doubtful or self.client.outage.is_final:
            self.is_settled = True
            return
        pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, (time.monotonic() - self._began) / 10))
        log.info("asking %d requests again in %.0f s: failed, skipped or not believed", len(doubtful), pause)
        await asyncio.sleep(pause)
        if await self.client.is_answering():
            await self._round(2, doubtful, self._ask_again)
        self._note_outage()

    def cut_off(self, why: Failure) -> None:
        """What was not asked is skipped for this reason, unless the night had been given up before."""
        self.unasked = why
        self._note_outage()

    async def _aside(self, look: Callable[[], T]) -> T:
        """What the store tells, found in a thread. Whoever is cancelled here does not wait for a million rows."""
        try:
            return await asyncio.to_thread(look)
        except asyncio.CancelledError:
            self.store.abandon()
            raise

    def _doubtful(self) -> list[Request]:
        self._note_outage()
        doubtful = self.doubtful(self.unasked)
        return [request for request in doubtful if (kept := self._kept(request)) is None or kept[0] < 2]

    def _note_outage(self) -> None:
        if self.client.outage.given_up:
            self.unasked = Failure("skipped", "outage", self.client.outage.given_up)

    def _pending(self) -> Iterable[Request]:
        """The plan's requests, without those that a resumed run has answers to."""
        answered = self.store.answered(self.run)
        return (request for request in self.plan.requests() if request_key(request) not in answered)

    async def _round(
        self, number: int, requests: Iterable[Request], ask: Callable[[Request], Awaitable[Reply]]
    ) -> None:
        with Journal(self.store, self.run) as journal:

            def keep(request: Request, reply: Reply) -> None:
                self._tell(request, reply)
                if (first := self._first.pop(request, None)) is not None:
                    reply = _merged(first, reply)
                if reply.attempts:
                    journal.put(request_key(request), number, reply)

            await run_requests(requests, ask, workers=self.workers, on_answer=keep)

    def _tell(self, request: Request, reply: Reply) -> None:
        self.done += 1
        answer = reply.answer
        if log.isEnabledFor(logging.DEBUG):
            _tell_attempts(request_key(request), reply)
        if isinstance(answer, Failure) and answer.status != "skipped":
            self._failures += 1
            key, last = request_key(request), reply.attempts[-1] if reply.attempts else None
            log.log(
                logging.INFO if self._failures <= TOLD else logging.DEBUG,
                "%s: %s: %s", key, answer.status, answer,
                extra={
                    "request": key, "attempts": len(reply.attempts), "status": answer.status,
                    "http_status": last and last.http_status, "phid": last and last.phid,
                },
            )  # fmt: skip

    async def _ask_again(self, request: Request) -> Reply:
        if kept := await asyncio.to_thread(self._kept, request):  # now: when the answer comes, nobody can wait
            self._first[request] = kept[1]
        return await self.client.ask(request, attempts=1)

    def _kept(self, request: Request) -> tuple[int, Reply] | None:
        return self.store.answer(self.run, request_key(request))


def _merged(first: Reply, again: Reply) -> Reply:
    """The second answer, unless it says less than the first; the attempts of both."""
    unanswered = isinstance(again.answer, Failure) and again.answer.status != "rejected"
    keeps_first = unanswered and isinstance(first.answer, Summary)
    return Reply(first.answer if keeps_first else again.answer, first.attempts + again.attempts)


def _tell_attempts(key: str, reply: Reply) -> None:
    for number, attempt in enumerate(reply.attempts, start=1):
        log.debug(
            "%s: attempt %d: %s, HTTP %s, PHID %s",
            key, number, attempt.outcome, attempt.http_status or "none", attempt.phid,
            extra={"request": key, "attempt": number, **attempt._asdict()},
        )  # fmt: skip


# A pool of workers on one iterator: as many tasks as workers, however many requests there are.


Q = TypeVar("Q")
A = TypeVar("A")


async def run_requests(
    requests: Iterable[Q],
    fetch: Callable[[Q], Awaitable[A]],
    *,
    workers: int,
    on_answer: Callable[[Q, A], None],
) -> None:
    """Fetch every request, at most `workers` at a time, and hand each answer over as it comes.

    `fetch` raises only to stop the night: then every worker is cancelled and that error is raised as it is.
    """
    pending = iter(requests)  # shared by all workers: this is the queue

    async def worker() -> None:
        for request in pending:
            on_answer(request, await fetch(request))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
