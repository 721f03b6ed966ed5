"""The asking of a night: everything once, then once more what has no answer that can be believed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from batchsum.config.names import job_names, look_up, moved_names
from batchsum.model.queries import Failure, Query, Reply, Request, Summary, request_key
from batchsum.ncbi.client import DatasetsClient
from batchsum.run.completeness import next_questions, sample, unanswered
from batchsum.run.resume import Night
from batchsum.run.signals import Signals, is_loop_running
from batchsum.run.windows import MOST_PAIRS, edges_to_ask_again
from batchsum.store.journal import Journal
from batchsum.text import counted, spoken

log = logging.getLogger("batchsum")

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")

SHORTEST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
"""Seconds between the rounds: a tenth of what the first one took, within these bounds."""

MOST_LOGGED = 20
"""Failures that the log tells of one by one, unless it is verbose; `explain` knows them all."""

Step = Callable[[], Awaitable[None]]


async def run_requests(
    requests: Iterable[Q],
    fetch: Callable[[Q], Awaitable[A]],
    *,
    workers: int,
    on_answer: Callable[[Q, A], None],
) -> None:
    """Fetch every request, at most `workers` at a time, and hand each answer over as it comes.

    `fetch` returns a Failure for a request that failed; it raises only to stop the night: then every worker is
    cancelled and that error is raised as it is.
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
        raise errors.exceptions[0] from None  # the first error stopped all others


@dataclass(slots=True)
class Fetcher:
    """Asks for what is missing of a night and keeps what comes. `ask` takes its steps in their order.

    `find_retries` judges what has come to the night, once all has been asked, and finds what should be asked again. It
    is told what to say of a request that was never answered.
    """

    night: Night
    client: DatasetsClient
    find_retries: Callable[[Night, Failure], list[Request]]
    unasked: Failure = Failure("skipped", "interrupted", "not asked")
    """What to say of a request without an answer."""
    done: int = 0
    """Requests that are settled, answered or not, by this process; those asked again count again."""
    warnings: list[str] = field(default_factory=list)
    """What the summary should say beside the answers: names that have moved."""
    is_settled: bool = False
    """Whether what `find_retries` saw is all that was answered: nothing was worth asking again, or may be."""
    is_comparing: bool = False
    """Whether what the user holds is being compared."""
    compared: int = 0
    """Requests that were asked for that, among `done`."""
    _began: float = field(default_factory=time.monotonic)
    _failures: int = 0
    _asked_nothing: bool = False
    """Whether everything had been answered before the first round."""
    _doubted: Failure | None = None
    """What the zeros of a first night came to, while NCBI does not know the canary."""

    async def learn_names(self) -> None:
        """Learn what the taxa stand for in NCBI's taxonomy, and whether locked ones still do. Where that fails, what
        earlier nights learnt is used."""
        lock, known = self.night.plan.lock, await self._aside(lambda: self.night.taxa)
        wanted = [*job_names(self.night.job)]
        if self._asked_nothing:  # what is only published was learnt before, but for names that are still not known
            wanted = [name for name in wanted if name in lock or known.tax_id(name) is None]
        names = await look_up(partial(self.client.post, attempts=2), wanted)
        self.warnings = moved_names(names, lock)
        for warning in self.warnings:
            log.warning("%s", warning)
        if not isinstance(names, Failure):
            await self._aside(lambda: self.night.learn(names))
        elif not self.warnings:
            log.info("names and lineages could not be learnt tonight: %s", names)

    async def first_round(self) -> None:
        """Ask for everything that a run which was cut off has no answer to."""
        answered = await self._aside(lambda: self.night.store.answered(self.night.run))
        requests = self.night.plan.requests()
        if answered:
            if await self._aside(lambda: self.night.store.has_heard(self.night.run)):
                self.client.outage.spoke()
            requests = (one for one in requests if request_key(one) not in answered)
        await self._round(1, requests)
        self._asked_nothing = not self.done
        log.info("%s answered in %s", counted(self.done, "request"), spoken(time.monotonic() - self._began))

    async def doubt_zeros(self) -> None:
        """Skip the zeros of a job's first night, where there is nothing else and NCBI does not know the canary."""
        store, run = self.night.store, self.night.run
        if not self.night.history.is_first or not await self._aside(lambda: store.has_only_zeros(run)):
            return
        if await self.client.knows_canary():
            return
        canary = self.night.job.api.canary
        told = f"NCBI has no record of anything, nor of taxon {canary}, which it surely has"
        doubted = self._doubted = Failure("skipped", "outage", self.client.outage.given_up or told)
        log.warning("%s; nothing of it is believed", doubted.detail)
        await self._aside(lambda: store.skip_answers(run, doubted))
        self.is_settled = False

    async def compare_holdings(self) -> None:
        """Ask what tells whether the files that the user holds are complete, and count as NCBI does."""
        queries, asked = await self._aside(lambda: sample(self.night)), set[Request]()
        while not self.client.outage.given_up:
            queries += await self._aside(lambda: next_questions(self.night))
            # Each once: what has no answer tonight would be asked for ever.
            new = [request for request in unanswered(self.night, queries) if request not in asked]
            if not new:
                return
            asked.update(new)
            self.is_settled = False
            self.is_comparing, before = True, self.done
            await self._round(1, new)
            await self._fit_edges(partial(list, queries))
            self.is_comparing, self.compared = False, self.compared + self.done - before

    async def window_rounds(self) -> None:
        """Ask for windows whose edges were answered from different states of NCBI's data, until they fit."""
        if any(filters.released_before for filters in self.night.plan.filter_sets()):  # on most nights there are none
            await self._fit_edges(self.night.plan.queries)

    async def _fit_edges(self, queries: Callable[[], Iterable[Query]]) -> None:
        for _ in range(MOST_PAIRS):
            chains = await self._aside(lambda: edges_to_ask_again(self.night, queries()))
            if not chains or self.client.outage.given_up:
                return
            log.info("asking %d edges of windows again: of different states of NCBI's data", sum(map(len, chains)))
            self.is_settled = False
            with Journal(self.night.store, self.night.run) as journal:
                ask_in_a_row = partial(self._ask_in_a_row, journal)
                workers = self.night.job.api.workers
                await run_requests(chains, ask_in_a_row, workers=workers, on_answer=lambda edges, none: None)

    async def second_round(self) -> None:
        """Ask once more, after a pause, for what has no answer that can be believed."""
        asked = set[Request]()
        for _ in range(2):  # what comes may make doubtful what was not
            self._note_outage()
            retries = [request for request in await self._aside(self._retries) if request not in asked]
            if not retries or self.client.outage.is_final:
                self.is_settled = True
                return
            asked.update(retries)
            pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, (time.monotonic() - self._began) / 10))
            again = counted(len(retries), "request")
            log.info("asking %s again in %.0f s: failed, skipped or not believed", again, pause)
            await asyncio.sleep(pause)
            if await self.client.is_answering() and (self._doubted is None or await self.client.knows_canary()):
                await self._round(2, retries)
                await self.doubt_zeros()
                await self.window_rounds()
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
            self.night.store.abandon()
            raise

    def _retries(self) -> list[Request]:
        """A resumed night asks nothing a third time."""
        retries = self.find_retries(self.night, self.unasked)
        return [request for request in retries if (kept := self._kept(request)) is None or kept[0] < 2]

    async def _ask_in_a_row(self, journal: Journal, edges: Mapping[Request, int]) -> None:
        for request, turn in edges.items():
            kept = await asyncio.to_thread(self._kept, request)
            again = await self._ask(request, attempts=1)
            if kept and again.attempts:
                # What was not the last turn leaves the second round its own: another guard may doubt the window.
                round_ = 2 if turn == MOST_PAIRS else kept[0]
                journal.put(request_key(request), round_, _merged(kept[1], again))

    def _kept(self, request: Request) -> tuple[int, Reply] | None:
        return self.night.store.answer(self.night.run, request_key(request))

    def _note_outage(self) -> None:
        if self.client.outage.given_up:
            self.unasked = Failure("skipped", "outage", self.client.outage.given_up)

    async def _round(self, number: int, requests: Iterable[Request]) -> None:
        """Ask for the first time, or again what has been asked: round 1 or 2."""
        fetch: Callable[[Request], Awaitable[Reply]] = self._ask if number == 1 else self._ask_again
        with Journal(self.night.store, self.night.run) as journal:

            def keep(request: Request, reply: Reply) -> None:
                if reply.attempts:  # else nothing was sent: it is as unasked as before
                    journal.put(request_key(request), number, reply)

            await run_requests(requests, fetch, workers=self.night.job.api.workers, on_answer=keep)

    async def _ask(self, request: Request, attempts: int | None = None) -> Reply:
        reply = await self.client.ask(request, attempts=attempts)
        self.done += 1
        self._log(request, reply)
        return reply

    async def _ask_again(self, request: Request) -> Reply:
        # Looked up before: once the answer is here nothing may come between it and the journal.
        first = await asyncio.to_thread(self._kept, request)
        again = await self._ask(request, attempts=1)
        return _merged(first[1], again) if first else again

    def _log(self, request: Request, reply: Reply) -> None:
        if log.isEnabledFor(logging.DEBUG):
            key = request_key(request)
            for number, attempt in enumerate(reply.attempts, start=1):
                log.debug(
                    "%s: attempt %d: %s, HTTP %s, PHID %s",
                    key, number, attempt.outcome, attempt.http_status or "none", attempt.phid,
                    extra={"request": key, "attempt": number, **attempt._asdict()},
                )  # fmt: skip
        answer = reply.answer
        if isinstance(answer, Failure) and answer.status != "skipped":
            self._failures += 1
            key, last = request_key(request), reply.attempts[-1] if reply.attempts else None
            log.log(
                logging.INFO if self._failures <= MOST_LOGGED else logging.DEBUG,
                "%s: %s: %s", key, answer.status, answer,
                extra={
                    "request": key, "attempts": len(reply.attempts), "status": answer.status,
                    "http_status": last and last.http_status, "phid": last and last.phid,
                },
            )  # fmt: skip


def ask(
    fetcher: Fetcher, steps: Sequence[Step], signals: Signals, deadline: timedelta | None,
    on_asking: Callable[[Fetcher], None],
) -> None:  # fmt: skip
    """Take the steps of `fetcher`, until they are done, `deadline` is over, or a signal comes (Interrupted).

    `on_asking` is called once, in the event loop, before the first step.
    """

    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def take_steps() -> None:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        on_asking(fetcher)
        with signals.cancelling(task):
            try:
                async with asyncio.timeout(deadline.total_seconds() if deadline else None), fetcher.client:
                    for step in steps:
                        await step()
            except TimeoutError:
                limit, waiting = spoken(deadline.total_seconds()) if deadline else "", fetcher.client.outage.waiting
                log.warning("deadline of %s reached: what was not asked is skipped", limit)
                why = f"; NCBI did not answer ({waiting.reason})" if waiting else ""
                fetcher.cut_off(Failure("skipped", "deadline", f"not asked within {limit}{why}"))

    if not is_loop_running():
        asyncio.run(take_steps())
        return
    # As in a notebook, where asyncio.run() refuses to work: a thread has a loop of its own.
    with ThreadPoolExecutor(1, "ask") as thread:  # leaving it waits for what was cancelled to tidy up
        done = thread.submit(asyncio.run, take_steps())
        try:
            done.result()
        except KeyboardInterrupt:
            loop, task = begun.result()
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
            raise


def _merged(first: Reply, again: Reply) -> Reply:
    """The second answer, unless it says less than the first; the attempts of both."""
    unanswered = isinstance(again.answer, Failure) and again.answer.status != "rejected"
    keeps_first = unanswered and isinstance(first.answer, Summary)
    return Reply(first.answer if keeps_first else again.answer, first.attempts + again.attempts)
