"""What a benchmark prints is what the results are made of."""

from importlib.util import find_spec

import pytest

from tests.benchmarks.__main__ import LINE, SCRIPTS, table
from tests.benchmarks.measure import Result


@pytest.mark.parametrize(
    ("ratio", "bar", "at_most", "also", "reached"),
    [
        (0.95, 0.9, False, True, True),
        (0.89, 0.9, False, True, False),
        (0.95, 0.9, False, False, False),
        (98, 100, True, True, True),
        (101.25, 100, True, True, False),
        (-3.2e-05, 0, True, True, True),
        (1.2e7, 1, False, True, True),
    ],
)
def test_a_printed_line_is_read_back(ratio: float, bar: float, at_most: bool, also: bool, reached: bool) -> None:
    result = Result("memory: all of it", ratio, bar, "98 MB; 3 s (cold)", at_most=at_most, also=also)
    found = LINE.fullmatch(str(result))
    assert found is not None
    assert (found["question"], found["figures"]) == ("memory: all of it", "98 MB; 3 s (cold)")
    assert float(found["ratio"]) == pytest.approx(ratio, rel=0.01)
    assert (found["missed"] is None) == result.is_reached == reached


def test_a_missed_bar_is_told_with_its_reason() -> None:
    result = Result("speed", 0.5, 0.9, "5/s against 10/s", why="it is slow")
    rows = table([str(result), "  why: it is slow"])
    assert "| speed | 0.5 | **missed**: at least 0.9 | 5/s against 10/s |" in rows
    assert "- **speed**: it is slow" in rows


def test_a_benchmark_that_breaks_off_is_not_left_out() -> None:
    assert "- speed: ended with exit code 1" in table(["speed: ended with exit code 1"])


def test_every_script_exists() -> None:
    assert all(find_spec(f"tests.benchmarks.{script}") for script in SCRIPTS)
