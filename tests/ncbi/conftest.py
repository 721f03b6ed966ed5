"""A limit of one's own, and a session that only pretends to send, but waits for its turn as a real one does."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import aioresponses.core
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses as pretending

from batchsum.ncbi.client import FIRST_PAUSE


@pytest.fixture(autouse=True)
def own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit is shared with other processes: they have another clock, or run the same test."""
    monkeypatch.setattr("batchsum.ncbi.pacing_file._directories", lambda: [tmp_path / "sends"])


@pytest.fixture(autouse=True)
def real_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those between attempts are what is tried here."""
    monkeypatch.setattr("batchsum.ncbi.client.FIRST_PAUSE", FIRST_PAUSE)


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[pretending]:
    """No connection that is made here reaches a socket.

    aioresponses 0.7.9 knows aiohttp up to 3.13: since 3.14 a response wants a `stream_writer`, and its reader
    pauses a transport that is not there when more than 128 KiB wait. test_http tells when that is mended.
    """
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _response)
    monkeypatch.setattr(
        aioresponses.core,
        "stream_reader_factory",
        lambda loop: aiohttp.StreamReader(ResponseHandler(loop=loop), limit=2**30, loop=loop),
    )
    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", _connected)
    with _Paced() as answers:
        yield answers


_NOWHERE = ConnectionKey("127.0.0.1", 1, False, True, None, None, None)


class _Paced(pretending):
    """Answers by script for whatever a ClientSession is asked to send, once its connector lets it pass."""

    async def _request_mock(
        self, orig_self: aiohttp.ClientSession, method: str, url: Any, *args: Any, **named: Any
    ) -> Any:
        assert orig_self.connector is not None
        request: Any = SimpleNamespace(connection_key=_NOWHERE, proxy=None)
        connection = await orig_self.connector.connect(request, [], aiohttp.ClientTimeout())
        try:
            return await super()._request_mock(orig_self, method, url, *args, **named)
        finally:
            connection.close()


def _response(*args: Any, **named: Any) -> aiohttp.ClientResponse:
    if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
        named["stream_writer"] = SimpleNamespace(output_size=0)
    return aiohttp.ClientResponse(*args, **named)


async def _connected(connector: aiohttp.TCPConnector, *_: Any) -> ResponseHandler:
    protocol = ResponseHandler(loop=connector._loop)
    nowhere: Any = SimpleNamespace(
        is_closing=lambda: False, close=lambda: protocol.connection_lost(None), get_extra_info=lambda _name: None
    )
    protocol.connection_made(nowhere)
    return protocol
