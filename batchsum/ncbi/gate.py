"""The last step before a request leaves: its connection stands, and it may still have to wait.

Between here and the headers nothing is awaited (a body's follow in the loop's next turn), so what is told here is when
they leave. The library's own hooks (tracing) tell the same, at a fifth of what a request costs.
"""

import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from batchsum.ncbi.timeouts import Timed

Confirm = Callable[[], Awaitable[None] | None]
"""Whether a request whose connection stands may leave now (None), or what is to be awaited before it may."""


@dataclass(slots=True)
class Departure:
    """A request about to be sent, by the task that sends it."""

    confirm: Confirm
    on_sent: Callable[[], None]
    timed: Timed


class _Socket(socket.socket):
    """Reads an answer in pieces. The event loop asks for 256 KiB at once, and to make room for that, mostly in vain,
    costs a tenth of what a request costs."""

    __slots__ = ()
    _PIECE = 2**16

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(min(size, self._PIECE), flags)


def open_socket(address: tuple[int, int, int, str, Any]) -> socket.socket:
    """A socket for an address as `getaddrinfo` tells it."""
    family, kind, protocol, *_ = address
    return _Socket(family, kind, protocol)


departure: ContextVar[Departure | None] = ContextVar("departure", default=None)
"""Set by a task right before it asks the session for anything: the library hands nothing of ours down to the gate,
which takes it before it awaits anything, since tasks can share a context."""


class SpokeUnasked(aiohttp.ClientConnectionError):
    """On each connection that was tried the server had said something before it was asked."""


class Gate(aiohttp.TCPConnector):
    """Connections that are handed out when their request may leave."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  the library's own argument
    ) -> Connection:
        mine = departure.get()
        assert mine is not None
        departure.set(None)  # a task that is kept by its own context would wait for the cycle collector
        for _ in range(self.limit + 1):  # all that may wait in the pool, and a new one
            connection = await super().connect(req, traces, timeout)
            try:
                if (confirmed := mine.confirm()) is not None:
                    await mine.timed.aside(confirmed)
                if _is_usable(connection):
                    mine.on_sent()
                    return connection
            except BaseException:
                connection.release()  # nothing was written to it
                raise
            connection.close()
        raise SpokeUnasked


def _is_usable(connection: Connection) -> bool:
    """Whether the server has neither closed it, as it may while a request waits, nor said anything on it: that would
    be taken for the answer to what is asked now."""
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close
