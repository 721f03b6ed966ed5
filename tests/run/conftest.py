"""A job and its nights of November, for whoever asks for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchsum.run import ask
from tests.builders.november import Nights
from tests.fakes.scripted_ncbi import scripted_ncbi


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    monkeypatch.setattr(ask, "SHORTEST_PAUSE", 0.0)
    for name in ("NCBI_API_KEY", "BATCHSUM_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with scripted_ncbi() as server:
        yield Nights(tmp_path, server, monkeypatch)
