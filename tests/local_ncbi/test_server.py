"""The socket and the process around the gateway: limits, headers, options, start and stop."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from batchsum.local_ncbi.server import RateLimit
from batchsum.local_ncbi.summary import last_update
from tests.fakes.local_ncbi_server import Served, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(as_of=date(2026, 11, 20)) as served:
        yield served


def test_every_answer_names_its_call(server: Served) -> None:
    reply = server.ask("/version", headers={"NCBI-PHID": "ABC123.7"})
    assert reply.headers["NCBI-PHID"].startswith("ABC123.7.")
    assert re.fullmatch(r"[0-9A-F]{32}\.1\.1\.m_1", server.ask("/nope").headers["NCBI-PHID"])
    assert "X-Datasets-Version" in reply.headers
    assert "X-RateLimit-Limit" not in reply.headers


def test_limit_is_ncbis_without_and_with_a_key() -> None:
    with serving(requests_per_second="ncbi") as served:
        bare = [served.ask("/version") for _ in range(7)]
        keyed = [served.ask("/version", headers={"api-key": "secret"}) for _ in range(11)]
        in_query = served.ask("/version", {"api_key": "other"})
    assert [reply.headers["X-RateLimit-Limit"] for reply in bare] == ["5"] * 7
    assert bare[0].headers["X-RateLimit-Remaining"] == "4"
    refused = [reply for reply in bare if reply.status == 429]
    assert refused, "seven requests at once fit into no second of five"
    assert refused[0].json["error"] == "API rate limit exceeded"
    assert refused[0].headers["X-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in refused[0].headers
    assert keyed[0].headers["X-RateLimit-Limit"] == in_query.headers["X-RateLimit-Limit"] == "10"
    assert [reply.status for reply in keyed[:10]] == [200] * 10


@pytest.mark.parametrize(("hour", "minute", "day"), [(0, 0, 19), (14, 32, 19), (14, 33, 20), (23, 59, 20)])
def test_the_data_are_never_of_the_future(hour: int, minute: int, day: int) -> None:
    assert last_update(datetime(2026, 11, 20, hour, minute, tzinfo=UTC)) == date(2026, 11, day)


def test_window_slides() -> None:
    """In no second, wherever it begins, more are granted than the limit; refused ones do not count."""
    limit = RateLimit("ncbi")
    granted = []
    for step in range(4000):
        now = step / 1000
        allowance = limit.ask("somebody", has_key=False, now=now)
        assert allowance is not None
        if allowance.granted:
            granted.append(now)
    assert len(granted) == 20
    assert all(late - early >= 1 for early, late in pairwise(granted[::5]))


def test_limit_below_one_a_second() -> None:
    limit = RateLimit(0.5)
    seen = [limit.ask("somebody", has_key=False, now=now) for now in (0.0, 1.9, 2.0)]
    assert [allowance and allowance.granted for allowance in seen] == [True, False, True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"as_of": date(1999, 12, 31)}, "as-of 1999-12-31"),
        ({"port": 99999}, "from 0 to 65535"),
        ({"requests_per_second": 0}, "above zero"),
        ({"latency": "soon"}, "write it as 200ms"),
        ({"faults": ["taxon=11320"]}, "nothing happens"),
    ],
)
def test_bad_options_are_told(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words), serving(**options):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground_prints_its_address_and_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    record.write_text('{"accession": "X.1", "virus": {"taxId": 2697049}}\n')
    program = (
        "import asyncio, pathlib, sys; from batchsum.local_ncbi.server import serve_forever;"
        " asyncio.run(serve_forever(port=0, catalogue=[pathlib.Path(sys.argv[1])]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(record)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/datasets/v2", base_url)
        assert Served(base_url).count(2697049) == 1
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, rest, errors) == (0, "", "")
