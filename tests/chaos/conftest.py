"""The program, and the stage, ready for as many disturbances as a test file wants."""

from collections.abc import Iterator

import pytest

from tests.chaos.programs import Programs
from tests.chaos.stage import Stage, set_up


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    with Programs() as one:
        yield one


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with set_up(tmp_path_factory.mktemp("chaos")) as one:
        yield one
