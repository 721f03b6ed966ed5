"""What several test files share: a server that misbehaves, and the environment of one behind a proxy."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
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
