"""A night that is killed, stopped or out of disk at its steps towards the disk; `python -m tests.chaos` takes each."""

import random
from collections import Counter
from itertools import islice

import pytest

from tests.chaos.disturbance import strike_at_random, strike_each_step
from tests.chaos.stage import Stage


@pytest.mark.parametrize(("kind", "stride"), [("kill", 7), ("stop", 13), ("fail", 9), ("full", 11)])
def test_struck_at_its_steps(stage: Stage, kind: str, stride: int) -> None:
    struck = Counter(strike_each_step(stage, kind, stride=stride))
    assert sum(struck.values()) >= 4
    if kind == "kill":
        assert {where.partition(" ")[0] for where in struck} == {"before", "after"}


def test_killed_at_random(stage: Stage) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    stage.ncbi.delay = 0.02
    try:
        nights = list(islice(strike_at_random(stage, seed, 0.4), 5))
    finally:
        stage.ncbi.delay = 0.0
    assert any(night.killed for night in nights)
