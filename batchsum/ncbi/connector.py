"""Connections that are handed out when their request may leave: the place that every send passes.

Between here and the headers nothing is awaited (those of a request with a body follow in the event loop's next
turn), so the moment of the slot is the moment of sending, however long it took to connect.
"""

import asyncio
import math
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from batchsum.ncbi.pacing import Pacer

KEEP_ALIVE = 15.0
"""Seconds for which an idle connection is kept."""
MOST_WAITING = 10
"""Requests that connect, or stand connected and wait for their slot, at most."""
TRIES = 3
"""Connections that one request may find dead when its turn has come."""


class Withdrawn(Exception):
    """The request was not sent: it was not wanted any more when its turn came."""


class NotReady(aiohttp.ClientConnectionError):
    """On each connection that was tried the server had spoken or hung up before it was asked anything."""


@dataclass(slots=True)
class PendingSend:
    """A request that has not left yet, by the task that sends it."""

    is_wanted: Callable[[], bool]
    timeout: asyncio.Timeout
    """Set when the headers leave: waiting for a slot and connecting do not count."""
    seconds: float
    """How long the answer may take from then on."""
    since: float = -math.inf
    """When its headers left; before, when it began to connect. The event loop's time."""


pending_send: ContextVar[PendingSend] = ContextVar("pending_send")
"""Set by a task right before it asks the session for anything, since aiohttp hands nothing of ours down to its
connector; read there before anything is awaited, since tasks can share a context."""


class PacedConnector(aiohttp.TCPConnector):
    """Takes the pace behind a connection that stands, so that no slot grows old while TLS begins."""

    def __init__(self, pacer: Pacer) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE)  # whoever sends limits them
        self._pacer = pacer
        self._size = 0

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  the library's own argument
    ) -> Connection:
        """A connection whose request is to be written to it at once.

        Raises Withdrawn, and what aiohttp raises where there is no connection. The time that `timeout` has for
        connecting is for each one; waiting is not part of it.
        """
        pending = pending_send.get()
        async with self._gate():
            for _ in range(TRIES):
                if not pending.is_wanted():
                    raise Withdrawn
                pending.since = self._loop.time()
                connection = await super().connect(req, traces, timeout)
                slot = None
                try:
                    slot = await self._pacer.slot(partial(_can_send, pending, connection))
                finally:
                    if slot is None:
                        connection.release()  # nothing was written to it
                if slot is not None:
                    pending.since = slot
                    pending.timeout.reschedule(slot + pending.seconds)
                    return connection
        raise NotReady if pending.is_wanted() else Withdrawn

    def _gate(self) -> asyncio.Semaphore:
        """Lets about as many connect and wait as may leave in a second: connecting may take that second, no
        connection grows old before its turn, and no server has to hold one open for each of our workers."""
        rate = self._pacer.rate
        size = sys.maxsize if rate is None else min(MOST_WAITING, math.ceil(rate))  # without a rate nobody waits
        if size != self._size:
            self._size, self._semaphore = size, asyncio.Semaphore(size)  # whoever is in the old one leaves by it
        return self._semaphore


def _can_send(pending: PendingSend, connection: Connection) -> bool:
    """Whether the request is still wanted, and the server has neither closed the connection, as it may while a request
    waits, nor said anything on it: that would be taken for the answer to what is asked now."""
    protocol = connection.protocol
    return pending.is_wanted() and protocol is not None and protocol.is_connected() and not protocol.should_close
