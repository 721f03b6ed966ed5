"""What no client should send: always an answer or a closed connection, never a 5xx, never a hang."""

import gzip
import json
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.local_ncbi_server import Served, serving

PREFIX = b"/datasets/v2"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


def exchange(server: Served, sent: bytes, *, half_close: bool = False) -> bytes:
    """Send these bytes; everything that came back until the server closed. Fails where it never does."""
    parts = urlsplit(server.base_url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        received = b""
        try:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
        return received


def statuses(received: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", received)]


def request(target: bytes, method: bytes = b"GET", headers: bytes = b"", body: bytes = b"") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n" + body


def post(body: bytes, headers: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n".encode()
    return request(PREFIX + b"/virus/genome", b"POST", length + headers, body)


SUMMARY = PREFIX + b"/virus/taxon/11320/genome"
HOSTILE = {
    "nothing": b"",
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "blank lines": b"\r\n\r\n\r\n",
    "huge target": request(PREFIX + b"/virus/taxon/" + b"a" * 100_000 + b"/genome"),
    "huge query": request(SUMMARY + b"?" + b"&".join([b"accessions=NC_045512.2"] * 5000)),
    "huge header": request(SUMMARY, headers=b"X: " + b"a" * 1_000_000 + b"\r\n"),
    "many headers": request(SUMMARY, headers=b"".join(b"X-%d: y\r\n" % n for n in range(20_000))),
    "null in header": request(SUMMARY, headers=b"X: a\x00b\r\n"),
    "null in target": request(PREFIX + b"/virus/taxon/a\x00b/genome"),
    "raw bytes in target": request(PREFIX + b"/virus/taxon/\xff\xfe/genome"),
    "fragment in target": request(SUMMARY + b"#x"),
    "absolute target": request(b"http://example.org" + SUMMARY),
    "star": request(b"*", b"OPTIONS"),
    "connect": request(b"example.org:443", b"CONNECT"),
    "made-up method": request(SUMMARY, b"FROBNICATE"),
    "header injection by phid": request(SUMMARY, headers=b"NCBI-PHID: a%0d%0aX-Evil: 1\r\n"),
    "bad length": request(PREFIX + b"/virus/genome", b"POST", b"Content-Length: -5\r\n"),
    "two lengths": request(PREFIX + b"/virus/genome", b"POST", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"{}   "),
    "chunked nonsense": request(
        PREFIX + b"/virus/genome", b"POST", b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"
    ),
    "body cut short": request(PREFIX + b"/virus/genome", b"POST", b"Content-Length: 500\r\n", b"{"),
    "body on a get": request(SUMMARY, headers=b"Content-Length: 3\r\n", body=b"abc"),
    "huge body": post(b" " * 9_000_000),
    "gzip bomb": post(gzip.compress(b" " * 30_000_000), b"Content-Encoding: gzip\r\n"),
    "gzip that is none": post(b"not gzip at all", b"Content-Encoding: gzip\r\n"),
    "nested json": post(b"[" * 200_000),
    "nested fields": post(b'{"taxon":' * 50_000 + b"1" + b"}" * 50_000),
    "bad json": post(b'{"taxon": '),
    "nan": post(b'{"taxon": NaN}'),
    "huge number": post(b'{"page_size": ' + b"9" * 10_000 + b"}"),
    "bad utf-8": post(b'{"taxon": "\xff"}'),
    "half a surrogate": post(b'{"taxon": "\\ud800"}'),
    "half a surrogate as field": post(b'{"\\ud800": 1}'),
    "utf-16": post('{"taxon": "11320"}'.encode("utf-16")),
    "null byte": post(b'{"taxon": "\\u0000"}'),
    "bad utf-8 in query": request(SUMMARY + b"?host=%ff"),
    "bad utf-8 in path": request(PREFIX + b"/virus/taxon/%ff/genome"),
    "many parameters": request(SUMMARY + b"?" + b"&" * 8000),
}
# They promise more than they send: the server waits until the client is gone.
UNFINISHED = {"nothing", "not http", "blank lines", "body cut short"}
# Answered before they are read whole, so that the answer may get lost in the reset of the connection.
TOO_LARGE = {"huge target", "huge header", "many headers", "huge body"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests(server: Served, name: str) -> None:
    received = exchange(server, HOSTILE[name], half_close=name in UNFINISHED)
    assert all(status < 500 for status in statuses(received)), received[:300]
    assert statuses(received) or name in UNFINISHED | TOO_LARGE
    assert b"X-Evil" not in received.partition(b"\r\n\r\n")[0]
    assert server.ask("/version").status == 200, "and it goes on"


def test_pipelined_requests_are_all_answered(server: Served) -> None:
    alive = request(SUMMARY).replace(b"Connection: close\r\n", b"")
    assert statuses(exchange(server, alive * 49 + request(SUMMARY))) == [200] * 50


def test_large_bodies_are_refused_with_words(server: Served) -> None:
    reply = server.ask("/virus/genome", body=b"[" + b"1," * 4_100_000 + b"1]")
    assert (reply.status, "8000000" in reply.json["message"]) == (413, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
fields = ["taxon", "taxons", "accessions", "refseq_only", "released_since", "host", "filter", "page_size", "page_token",
          "taxon_query", "children", "ranks", "include_sequence", "returned_content", "exact_match"]  # fmt: skip
bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bounded
@given(
    path=st.sampled_from(
        ["/virus/genome", "/virus", "/taxonomy/dataset_report", "/taxonomy", "/taxonomy/taxon_suggest"]
    ),
    body=st.dictionaries(st.sampled_from(fields), json_values | st.just("11320"), max_size=5),
)
def test_any_body_is_answered_or_refused(server: Served, path: str, body: object) -> None:
    reply = server.ask(path, body=json.dumps(body).encode())
    assert reply.status in (200, 400)
    assert isinstance(reply.json, dict)


@bounded
@given(target=st.binary(max_size=60).map(lambda raw: bytes(b for b in raw if b > 32 and b not in b"\x7f")))
def test_any_target_is_answered_or_refused(server: Served, target: bytes) -> None:
    for prefix in (b"/", PREFIX + b"/virus/taxon/", SUMMARY + b"?", SUMMARY + b"?host="):
        received = exchange(server, request(prefix + target))
        assert all(status < 500 for status in statuses(received)), received[:300]
