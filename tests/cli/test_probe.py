"""The probe against the embedded server, and against servers that are not as batchsum takes them to be."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from batchsum.cli import main
from batchsum.cli.probe import MOST_KEPT, MOST_SILENT, ask_all, questions
from batchsum.ncbi.pacing import Pacer
from tests.fakes.local_ncbi_server import serving
from tests.fakes.raw_server import RawServer, answer, error, redirect, too_many

KEY = "0123456789abcdef0123456789abcdef0123"


def probe(directory: Path, base_url: str, *options: str) -> tuple[int, dict[str, Any]]:
    code = main(["probe", "--base-url", base_url, "--out", str(directory), *options])
    return code, json.loads((directory / "probe.json").read_text(encoding="utf-8"))


def verdicts(document: dict[str, Any]) -> dict[str, bool | None]:
    return {one["name"]: one["as_expected"] for one in document["exchanges"]}


def key_file(directory: Path) -> str:
    path = directory / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("faults", [[], ["zero=omit"]])
def test_all_that_is_assumed_holds_for_the_embedded_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], faults: list[str]
) -> None:
    with serving(faults=faults, requests_per_second=1000) as server:
        code, document = probe(tmp_path, server.base_url)
    assert code == 0
    found = verdicts(document)
    judged = [question.name for question in questions(datetime.now(UTC).date()) if question.expected]
    assert [name for name, as_expected in found.items() if as_expected] == judged
    assert set(found.values()) == {True, None}
    shown = capsys.readouterr()
    asked = [question.name for question in questions(datetime.now(UTC).date())]
    assert [line.split()[0] for line in shown.err.splitlines()[1:-1]] == asked
    assert [line.split()[0] for line in shown.out.splitlines()[1 : 1 + len(asked)]] == asked
    assert shown.out.count("  expected  ") == len(judged)
    assert f"0 records, record_count {'left out' if faults else 'sent'}\n" in shown.out
    assert "\nX-RateLimit-Limit: 1000\nNCBI-PHID: " in shown.out
    assert shown.out.endswith("\nRetry-After: not seen\n")


def test_the_file_is_a_fixture_of_what_was_said(tmp_path: Path) -> None:
    with serving(requests_per_second=1000) as server:
        _, document = probe(tmp_path, server.base_url)
        known = next(one for one in document["exchanges"] if one["name"] == "known")
        assert json.loads(known["body"]) == server.ask("/virus/taxon/2697049/genome").json
    assert known["status"] == 200
    assert known["request"] == "GET /virus/taxon/2697049/genome"
    assert known["headers"]["X-RateLimit-Limit"] == "1000"


def test_no_question_breaks_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the moments of sending: a server on a busy machine can count two of them in another second."""
    sent, slot = list[float](), Pacer.slot

    async def noting(pacer: Pacer, can_send: Callable[[], bool] = lambda: True) -> float | None:
        at = await slot(pacer, can_send)
        assert at is not None
        sent.append(at)
        return at

    monkeypatch.setattr(Pacer, "slot", noting)
    with serving(requests_per_second=10) as server:
        _, document = probe(tmp_path, server.base_url, "--api-key-file", key_file(tmp_path))
    assert len(sent) == len(document["exchanges"]) >= 13
    assert all(later - earlier >= 1 for earlier, later in zip(sent, sent[10:], strict=False))


def test_nothing_secret_is_written(tmp_path: Path, raw: RawServer, capsys: pytest.CaptureFixture[str]) -> None:
    raw.always(
        answer(200, {"record_count": 7, "messages": [{"warning": {"message": f"your key is {KEY}"}}]},
               {"Set-Cookie": "session=SECRET", "X-Echo": KEY, "X-RateLimit-Limit": "5000"})
    )  # fmt: skip
    raw.on("Mus", answer(429, {"message": f"SECRET {KEY} of 192.0.2.7"}, {"Retry-After": "0.01"}))
    probe(tmp_path, raw.base_url, "--api-key-file", key_file(tmp_path))
    assert {arrival.headers.get("api-key") for arrival in raw.arrivals} == {KEY}
    written = (tmp_path / "probe.json").read_text()
    shown = capsys.readouterr()
    for text in (written, shown.out, shown.err):
        assert KEY not in text
        assert "SECRET" not in text
        assert "192.0.2.7" not in text
    assert "[key]" in written


@pytest.mark.usefixtures("netrc")
async def test_the_proxy_of_the_environment_hears_no_key_and_nobody_of_netrc(
    raw: RawServer, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(date(2026, 11, 20))[:1]
    await ask_all(elsewhere, KEY, asked, lambda seen: None)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{raw.port}")
    raw.always(answer(502, b""))
    await ask_all(elsewhere.replace("http:", "https:"), KEY, asked, lambda seen: None)
    plain, tunnel = raw.arrivals
    assert plain.target.startswith("http://ncbi.test/v2/virus/taxon/2697049")
    assert plain.headers["api-key"] == KEY
    assert tunnel.method == "CONNECT"
    assert KEY not in str(tunnel)
    assert "authorization" not in plain.headers.keys() | tunnel.headers.keys()


def test_a_429_that_happens_is_waited_for_and_asked_again_once(
    tmp_path: Path, raw: RawServer, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.always(answer(200, {"record_count": 7}, {"X-RateLimit-Limit": "5000"}))
    raw.on("Mus", too_many("0.01"))
    _, document = probe(tmp_path, raw.base_url)
    assert raw.counts["Mus"] == 2
    assert verdicts(document)["ambiguous"] is None
    assert "\nRetry-After: 0.01\n" in capsys.readouterr().out


def test_what_does_not_hold_is_said(tmp_path: Path, raw: RawServer, capsys: pytest.CaptureFixture[str]) -> None:
    raw.always(answer(200, {"record_count": 7, "assembly_count": 7}, {"X-RateLimit-Limit": "5000"}))
    raw.on("12216", answer(200, {"record_count": None}))
    raw.on("Lake trout rhabdovirus 903/87", error(404, "no such route"))
    code, document = probe(tmp_path, raw.base_url)
    assert code == 3
    found = verdicts(document)
    assert {name for name, one in found.items() if one} == {
        "known", "date_rfc3339", "post", "biosample_report", "lists"
    }  # fmt: skip
    assert {name for name, one in found.items() if one is None} == {"date_plain", "date_generated"}
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("zero ")]
    assert "  NOT expected  failed: bad_answer: record_count" in told


@pytest.mark.parametrize(
    "refusal", [answer(403, b"<html>blocked</html>"), answer(401), redirect("https://example.org/")]
)
def test_whoever_does_not_want_us_is_asked_no_more(
    tmp_path: Path, raw: RawServer, refusal: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.always(refusal)
    code, document = probe(tmp_path, raw.base_url)
    assert code == 5
    assert len(raw.arrivals) == len(document["exchanges"]) == 1
    assert "nothing more is asked" in capsys.readouterr().err


def test_large_bodies_are_cut(tmp_path: Path, raw: RawServer) -> None:
    raw.always(answer(200, b'{"messages": "' + b"x" * 2**20 + b'"}', {"X-RateLimit-Limit": "5000"}))
    _, document = probe(tmp_path, raw.base_url)
    assert {len(one["body"]) for one in document["exchanges"]} == {MOST_KEPT}


def test_a_server_that_is_away(tmp_path: Path, raw: RawServer) -> None:
    async def away(turn: Any) -> None:
        turn.reset()

    raw.always(away)
    code, document = probe(tmp_path, raw.base_url)
    assert code == 4
    assert [one["status"] for one in document["exchanges"]] == [None] * MOST_SILENT
    assert set(verdicts(document).values()) == {None}


@pytest.mark.parametrize("base_url", ["http://example.org/datasets/v2", "example.org", "https://me:pw@example.org"])
def test_an_address_that_may_not_be_asked(tmp_path: Path, base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--base-url", base_url, "--out", str(tmp_path)]) == 2
    assert "base URL" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_asked_where_the_answers_cannot_be_kept(
    tmp_path: Path, raw: RawServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "probe.json").mkdir()
    for out, words in ((tmp_path / "file", "File exists"), (tmp_path, "probe.json is not a file, and cannot be")):
        assert main(["probe", "--base-url", raw.base_url, "--out", str(out)]) == 6
        assert words in capsys.readouterr().err
    assert raw.arrivals == []
