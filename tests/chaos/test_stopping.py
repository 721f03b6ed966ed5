"""SIGTERM and SIGINT, whatever the program waits for."""

import fcntl
import signal
from pathlib import Path

import pytest

from tests.chaos.programs import Programs, Started, until
from tests.fakes.raw_server import RawServer, never

JOB = "version: 1\nname: night\ntaxa_files: [taxa.csv]\napi: {requests_per_second: unlimited}\n"
INTERRUPTED = "batchsum: interrupted; the same command resumes\n"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "taxa.csv").write_text("taxon\n" + "".join(f"{number}\n" for number in range(1, 101)))
    path = tmp_path / "night.yaml"
    path.write_text(JOB)
    return path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_sixty_four_hanging_requests(programs: Programs, raw: RawServer, job: Path, number: int, code: int) -> None:
    raw.always(never)
    started = programs.start("run", job, "--base-url", raw.base_url)
    until(lambda: len(raw.arrivals) == 64)
    started.signal(number)
    assert started.wait() == code
    assert started.stderr.startswith(INTERRUPTED)
    assert not (job.parent / "out/night/summary.csv").exists()


def test_answers_got_before_are_kept(programs: Programs, raw: RawServer, job: Path) -> None:
    for number in range(51, 101):
        raw.on(str(number), never)
    started = programs.start("run", job, "--base-url", raw.base_url)
    until(lambda: len(raw.arrivals) == 100)
    started.signal(signal.SIGTERM)
    assert started.wait() == 143
    raw.arrivals.clear()
    for number in range(51, 101):
        raw.on(str(number))
    assert programs.run("run", job, "--base-url", raw.base_url) == 0
    assert sorted(map(int, raw.counts)) == list(range(51, 101))
    assert set(raw.counts.values()) == {1}


def test_while_it_waits_to_start(programs: Programs, raw: RawServer, job: Path) -> None:
    started = programs.start("run", job, "--base-url", raw.base_url, "--start-jitter", "7d")
    until(lambda: (job.parent / "out/night").exists())
    _stops(started)
    assert raw.arrivals == []


def test_while_it_waits_for_the_lock(programs: Programs, raw: RawServer, job: Path) -> None:
    out = job.parent / "out/night"
    out.mkdir(parents=True)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = programs.start("run", job, "--base-url", raw.base_url, "--if-locked", "wait")
        until(lambda: (out / "batchsum.log").exists())
        _stops(started)
    assert raw.arrivals == []


def _stops(started: Started) -> None:
    started.signal(signal.SIGTERM)
    assert started.wait() == 143
    assert started.stderr.startswith(INTERRUPTED)


def test_what_cannot_be_stopped_is_left_behind(programs: Programs, job: Path) -> None:
    """A name server that does not answer holds a thread that nothing ends."""
    started = programs.start("run", job, "--base-url", "https://nobody.invalid/v2", deaf=True, longest_stop=0.2)
    until(lambda: (job.parent / "out/night/batchsum.log").exists())
    started.signal(signal.SIGTERM)
    assert started.wait() == 143


def test_the_second_signal_stops_at_once(programs: Programs, job: Path) -> None:
    started = programs.start("run", job, "--base-url", "https://nobody.invalid/v2", deaf=True, longest_stop=3600)
    until(lambda: (job.parent / "out/night/batchsum.log").exists())
    started.signal(signal.SIGTERM)
    started.signal(signal.SIGINT)
    assert started.wait() in (130, 143)
