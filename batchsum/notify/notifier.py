"""Who is told of a run, and when: hooks, a webhook, a ping. Nothing here raises, and nothing waits over its bound.

News are put into the outbox by the transaction that publishes the night, and delivered afterwards. What was
not delivered is tried again after the next run; what was is never told again. A ping tells the state of now:
a late one would be false, so it is not kept.
"""

import asyncio
import json
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Self

from batchsum.errors import BatchsumError, Interrupted, Locked, NotDue, OutputError, UsageError
from batchsum.model.job import Job, NotifySettings
from batchsum.notify.channels import address, ping, post_message, run_hook
from batchsum.notify.metrics import write_metrics
from batchsum.notify.news import News, Note, Outbox, failed_news
from batchsum.notify.words import message, summary_line
from batchsum.output.files import MANIFEST, require_own_directory
from batchsum.store.directory import STATE, locked
from batchsum.store.store import Run, Store

log = logging.getLogger("batchsum")

SECONDS_EACH = 10.0
SECONDS_TOGETHER = 40.0
"""For all that is told after one run, on all channels, those of earlier nights included."""

_HOOKS = ("on_change", "on_failure", "on_success")
_NOBODYS_BUSINESS = (Locked, Interrupted, NotDue)
"""Another run is at it, or this one will go on: no news."""


def queue_news(store: Store, job: Job, news: News) -> None:
    """Put what is to be told of the night just published into the outbox, inside the caller's transaction."""
    outbox = Outbox(store)
    for channel, facts in _wanted(job.notify, news):
        outbox.put(channel, facts)


class Notifier:
    """Context manager around a run: where it leaves no table, whoever is to know is told, and `metrics.prom` written.

    Of a night with a table whoever publishes it tells by `published`.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._run_id = self._night = ""
        self._began = time.monotonic()

    def begin(self, run: Run) -> None:
        """The run is known now: say that it starts."""
        self._run_id, self._night = run.run_id, run.today.isoformat()
        if self._job.notify.ping_env:
            _in_time(lambda: _ping(self._job, "start", "", self._run_id), SECONDS_EACH)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, _NOBODYS_BUSINESS):
            self.failed(error)

    def published(self, store: Store, news: News) -> None:
        """Tell of the night that was just published in `store`, and note that it was told. The caller has the lock:
        whoever gets it next must not take this night for one that was cut off."""
        # Told first, marked then: killed in between, the same command delivers what still waits.
        self._guarded(lambda: self._tell(news, nullcontext(store)))
        self._guarded(store.mark_told)

    def failed(self, error: Exception) -> None:
        """Nothing was published, and this is why."""
        news = failed_news(self._job, self._run_id, self._night, error)
        self._guarded(lambda: self._tell(news, self._locked_store(news)))

    def _guarded(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as problem:
            log.warning("notify: %s: %s", type(problem).__name__, problem)

    def _tell(self, news: News, opening: AbstractContextManager[Store]) -> None:
        """`opening` is entered where there are channels: its store has the news in its outbox."""
        notify = self._job.notify
        try:
            require_own_directory(self._job)
            # Before the channels, which may take their whole time.
            write_metrics(self._job, news, seconds=time.monotonic() - self._began, now=datetime.now(UTC))
            if not _channels(notify) and not notify.ping_env:
                return
            with opening as store:
                outbox = Outbox(store)
                _deliver(self._job, news, outbox.waiting(_channels(notify)), outbox)
        except Locked:
            # Another run has begun; it tells at its end what waits in the outbox.
            _deliver(self._job, news, [], None)  # the ping alone, since it tells of this run and waits in no outbox
        except (OSError, sqlite3.Error, BatchsumError) as problem:
            if not isinstance(problem, UsageError):  # the directory of another job is left alone, its log included
                log.info("notify: sent without keeping note of it: %s", problem)
            _deliver(self._job, news, [Note(0, *one) for one in _wanted(notify, news)], None)

    @contextmanager
    def _locked_store(self, news: News) -> Iterator[Store]:
        """The store of a run without a table, locked, with its news in the outbox. Of a night that was published its
        own transaction has put them there."""
        state = self._job.output.dir / STATE
        if (state.parent / MANIFEST).exists() and not state.exists():  # made here, it would hide that it was lost
            raise OutputError(f"{state} is missing")
        with Store(state) as store:
            with store.transaction():
                queue_news(store, self._job, news)
            with locked(self._job.output.dir):
                yield store


def _channels(notify: NotifySettings) -> list[str]:
    return [name for name in (*_HOOKS, "webhook") if getattr(notify, "webhook_env" if name == "webhook" else name)]


def _wanted(notify: NotifySettings, news: News) -> list[tuple[str, dict[str, Any]]]:
    """The channels that this run is told on, each with its facts.

    A table with doubtful rows is told to a chat only where something changed, or on the first night: rows that
    are still doubtful would make the same message every night, as would a file of the user's that is still incomplete.
    """
    wanted = {
        "on_change": news.change_count > 0,
        "on_failure": news.exit_code not in (0, 3) or news.problem_count > 0,  # 3 has a table, so its problems decide
        "on_success": news.exit_code == 0,
        "webhook": (
            news.change_count > 0
            or news.exit_code not in (0, 3)
            or (news.first_night and news.problem_count > 0)
            or bool(news.newly_incomplete)
        ),
    }
    events = {name: name.removeprefix("on_") for name in _HOOKS}
    events["webhook"] = "failure" if news.exit_code else "change"
    return [(name, news.facts(events[name])) for name in _channels(notify) if wanted[name]]


def _deliver(job: Job, news: News, notes: Sequence[Note], outbox: Outbox | None) -> None:
    async def all_channels() -> None:
        tasks = [
            _channel(job, [note for note in notes if note.channel == name], outbox) for name in _channels(job.notify)
        ]
        if job.notify.ping_env:
            tasks.append(_ping(job, str(news.exit_code), summary_line(news), news.run_id))
        await asyncio.gather(*tasks)

    _in_time(all_channels, SECONDS_TOGETHER)


async def _channel(job: Job, notes: Sequence[Note], outbox: Outbox | None) -> None:
    """One channel's notes, one after the other: a chat shows them in this order, and a hook runs once at a time."""
    for note in notes:
        try:
            problem = await _tell_one(job, note)
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        if problem:
            log.warning("notify: %s of run %s: %s", note.channel, note.facts["run_id"] or "?", problem)
        else:
            log.info("notify: %s of run %s: delivered", note.channel, note.facts["run_id"] or "?")
        if outbox is not None:
            (outbox.failed if problem else outbox.delivered)(note)


async def _tell_one(job: Job, note: Note) -> str:
    if note.channel != "webhook":
        command = getattr(job.notify, note.channel)
        return await run_hook(command, note.facts, directory=job.path.absolute().parent, seconds=SECONDS_EACH)
    # The same at each try, so that a receiver can drop a repetition; another one where a night is accepted later.
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(note.facts, sort_keys=True)))
    url = address(job.notify.webhook_env or "")
    return await post_message(url, message(News.of(note.facts)), key=key, seconds=SECONDS_EACH)


async def _ping(job: Job, what: str, body: str, run_id: str) -> None:
    try:
        url = address(job.notify.ping_env or "")
        problem = await ping(url, what, body, run_id=run_id, seconds=SECONDS_EACH)
    except ValueError as error:
        problem = str(error)
    if problem:
        log.warning("notify: ping /%s: %s", what, problem)


def _in_time(work: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    """Run `work` in a thread of its own, for `seconds` at most: a lookup of a name can hang in the system.

    A signal that interrupts the waiting ends the work too, hooks included.
    """
    loop, done = asyncio.new_event_loop(), threading.Event()
    task = loop.create_task(_within(work, seconds))

    def run() -> None:
        try:
            with closing(loop), suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        finally:
            done.set()

    try:
        threading.Thread(target=run, name="notify", daemon=True).start()
        # Not join: interrupted, it takes a running thread for an ended one (Python 3.11). And in short waits: a
        # signal that comes just before one begins does not end it.
        end = time.monotonic() + seconds + 2
        while not done.wait(0.2) and time.monotonic() < end:
            pass
    except BaseException:
        with suppress(RuntimeError):  # it has ended meanwhile
            loop.call_soon_threadsafe(task.cancel)
        done.wait(2)
        raise


async def _within(work: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work()
    except TimeoutError:
        log.warning("notify: not everything was delivered within %g s; the rest is tried after the next run", seconds)
    except Exception as error:
        log.warning("notify: %s", type(error).__name__)  # its words may hold a secret address
