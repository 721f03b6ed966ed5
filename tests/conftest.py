"""What several test files share: a server that misbehaves, and a session that only pretends to send."""

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import aioresponses.core
import pytest
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses as pretending
from hypothesis import HealthCheck, settings

from tests.fakes.raw_server import RawServer, raw_server

# A busy machine is slow, and no test here is about speed.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture
def raw() -> Iterator[RawServer]:
    with raw_server() as server:
        yield server


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def elsewhere(raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A base URL that is not this machine, behind a proxy that is: the raw server."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", f"http://me:word@127.0.0.1:{raw.port}")
    return "http://ncbi.test/v2"


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[pretending]:
    """Answers by script for whatever a ClientSession is asked to send; nothing reaches a socket.

    aioresponses 0.7.9 knows aiohttp up to 3.13: since 3.14 a response wants a `stream_writer`, and its reader
    pauses a transport that is not there when more than 128 KiB wait. test_http tells when that is mended.
    """
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _response)
    monkeypatch.setattr(
        aioresponses.core,
        "stream_reader_factory",
        lambda loop: aiohttp.StreamReader(ResponseHandler(loop=loop), limit=2**30, loop=loop),
    )
    with pretending() as answers:
        yield answers


def _response(*args: Any, **named: Any) -> aiohttp.ClientResponse:
    if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
        named["stream_writer"] = SimpleNamespace(output_size=0)
    return aiohttp.ClientResponse(*args, **named)
