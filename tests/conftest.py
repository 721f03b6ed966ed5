"""What several test files share: the same surroundings for each test, and servers to talk to."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from batchsum.cli.terminal import hide
from batchsum.ncbi import client
from batchsum.run import ask
from tests.builders.jobs import job_text, write_job
from tests.fakes.raw_server import RawServer, raw_server
from tests.fakes.scripted_ncbi import ScriptedNcbi, scripted_ncbi

# A busy machine is slow, and no test here is about speed.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("steady"), max_examples=2000)
settings.load_profile("steady")


def lies_in_memory(directory: Path) -> bool:
    """Whether hooks can run from there, and more fits than all tests leave."""
    try:
        facts = os.statvfs(directory)
    except OSError:
        return False
    may_run = not facts.f_flag & os.ST_NOEXEC and os.access(directory, os.W_OK)
    return may_run and facts.f_bavail * facts.f_frsize > 2 * 2**30


# Thousands of nights are written and synced, and no test asks whether they outlive the machine.
if lies_in_memory(Path("/dev/shm")):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")


ENVIRONMENT = (
    *("NCBI_API_KEY", "CREDENTIALS_DIRECTORY", "BATCHSUM_BASE_URL", "BATCHSUM_TODAY", "BATCHSUM_DEBUG"),
    *("BATCHSUM_REDIS_PASSWORD", "CHAT", "PING", "SLACK_WEBHOOK"),
    "PYTHONDONTWRITEBYTECODE",  # hundreds of programs are started, and each would compile itself anew
)
"""What the program and the tests' jobs read; a developer's own must reach no test."""


LONG = (
    "test_report_browser",
    "test_pacing_redis",
    "test_kills",
    "test_two_processes",
    "test_pipelines",
    "test_many_nights",
)
"""Files of which each takes one process long: begun last, it would be waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ENVIRONMENT:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_pause() -> Iterator[None]:
    """The second round follows at once on the first, and an attempt soon on the one before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ask, "SHORTEST_PAUSE", 0.0)
        patch.setattr(client, "FIRST_PAUSE", 0.001)
        yield


@pytest.fixture
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than any test: whoever waits for a second round is found out."""
    monkeypatch.setattr(ask, "SHORTEST_PAUSE", 60.0)


@pytest.fixture(autouse=True)
def fresh_log() -> Iterator[None]:
    """A command sends the log where its options say; the next test begins without that."""
    yield
    logger = logging.getLogger("batchsum")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    hide(None)


@pytest.fixture
def raw() -> Iterator[RawServer]:
    with raw_server() as server:
        yield server


@pytest.fixture
def ncbi() -> Iterator[ScriptedNcbi]:
    with scripted_ncbi() as server:
        yield server


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file of two taxa, each asked once, with its outputs in out/night beside it."""
    return write_job(tmp_path, job_text(11320, 11520, api={"attempts": 1}))


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
