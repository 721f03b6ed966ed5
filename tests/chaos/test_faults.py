"""One question of a night meets a fault: status, what `error` begins with, exit code, and how often it is asked."""

import csv
from pathlib import Path

import pytest

from tests.builders.jobs import write_job
from tests.chaos.programs import Programs
from tests.fakes import raw_server as serve
from tests.fakes.raw_server import Behaviour, RawServer

JOB = """\
version: 1
name: night
taxa: [11520, 11320, 1335626]
api: {requests_per_second: unlimited, attempts: 2, timeout: 1s}
"""
GOOD = serve.summary()
HTML = b"<html><body>Bad Gateway</body></html>"
FAULTS: list[tuple[str, list[Behaviour], str, str, int, int]] = [
    # Refused for good: one question.
    ("400", [serve.error(400, "no such parameter")], "rejected", "bad_request:", 3, 1),
    ("404", [serve.error(404, "taxon 11320 is not found")], "rejected", "unknown_taxon:", 3, 1),
    (
        "error in a 200",
        [serve.answer(200, {"errors": [{"message": "The taxon '11320' is not a recognized taxonomy name"}]})],
        "rejected", "unknown_taxon:", 3, 1,
    ),
    # Refused alone, while the canary is answered.
    ("403", [serve.error(403)], "rejected", "http_403:", 3, 1),
    ("308", [serve.redirect("https://elsewhere.invalid/", 308)], "rejected", "http_308:", 3, 1),
    # Passing: asked until it is answered.
    ("503, then well", [serve.error(503), GOOD], "ok", "", 0, 2),
    ("429, then well", [serve.too_many("1"), GOOD], "ok", "", 0, 2),
    ("500 for the whole first round", [serve.error(500), serve.error(500), GOOD], "ok", "", 0, 3),
    ("reset, then well", [serve.reset, GOOD], "ok", "", 0, 2),
    # Lasting: two attempts, and one more at the end of the night.
    ("500", [serve.error(500)], "failed", "http_500:", 3, 3),
    ("502 in HTML", [serve.answer(502, HTML)], "failed", "http_502:", 3, 3),
    ("504", [serve.error(504)], "failed", "http_504:", 3, 3),
    ("400 in HTML", [serve.answer(400, HTML)], "failed", "http_400:", 3, 3),
    ("405", [serve.error(405)], "failed", "http_405:", 3, 3),
    ("501", [serve.error(501)], "failed", "http_501:", 3, 3),
    ("trouble in a 200", [serve.answer(200, {"code": 14, "message": "upstream"})], "failed", "bad_answer:", 3, 3),
    ("429", [serve.too_many()], "failed", "http_429:", 3, 3),
    ("299", [serve.answer(299, {"record_count": 7})], "failed", "bad_answer:", 3, 3),
    # What looks like an answer and is none.
    ("an empty body", [serve.answer(200, b"")], "failed", "bad_answer:", 3, 3),
    ("HTML", [serve.answer(200, HTML)], "failed", "bad_answer:", 3, 3),
    ("JSON cut off", [serve.answer(200, b'{"record_count": 12')], "failed", "bad_answer:", 3, 3),
    ("cut off without length", [serve.cut({"record_count": 12}, 15, with_length=False)], "failed", "bad_answer:", 3, 3),
    ("a list", [serve.answer(200, [{"record_count": 7}])], "failed", "bad_answer:", 3, 3),
    ("NaN", [serve.answer(200, serve.NAN_JSON)], "failed", "bad_answer:", 3, 3),
    ("null", [serve.answer(200, {"record_count": None})], "failed", "bad_answer:", 3, 3),
    ("below zero", [serve.answer(200, {"record_count": -1})], "failed", "bad_answer:", 3, 3),
    ("a half", [serve.answer(200, {"record_count": 7.5})], "failed", "bad_answer:", 3, 3),
    ("a key twice", [serve.answer(200, serve.DUPLICATE_KEYS)], "failed", "bad_answer:", 3, 3),
    ("nested too deeply", [serve.answer(200, serve.NESTED_JSON)], "failed", "bad_answer:", 3, 3),
    ("a bomb of gzip", [serve.gzip_bomb(64)], "failed", "bad_answer:", 3, 3),
    ("no count, but sizes", [serve.answer(200, {"hydrated": {"estimated_file_size_mb": 4}})],
     "suspect", "contradicts_itself:", 3, 2),
    # The way there.
    ("hung up", [serve.hang_up], "failed", "connection:", 3, 3),
    ("reset", [serve.reset], "failed", "connection:", 3, 3),
    ("cut off", [serve.cut({"record_count": 12}, 10)], "failed", "connection:", 3, 3),
    ("no HTTP", [serve.bad_status_line()], "failed", "connection:", 3, 3),
    ("a huge header", [serve.huge_header()], "failed", "connection:", 3, 3),
    ("no answer", [serve.never], "failed", "timeout:", 3, 3),
    ("a slow drip", [serve.drip({"record_count": 7, "assembly_count": 7}, 0.2)], "failed", "timeout:", 3, 3),
    # Well, though it may not look so.
    ("nothing at all", [serve.answer(200, {})], "empty", "", 0, 1),
    ("zero", [serve.answer(200, {"record_count": 0})], "empty", "", 0, 1),
    ("packed", [serve.answer(200, {"record_count": 7}, compress=True)], "ok", "", 0, 1),
    ("without length", [serve.answer(200, {"record_count": 7}, with_length=False)], "ok", "", 0, 1),
]  # fmt: skip
REFUSALS: list[tuple[str, Behaviour, str]] = [
    ("redirect", serve.redirect("https://elsewhere.invalid/v2"), "write its address as base_url"),
    ("401", serve.error(401, "API key invalid"), "API key"),
    ("403", serve.answer(403, b"<html>blocked</html>"), "blocked"),
]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(tmp_path, JOB)


@pytest.mark.parametrize(
    ("behaviours", "status", "error", "code", "asked"), [fault[1:] for fault in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_a_fault_costs_its_own_row(
    programs: Programs, raw: RawServer, job: Path, behaviours: list[Behaviour], status: str, error: str, code: int,
    asked: int,
) -> None:  # fmt: skip
    raw.on("11320", *behaviours)
    assert programs.run("run", job, "--base-url", raw.base_url) == code, programs.stderr
    with (job.parent / "out/night/summary.csv").open(newline="") as file:
        rows = {row["taxon"]: row for row in csv.DictReader(file)}
    row = rows["11320"]
    assert row["status"] == status
    assert row["error"].startswith(error)
    assert bool(row["error"]) == bool(error)
    assert bool(row["record_count"]) == (status in ("ok", "empty"))
    assert {rows[taxon]["status"] for taxon in ("11520", "1335626")} == {"ok"}
    assert raw.counts["11320"] == asked
    assert raw.counts["11520"] == raw.counts["1335626"] == 1
    assert raw.counts["2697049"] <= 1
    if error:
        assert f"11320 / all: {error}" in programs.stderr


@pytest.mark.parametrize(("behaviour", "words"), [one[1:] for one in REFUSALS], ids=[one[0] for one in REFUSALS])
def test_refusals_stop_the_night_at_once(
    programs: Programs, raw: RawServer, job: Path, behaviour: Behaviour, words: str
) -> None:
    job.write_text(JOB.replace("11520, 11320, 1335626", ", ".join(map(str, range(1, 300)))))
    raw.always(behaviour)
    assert programs.run("run", job, "--base-url", raw.base_url, "--workers", "4") == 5
    first, *notes = programs.stderr.splitlines()
    assert first.startswith("batchsum: ")
    assert words in first
    assert len(raw.arrivals) <= 4 + 1  # and the canary
    assert any(note.startswith("  run: ") for note in notes)
    assert not (job.parent / "out/night/summary.csv").exists()
    # The run waits: once the server takes us, the same command asks what is left.
    raw.always(GOOD)
    assert programs.run("run", job, "--base-url", raw.base_url) == 0


def test_a_certificate_of_nobody_stops_the_night(programs: Programs, job: Path) -> None:
    with serve.raw_server(tls=True) as server:
        assert programs.run("run", job, "--base-url", server.base_url) == 5
        assert "TLS with 127.0.0.1 failed" in programs.stderr
        assert server.arrivals == []


def test_nobody_there_leaves_last_nights_files_alone(programs: Programs, job: Path) -> None:
    url = f"http://127.0.0.1:{serve.refused_port()}/v2"
    job.write_text(JOB.replace("timeout: 1s", "timeout: 1s, max_outage: 1s"))
    assert programs.run("run", job, "--base-url", url) == 4
    first, *notes = programs.stderr.splitlines()
    assert first.startswith("batchsum: nothing usable")
    assert any("3 skipped: outage: 11520 / all: outage:" in note for note in notes)
    assert not (job.parent / "out/night/summary.csv").exists()
