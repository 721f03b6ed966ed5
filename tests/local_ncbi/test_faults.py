"""Faults on demand: each seen from the client's side, and every bad line explained."""

import http.client
import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.local_ncbi.faults import FaultPlan, duration_seconds, parse_fault
from tests.fakes.local_ncbi_server import Served, serving

PATH = "/virus/taxon/11320/genome"
TODAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def healthy() -> Iterator[Served]:
    with serving(as_of=TODAY) as served:
        yield served


def raw_answer(base_url: str, path: str = PATH) -> bytes:
    """Every byte until the server closes; a reset raises ConnectionResetError."""
    parts = urlsplit(base_url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(f"GET {parts.path}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_status_for_one_taxon_the_first_times() -> None:
    with serving(faults=["taxon=11320 status=503 times=2 retry-after=3"]) as served:
        replies = [served.ask(PATH) for _ in range(3)]
        by_name = served.ask("/virus/taxon/Influenza%20A%20virus/genome")
        other = served.ask("/virus/taxon/11520/genome")
    assert [reply.status for reply in replies] == [503, 503, 200]
    assert replies[0].json["code"] == 14
    assert replies[0].headers["Retry-After"] == "3"
    assert by_name.status == 503, "the same taxon under its name is another question about it"
    assert other.status == 200


def test_share_is_about_that_share_and_the_same_each_time() -> None:
    def statuses() -> list[int]:
        with serving(faults=["share=0.2 status=429"]) as served:
            return [served.ask("/version").status for _ in range(200)]

    first = statuses()
    assert first == statuses()
    assert 15 <= first.count(429) <= 70


def test_faults_by_endpoint() -> None:
    with serving(faults=["endpoint=taxonomy status=500"]) as served:
        assert served.ask("/taxonomy/dataset_report", body={"taxons": ["11320"]}).status == 500
        assert served.ask(PATH).status == 200


def test_after_and_for_count_from_the_first_request() -> None:
    plan = FaultPlan([parse_fault("after=10s for=30s outage")])
    begun = 1000.0
    seen = [plan.effects("GET /x", "summary", set(), begun + seconds).breakage for seconds in (0, 9.9, 10, 39.9, 40)]
    assert seen == ["", "", "outage", "outage", ""]


@pytest.mark.parametrize("spec", ["outage", "after=0s for=1h outage"])
def test_outage_gives_no_answer(spec: str) -> None:
    with serving(faults=[spec]) as served:
        for path in (PATH, "/version", "/nope"):
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                served.ask(path)


def test_truncated_body() -> None:
    with serving(faults=["truncate"]) as served:
        with pytest.raises(http.client.IncompleteRead):
            served.ask(PATH)
        head, _, body = raw_answer(served.base_url).partition(b"\r\n\r\n")
    promised = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
    assert len(body) == promised // 2


def test_reset_in_the_body() -> None:
    with serving(faults=["reset"]) as served, pytest.raises(ConnectionResetError):
        raw_answer(served.base_url)


def test_page_of_html_as_for_a_blocked_address() -> None:
    with serving(faults=["html403"]) as served:
        reply = served.ask(PATH)
    assert (reply.status, reply.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert b"<title>403 Error - NCBI</title>" in reply.body


@pytest.mark.parametrize(("spec", "body"), [("empty", b""), ("garbage", b'{"record_count": 12')])
def test_bodies_that_are_no_answer(spec: str, body: bytes) -> None:
    with serving(faults=[spec]) as served:
        reply = served.ask(PATH)
    assert (reply.status, reply.body) == (200, body)


def test_error_inside_a_200() -> None:
    with serving(faults=["error"]) as served:
        reply = served.ask(PATH)
    assert reply.status == 200
    assert reply.json["errors"][0]["message"]
    assert "record_count" not in reply.json


def test_wrong_counts(healthy: Served) -> None:
    right = healthy.count(11320)
    faults = ["taxon=11320 count=*0.4", "taxon=11520 count=7", "taxon=10244 count=none", "taxon=11676 count=null"]
    with serving(as_of=TODAY, faults=faults) as served:
        assert served.count(11320) == int(right * 0.4)
        assert served.ask("/virus/taxon/11320/dataset_report").json["total_count"] == int(right * 0.4)
        assert served.count(11520) == 7
        left_out = served.summary(10244)
        assert "record_count" not in left_out
        assert left_out["hydrated"]
        assert served.summary(11676)["record_count"] is None
        assert served.count(2697049) == healthy.count(2697049)


def test_stale_is_the_answer_of_that_day() -> None:
    with serving(as_of=TODAY, faults=["stale=30d"]) as late, serving(as_of=TODAY - timedelta(days=30)) as then:
        stale, true = late.summary(2697049), then.summary(2697049)
    assert (stale["record_count"], stale["resource_updated_on"]) == (true["record_count"], true["resource_updated_on"])


def test_a_copy_that_lags_gives_its_data_and_its_date_together() -> None:
    """One request in two meets the copy; the same question gets one state or the other, and never a mixture."""
    then_day = TODAY - timedelta(days=30)
    with serving(as_of=TODAY) as now, serving(as_of=then_day) as then:
        states = {(f"{day}T14:33:00Z", served.count(2697049)) for day, served in ((TODAY, now), (then_day, then))}
    with serving(as_of=TODAY, faults=["share=0.5 stale=30d"]) as served:
        answers = [served.summary(2697049) for _ in range(60)]
    seen = Counter((answer["resource_updated_on"], answer["record_count"]) for answer in answers)
    assert set(seen) == states
    assert min(seen.values()) >= 15


def test_zero_is_left_out_on_demand() -> None:
    with serving(faults=["zero=omit"]) as served:
        assert served.summary(11320, usa_state="ZZ") == {}
        assert served.ask("/virus/taxon/11320/dataset_report", {"filter.usa_state": "ZZ"}).json == {}
        assert served.count(11320) > 0


def test_slow_answers_come_whole(healthy: Served) -> None:
    with serving(as_of=TODAY, faults=["taxon=11320 drip=0.1ms", "taxon=11520 delay=50ms"], latency="1ms") as served:
        assert served.count(11320) == healthy.count(11320)
        assert served.count(11520) == healthy.count(11520)


def test_a_dripping_or_delayed_answer_does_not_hold_the_server_open() -> None:
    with serving(faults=["taxon=11320 drip=1h", "delay=1h"]) as served:
        parts = urlsplit(served.base_url)
        for path in (PATH, "/version"):
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=0.2)
            with closing(connection):
                connection.request("GET", f"{parts.path}{path}")
                with pytest.raises(TimeoutError):
                    connection.getresponse().read()


@pytest.mark.parametrize("breakage", ["status=503", "html403", "garbage", "error"])
def test_a_broken_answer_drips_too(breakage: str) -> None:
    with serving(faults=[f"drip=1h {breakage}"]) as served:
        parts = urlsplit(served.base_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=0.2)
        with closing(connection):
            connection.request("GET", f"{parts.path}{PATH}")
            with pytest.raises(TimeoutError):
                connection.getresponse().read()


def test_retry_after_alone_is_for_the_servers_own_limit() -> None:
    with serving(requests_per_second=1, faults=["retry-after=2"]) as served:
        replies = [served.ask("/version") for _ in range(3)]
    refused = [reply for reply in replies if reply.status == 429]
    assert refused
    assert {reply.headers["Retry-After"] for reply in refused} == {"2"}


def test_two_faults_meet_in_one_answer() -> None:
    plan = FaultPlan([parse_fault("delay=2s"), parse_fault("status=503 retry-after=4"), parse_fault("status=500")])
    effects = plan.effects("GET /x", "summary", set(), 0.0)
    assert (effects.delay, effects.status, effects.retry_after) == (2.0, 503, 4)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "nothing happens"),
        ("taxon=11320", "add an effect"),
        ("taxon=11320 status", "'status' needs a value, such as status=503"),
        ("status=200", "from 300 to 599"),
        ("status=five", "from 300 to 599"),
        ("share=5% status=503", "share from 0 to 1"),
        ("share=1.5 status=503", "share from 0 to 1"),
        ("times=0 status=503", "1 or more"),
        ("after=10 outage", "write it as 200ms, 30s"),
        ("for=soon outage", "write it as 200ms, 30s"),
        ("explode", "'explode' is no word of a fault"),
        ("colour=red status=503", "known are taxon, endpoint, share"),
        ("status=503 status=500", "'status' is given twice"),
        ("status=503 outage", "in one way only"),
        ("truncate reset", "in one way only"),
        ("count=40% ", r"count=\*0\.4"),
        ("count=-5", r"count=\*0\.4"),
        ("stale=2h", "whole days"),
        ("zero=left", "one of omit"),
        ("endpoint=everything status=503", "one of summary, report, taxonomy, version"),
        ("taxon= status=503", "'taxon=' is empty"),
        ('taxon="Influenza A virus status=503', "quotation mark is not closed"),
        ("html200", "no word of a fault"),
    ],
)
def test_bad_lines_say_what_to_write(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_fault(spec)
    assert repr(spec) in str(caught.value)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["taxon=", "status=503", "share=0.1", "times=2", "outage", "drip", "="])).map(" ".join)
)
def test_any_line_is_a_fault_or_a_message(spec: str) -> None:
    message = ""
    try:
        fault = parse_fault(spec)
    except ValueError as exc:
        message = str(exc)
    assert message.startswith("fault ") or fault.effects


@pytest.mark.parametrize(
    ("text", "seconds"), [("200ms", 0.2), ("30s", 30), ("1.5s", 1.5), ("10m", 600), ("6h", 21600), ("7d", 604800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1 s", "1e3s", "\u0661s", "1w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 200ms"):
        duration_seconds(text)


def test_an_unknown_taxon_is_refused_with_a_fault_too() -> None:
    with serving(faults=["taxon=11320 count=*0.4"]) as served:
        assert served.ask("/virus/taxon/9606/genome").status == 400
        assert served.ask("/virus/genome", body=json.dumps({"taxon": "\ud800"}).encode()).status == 400
