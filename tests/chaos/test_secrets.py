"""A canary key is searched for in every byte that a run leaves, while the server repeats it wherever it can."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.programs import Programs, until
from tests.fakes.raw_server import RawServer, answer, never, raw_server, redirect, summary

KEY = "c4n4ry0123456789abcdef0123456789abcd"
JOB = """\
version: 1
name: night
taxa: [1, 2, 3, 4, 5, 6, 7, 8]
api: {requests_per_second: unlimited, attempts: 2}
output: {formats: [csv, tsv, jsonl]}
"""
ECHO = {"NCBI-PHID": f"PHID-{KEY}", "X-Datasets-User-Message": KEY, "Retry-After": KEY, "X-RateLimit-Limit": KEY}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "key").chmod(0o600)
    path = tmp_path / "night.yaml"
    path.write_text(JOB)
    return path


@pytest.fixture
def echo(raw: RawServer) -> Iterator[RawServer]:
    message = f"the key {KEY} is fine"
    raw.on("1", answer(200, {"record_count": 7, "messages": [{"warning": {"message": message}}]}, ECHO))
    raw.on("2", answer(404, {"code": 5, "message": f"taxon 2 not found; {message}"}, ECHO))
    raw.on("3", answer(500, {"code": 13, "message": message}, ECHO, reason=message))
    raw.on("4", answer(200, {"errors": [{"message": message}]}, ECHO))
    raw.on("5", answer(429, KEY, ECHO))
    raw.on("6", answer(200, f'{{"record_count": "{KEY}"}}', ECHO))
    raw.on("7", answer(200, {"record_count": 7, "resource_updated_on": KEY, "hydrated": {"url": f"https://{KEY}"}}))
    raw.on("8", answer(200, {"record_count": 7, "hydrated": {"url": f"https://x/?api_key={KEY}"}}, ECHO))
    return raw


def assert_nowhere(job: Path, programs: Programs) -> None:
    assert programs.last
    left = [path for path in (job.parent / "out").rglob("*") if path.is_file()]
    left += [path for path in programs.last.directory.iterdir() if path.is_file()]
    assert len(left) > 4
    for path in left:
        assert KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_key_is_nowhere(programs: Programs, echo: RawServer, job: Path, form: str) -> None:
    options = ("--api-key-file", job.parent / "key", "-v", "--log-format", form)
    assert programs.run("run", job, "--base-url", echo.base_url, *options) == 3
    assert {arrival.headers["api-key"] for arrival in echo.arrivals} == {KEY}
    assert all(KEY not in arrival.target for arrival in echo.arrivals)
    assert "[key]" in (job.parent / "out/night/summary.csv").read_text()
    assert_nowhere(job, programs)


def test_the_key_follows_no_redirect(programs: Programs, raw: RawServer, job: Path) -> None:
    with raw_server() as other:
        raw.always(redirect(f"{other.base_url}/{KEY}"))
        assert programs.run("run", job, "--base-url", raw.base_url, "-v", env={"NCBI_API_KEY": KEY}) == 5
        assert other.connections == 0
    assert_nowhere(job, programs)


def test_the_key_is_in_no_process_list(raw: RawServer, job: Path) -> None:
    """Asked with a key from a file, by a process of its own, which has no children to tell it to."""
    raw.always(never)
    command = [sys.executable, "-m", "batchsum", "run", str(job), "--base-url", raw.base_url]
    process = subprocess.Popen([*command, "--api-key-file", str(job.parent / "key")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: raw.arrivals)
        lists = [path.read_bytes() for path in Path(f"/proc/{process.pid}").glob("task/*/comm")]
        lists += [Path(f"/proc/{process.pid}/cmdline").read_bytes(), Path(f"/proc/{process.pid}/environ").read_bytes()]
        children = [path.read_text() for path in Path(f"/proc/{process.pid}").glob("task/*/children")]
    finally:
        process.terminate()
        process.wait()
    assert raw.arrivals[0].headers["api-key"] == KEY
    assert not any(KEY.encode() in text for text in lists)
    assert "".join(children) == ""


def test_an_option_with_the_key_is_refused_without_repeating_it(programs: Programs, raw: RawServer, job: Path) -> None:
    for option in (["--api-key", KEY], [f"--api-key={KEY}"]):
        assert programs.run("run", job, "--base-url", raw.base_url, *option) == 2
        assert programs.last
        assert KEY not in programs.last.stderr + programs.last.stdout
        assert "--api-key-file" in programs.last.stderr
    assert raw.arrivals == []


def test_no_key_is_sent_where_there_is_none(programs: Programs, raw: RawServer, job: Path) -> None:
    raw.always(summary())
    assert programs.run("run", job, "--base-url", raw.base_url) == 0
    assert all("api-key" not in arrival.headers for arrival in raw.arrivals)
