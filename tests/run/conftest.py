"""A job and its nights of November, for whoever asks for them."""

from pathlib import Path

import pytest

from tests.builders.november import Nights
from tests.fakes.scripted_ncbi import ScriptedNcbi


@pytest.fixture
def nights(tmp_path: Path, ncbi: ScriptedNcbi) -> Nights:
    return Nights(tmp_path, ncbi)
