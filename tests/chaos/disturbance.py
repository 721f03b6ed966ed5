"""One disturbed night: how it is disturbed, and what must be true before and after it is gone on with."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from tests.chaos.stage import Stage, contents, generation, kept_answers
from tests.fakes.raw_server import PREFIX


def strike_each_step(stage: Stage, kind: str, *, stride: int = 1) -> Iterator[str]:
    """Disturb the night at every step until it passes undisturbed, and prove each time that nothing is lost.

    Yields where it was struck: `before fsync`, `after COMMIT`, ...
    """
    at = 1
    while True:
        stage.begin()
        code = stage.run(kind=kind, at=at)
        where = stage.programs.told[0]
        if where.startswith("steps"):
            assert code == stage.code, stage.programs.stderr
            return
        _assert_exit(stage, kind, code, f"step {at}, {where}")
        assert_never_half(stage)
        assert_goes_on(stage)
        yield where
        at += stride


def _assert_exit(stage: Stage, kind: str, code: int, where: str) -> None:
    said = stage.programs.stderr
    assert "Traceback" not in said, where
    if kind == "kill":
        assert code == -9, where
    elif code != stage.code:  # it was not struck behind the publication
        assert code == (143 if kind == "stop" else 6), f"{where}: exit code {code}: {said}"
        words = ("interrupted",) if kind == "stop" else ("No space left", "full", "abandoned")
        assert any(word in said.splitlines()[0] for word in words), f"{where}: {said}"


@dataclass(frozen=True)
class Night:
    """One that was killed at a random moment, unless it was over by then."""

    killed: bool
    unkept: float
    """Seconds for which the oldest answer that is lost had been there when the kill came; 0 where none is."""


def strike_at_random(stage: Stage, seed: int, longest: float) -> Iterator[Night]:
    """Kill the night after any time below `longest` seconds, again and again; a reader looks on all the while."""
    generator = random.Random(seed)
    while True:
        stage.begin()
        with watched(stage):
            code = stage.run(kill_after=generator.uniform(0.0, longest))
            assert code in (-9, stage.code), stage.programs.stderr
            assert_never_half(stage)
            unkept = _longest_unkept(stage)
            assert_goes_on(stage)
        yield Night(code == -9, unkept)


def _longest_unkept(stage: Stage) -> float:
    state, kept = kept_answers(stage.out)
    if state != "open":
        return 0.0
    waited = [
        stage.programs.killed_at - at
        for target, at in stage.ncbi.answered.items()
        if unquote(target.removeprefix(PREFIX)) not in kept and "2697049" not in target
    ]
    return max(0.0, *waited, 0.0)


@contextmanager
def watched(stage: Stage) -> Iterator[None]:
    """A reader that opens the files at any moment, and must find each one whole."""
    over, wrong = threading.Event(), list[str]()

    def look() -> None:
        while not over.wait(0.002):
            for name, data in contents(stage.out).items():
                if data not in (stage.old[name], stage.new[name]):
                    wrong.append(name)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert wrong == []


def assert_never_half(stage: Stage) -> None:
    """Each file is the whole old or the whole new one, and the new manifest comes last."""
    seen = contents(stage.out)
    assert seen.keys() == stage.old.keys()
    for name, data in seen.items():
        assert data in (stage.old[name], stage.new[name]), name
    if generation(stage.out) == 2:
        assert seen == stage.new


def assert_goes_on(stage: Stage) -> None:
    """The same command ends the night as if nothing had happened, and asks nothing that was kept."""
    state, kept = kept_answers(stage.out)
    if state != "published":
        before = len(stage.ncbi.server.arrivals)
        code = stage.run()
        assert code == stage.code, stage.programs.stderr
        arrivals = stage.ncbi.server.arrivals[before:]
        again = Counter(unquote(arrival.target.removeprefix(PREFIX)) for arrival in arrivals)
        for request, (round_, status) in kept.items():
            allowed = 1 if round_ == 1 and (status == "failed" or "31337" in request) else 0
            assert again[request] <= allowed, f"{request} was kept ({status}, round {round_}) and asked again"
        # What was killed once more after its publication is swept by the next night.
        assert [path.name for path in stage.out.iterdir() if path.name.endswith("-tmp")] == []
    for name, data in contents(stage.out).items():
        assert data == stage.new[name], f"{name}\n{data.decode()}\ninstead of\n{stage.new[name].decode()}"
    assert generation(stage.out) == 2
    assert kept_answers(stage.out)[0] == "published"
