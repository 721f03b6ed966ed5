"""One send, against a server that misbehaves byte by byte: what leaves this machine, and what is made of what comes."""

import asyncio
import gzip
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from batchsum.errors import Refused, UsageError
from batchsum.model.filters import FilterSet
from batchsum.model.queries import Failure, Request, Summary, request_key
from batchsum.ncbi.http import LARGEST_BODY, Response, Transport
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.refusals import is_refusal, refused
from batchsum.version import __version__
from tests.fakes import raw_server as play
from tests.fakes.raw_server import RawServer

KEY = "0123456789abcdef0123456789abcdef0123"
ASKED = Request("11320")
LONG_LIST = FilterSet(accessions=tuple(f"NC_{number:06}.1" for number in range(300)), complete_only=True)


def opened(base_url: str, *, key: str | None = KEY, **others: Any) -> Transport:
    options = {"contact": "me@lab.org", "timeout": 5.0, "connections": 4, **others}
    return Transport(base_url, Pacer(None), api_key=key, **options)


async def send(raw: RawServer, request: Request = ASKED, **options: Any) -> Response[Summary]:
    async with opened(raw.base_url, **options) as session:
        return await session.send(request)


async def failure(raw: RawServer, **options: Any) -> Failure:
    answer = (await send(raw, **options)).answer
    assert isinstance(answer, Failure), answer
    return answer


async def refusal(raw: RawServer, **options: Any) -> str:
    with pytest.raises(Refused) as caught:
        await send(raw, **options)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


# What leaves this machine


async def test_a_question_as_it_travels(raw: RawServer) -> None:
    filters = FilterSet(host="Homo sapiens", complete_only=True, include_sequence=("GENOME", "CDS"))
    exchange = await send(raw, Request("Influenza A virus", filters))
    (arrival,) = raw.arrivals
    assert arrival.method == "GET"
    assert arrival.target == (
        "/datasets/v2/virus/taxon/Influenza%20A%20virus/genome"
        "?host=Homo%20sapiens&complete_only=true&include_sequence=GENOME&include_sequence=CDS"
    )
    assert arrival.headers["user-agent"] == f"batchsum/{__version__} (me@lab.org)"
    assert arrival.headers["accept"] == "application/json"
    assert arrival.headers["api-key"] == KEY
    assert re.fullmatch("[0-9A-F]{32}", arrival.headers["ncbi-phid"])
    assert exchange.attempt.phid == arrival.headers["ncbi-phid"]
    assert isinstance(exchange.answer, Summary)
    assert exchange.answer.record_count == 7


async def test_without_a_key_there_is_no_header_for_it(raw: RawServer) -> None:
    await send(raw, key=None)
    assert "api-key" not in raw.arrivals[0].headers


@pytest.mark.parametrize(
    "taxon",
    [
        "A/Goose/Guangdong/1/96",
        "what?host=x#y",
        "100%25",
        "..%2f..",
        "../../taxonomy",
        "a+b & c;d=e",
        "'single' \"double\" `back`",
        "<script>\\",
        "Tick-borne é東🦠",
        "%2e%2e",
        "...",
        "~-_.",
        " ".join(["long"] * 40),
    ],
)
async def test_hostile_text_reaches_exactly_its_endpoint(raw: RawServer, taxon: str) -> None:
    await send(raw, Request(taxon, FilterSet(geo_location=taxon)))
    (arrival,) = raw.arrivals
    assert re.fullmatch("/datasets/v2/virus/taxon/[^/?#]+/genome", arrival.target.partition("?")[0])
    assert arrival.taxon == taxon
    assert arrival.parameters == [("geo_location", taxon)]


@pytest.mark.parametrize("taxon", [".", ".."])
async def test_what_would_reach_another_endpoint_is_not_sent(raw: RawServer, taxon: str) -> None:
    with pytest.raises(ValueError, match="not the name of a taxon"):
        await send(raw, Request(taxon))
    assert not raw.arrivals


async def test_a_long_list_goes_as_post(raw: RawServer) -> None:
    request = Request("A/B", LONG_LIST)
    await send(raw, request)
    (arrival,) = raw.arrivals
    assert (arrival.method, arrival.target) == ("POST", "/datasets/v2/virus/genome")
    assert arrival.headers["content-type"].startswith("application/json")
    assert arrival.headers["api-key"] == KEY
    assert json.loads(arrival.body) == {
        "taxon": "A/B", "accessions": list(LONG_LIST.accessions), "complete_only": True
    }  # fmt: skip


async def test_cookies_are_not_kept(raw: RawServer) -> None:
    raw.always(play.answer(200, {"record_count": 7}, {"Set-Cookie": "a=b; Path=/"}))
    async with opened(raw.base_url) as session:
        await session.send(ASKED)
        await session.send(ASKED)
    assert [arrival.headers.get("cookie") for arrival in raw.arrivals] == [None, None]


# What the answer says beside itself


async def test_the_servers_phid_and_pace_are_kept(raw: RawServer) -> None:
    raw.always(play.answer(429, b"", {"NCBI-PHID": "ABC", "X-RateLimit-Limit": "5", "Retry-After": "7", "Date": "x"}))
    exchange = await send(raw)
    assert (exchange.retry_after, exchange.rate_limit) == (7.0, 5.0)
    attempt = exchange.attempt
    assert (attempt.phid, attempt.http_status, attempt.outcome) == ("ABC", 429, "http_429")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", attempt.sent_at)
    assert attempt.seconds >= 0


@pytest.mark.parametrize("key", [None, KEY])
async def test_the_names_of_headers_may_be_in_any_case(raw: RawServer, key: str | None) -> None:
    raw.always(play.answer(429, {}, {"retry-after": "7", "x-ratelimit-limit": "3"}))
    async with opened(raw.base_url, key=key) as session:
        response = await session.send(ASKED)
    assert (response.retry_after, response.rate_limit) == (7.0, 3.0)


async def test_retry_after_as_a_date(raw: RawServer) -> None:
    sent, until = formatdate(1e9, usegmt=True), formatdate(1e9 + 30, usegmt=True)
    raw.always(play.answer(503, b"", {"Date": sent, "Retry-After": until}))
    assert (await send(raw)).retry_after == 30.0


@pytest.mark.parametrize("limit", ["0", "-1", "NaN", "inf", "ten", "10, 10;w=1", "1e9", "٣".encode().decode("latin-1")])
async def test_a_limit_that_is_no_number_is_none(raw: RawServer, limit: str) -> None:
    raw.always(play.answer(200, {"record_count": 7}, {"X-RateLimit-Limit": limit}))
    assert (await send(raw)).rate_limit is None


# Answers that are none


async def test_an_empty_200(raw: RawServer) -> None:
    raw.always(play.answer(200, b""))
    assert await failure(raw) == Failure("failed", "bad_answer", "the body is empty")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("with_length", [False, True])
async def test_a_body_that_is_cut_off(raw: RawServer, with_length: bool, compress: bool) -> None:
    raw.always(play.cut({"record_count": 7, "messages": []}, 20, with_length=with_length, compress=compress))
    assert (await failure(raw)).reason in ("connection", "bad_answer")


@pytest.mark.parametrize("at", [1, 12, 17])
async def test_a_number_that_is_cut_at_a_valid_point_is_no_answer(raw: RawServer, at: int) -> None:
    body = b'{"record_count": 1234567}'
    raw.always(play.cut(body, at + 2, with_length=False))
    assert (await failure(raw)).reason == "bad_answer"


@pytest.mark.parametrize(
    "body",
    [play.NESTED_JSON, play.NAN_JSON, play.DUPLICATE_KEYS],
    ids=["nested", "NaN", "duplicate"],
)
async def test_json_that_the_standard_parser_lets_pass(raw: RawServer, body: bytes) -> None:
    raw.always(play.answer(200, body))
    assert (await failure(raw)).reason == "bad_answer"


async def test_a_body_may_have_just_so_many_bytes(raw: RawServer) -> None:
    body = b'{"record_count": 7}'
    raw.first = [play.answer(200, body + b" " * (LARGEST_BODY - len(body) + more)) for more in (0, 1)]
    assert (await send(raw)).answer == Summary(7)
    assert await failure(raw) == Failure("failed", "bad_answer", "the body is larger than 4,194,304 bytes")


async def test_a_bomb_of_gzip_is_not_unpacked(raw: RawServer) -> None:
    raw.always(play.gzip_bomb(64))
    assert await failure(raw) == Failure("failed", "bad_answer", f"the body is larger than {LARGEST_BODY:,} bytes")


async def test_gzip_is_understood(raw: RawServer) -> None:
    raw.always(play.answer(200, {"record_count": 7}, compress=True))
    assert (await send(raw)).answer == Summary(7)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((b'{"record_', b'count": 7}'), "7"),
        ((b'{"record_count": 7}', b""), "7"),
        ((b"{}", b'{"record_count": 7}'), "bad_answer: the body is cut off or not JSON"),
        ((b'{"record_count": 7}', None), "bad_answer: this is no gzip"),
        ((b'{"record_count": 7}', b"", b"PADDING"), "7"),
        ((b"",) * 17, "bad_answer: the body is empty"),
    ],
)
async def test_every_member_of_a_gzip_counts(raw: RawServer, members: tuple[bytes | None, ...], said: str) -> None:
    padding = {None: b"rubbish", b"PADDING": b"\0" * 8}
    packed = b"".join(padding.get(one) or gzip.compress(one or b"") for one in members)
    raw.always(play.answer(200, packed, {"Content-Encoding": "gzip"}))
    answer = (await send(raw)).answer
    assert said == (str(answer.record_count) if isinstance(answer, Summary) else str(answer))


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize(
    "behaviour",
    [
        lambda status: play.answer(status, b"no gzip", {"Content-Encoding": "gzip"}),
        lambda status: play.answer(status, b"x" * (LARGEST_BODY + 1)),
        lambda status: play.raw(b"HTTP/1.1 %d Oh\r\nContent-Length: 99\r\n\r\n{" % status),
    ],
    ids=["packed", "large", "cut"],
)
async def test_a_refusal_is_one_whatever_its_body_is(
    raw: RawServer, behaviour: Callable[[int], play.Behaviour], status: int
) -> None:
    raw.always(behaviour(status))
    answer = await failure(raw)
    assert (answer.status, answer.reason) == ("failed", f"http_{status}")


async def test_what_says_it_is_gzip_and_is_not(raw: RawServer) -> None:
    raw.always(play.answer(200, {"record_count": 7}, {"Content-Encoding": "gzip"}))
    assert (await failure(raw)).reason in ("connection", "bad_answer")


@pytest.mark.parametrize(
    "behaviour",
    [
        play.hang_up,
        play.reset,
        play.bad_status_line(),
        play.huge_header(),
        play.raw(b"SSH-2.0-OpenSSH_9.7\r\n"),
        play.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
        play.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}"),
    ],
    ids=["hang_up", "reset", "status_line", "huge_header", "ssh", "chunks", "length"],
)
async def test_what_is_no_http_is_a_matter_of_the_connection(raw: RawServer, behaviour: play.Behaviour) -> None:
    raw.always(behaviour)
    exchange = await send(raw)
    assert isinstance(exchange.answer, Failure)
    assert (exchange.answer.status, exchange.answer.reason) == ("failed", "connection")
    assert exchange.attempt.outcome == "connection"
    assert "HTTP status 400" not in str(exchange.answer)


async def test_nobody_listens() -> None:
    async with opened(f"http://127.0.0.1:{play.refused_port()}") as session:
        exchange = await session.send(ASKED)
    assert str(exchange.answer) == "connection: no connection to 127.0.0.1: Connection refused"
    assert exchange.attempt.http_status is None


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 70 + ".invalid"])
async def test_a_host_without_an_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: Any, **__: Any) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    async with opened(f"http://{host}/v2") as session:
        answer = (await session.send(ASKED)).answer
    assert isinstance(answer, Failure)
    assert answer.reason == "connection"


# Time


@pytest.mark.parametrize("behaviour", [play.never, play.drip({"record_count": 7}, 0.02)], ids=["never", "drip"])
async def test_an_attempt_ends_with_its_timeout_however_slowly_bytes_come(
    raw: RawServer, behaviour: play.Behaviour
) -> None:
    raw.always(behaviour)
    answer = await failure(raw, timeout=0.1)
    assert answer == Failure("failed", "timeout", "no whole answer within 0.1 s")


async def test_connecting_has_its_own_limit_tls_included() -> None:
    async with listening(say_nothing) as base_url, opened(base_url, timeout=0.1) as session:
        answer = (await session.send(ASKED)).answer
    assert answer == Failure("failed", "timeout", "no connection to 127.0.0.1 in time")


async def test_a_proxy_that_does_not_connect_is_not_waited_for(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(say_nothing) as proxy:
        monkeypatch.setenv("https_proxy", proxy.replace("https:", "http:"))
        async with opened(elsewhere.replace("http:", "https:"), timeout=0.1) as session:
            answer = (await session.send(ASKED)).answer
    assert answer == Failure("failed", "timeout", "no connection to ncbi.test in time")


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the other side goes."""
    await reader.read()
    writer.close()


@pytest.mark.parametrize(("seconds", "own"), [(0.1, 5.0), (0.1, 0.1), (1.5, 0.1)])
async def test_who_is_cancelled_from_outside_is_told_so_and_no_failure(
    raw: RawServer, seconds: float, own: float
) -> None:
    """Before, with and after the attempt's own timeout."""
    raw.always(play.never)
    answers = []
    async with opened(raw.base_url, timeout=own) as session:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                answers.append((await session.send(ASKED)).answer)
                await asyncio.sleep(10)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        if seconds != own:  # at the same moment either may be first
            assert len(answers) == (seconds > own)
        assert {str(answer) for answer in answers} <= {"timeout: no whole answer within 0.1 s"}
        raw.always(play.summary())
        assert (await session.send(ASKED)).answer == Summary(7, 7)


def test_a_session_opened_again_in_another_loop_has_its_timeout(raw: RawServer) -> None:
    raw.always(play.never)
    session = opened(raw.base_url, timeout=0.1)

    async def end_in_the_middle_of_closing() -> None:
        await session.__aenter__()
        sending = asyncio.create_task(session.send(ASKED))
        await asyncio.sleep(0)
        sending.cancel()
        assert session._session is not None
        await session._session.close()

    async def ask() -> Response[Summary]:
        async with session:
            return await session.send(ASKED)

    asyncio.run(end_in_the_middle_of_closing())
    assert str(asyncio.run(asyncio.wait_for(ask(), 10)).answer) == "timeout: no whole answer within 0.1 s"


# Where the server refuses us


async def test_a_redirect_is_not_followed_and_takes_no_key_along(raw: RawServer) -> None:
    with play.raw_server() as elsewhere:
        raw.always(play.redirect(f"{elsewhere.base_url}/new?api_key={KEY}"))
        told = str(refused(await failure(raw), has_key=True, met_by="taxon 1"))
    assert not elsewhere.arrivals
    assert len(raw.arrivals) == 1
    assert f"redirects to {elsewhere.base_url}/new?api_key=[key] (HTTP 302)" in told
    assert "base_url" in told


async def test_the_library_would_take_the_key_along(raw: RawServer) -> None:
    with play.raw_server() as elsewhere:
        raw.always(play.redirect(elsewhere.base_url))
        async with aiohttp.ClientSession(headers={"api-key": KEY}) as session, session.get(raw.base_url):
            pass
        assert elsewhere.arrivals[0].headers["api-key"] == KEY


@pytest.mark.parametrize(
    ("status", "key", "told"),
    [
        (401, KEY, "does not accept the API key (HTTP 401)"),
        (401, None, "wants an API key (HTTP 401)"),
        (403, KEY, "does not accept the API key (HTTP 403)"),
        (403, None, "may have blocked its address"),
        (301, KEY, "never followed"),
        (304, KEY, "the server redirects (HTTP 304)"),
        (407, KEY, "the proxy wants a user name and password"),
    ],
)
async def test_a_status_that_is_about_us(raw: RawServer, status: int, key: str | None, told: str) -> None:
    raw.always(play.answer(status, b""))
    answer = await failure(raw, key=key)
    assert is_refusal(answer)
    assert told in str(refused(answer, has_key=bool(key), met_by="taxon 1"))
    assert len(raw.arrivals) == 1


async def test_a_certificate_that_nobody_knows() -> None:
    with play.raw_server(tls=True) as server:
        told = await refusal(server)
    assert told.startswith("TLS with 127.0.0.1 failed: self")
    assert "SSL_CERT_FILE" in told
    assert not server.arrivals


async def test_a_certificate_that_the_user_vouches_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with play.raw_server(tls=True) as server:
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", _trusting())
        exchange = await send(server)
    assert exchange.answer == Summary(7, 7)


def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(play.CERTIFICATE))


@asynccontextmanager
async def listening(behave: Any) -> AsyncIterator[str]:
    """An https address where whoever connects meets `behave(reader, writer)` instead of TLS."""
    connections = list[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        await behave(reader, writer)
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*filter(None, connections), return_exceptions=True)


async def test_a_server_that_does_not_speak_tls() -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with listening(speak_plainly) as base_url, opened(base_url) as session:
        with pytest.raises(Refused, match=r"TLS with 127\.0\.0\.1 failed"):
            await session.send(ASKED)


async def test_a_connection_that_ends_while_tls_begins_is_no_refusal() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.close()

    async with listening(close) as base_url, opened(base_url) as session:
        answer = (await session.send(ASKED)).answer
    assert isinstance(answer, Failure)
    assert answer.reason == "connection"


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
async def test_an_end_in_the_words_of_the_tls_library_is_no_refusal(
    kind: type[ssl.SSLError], mocked: aioresponses
) -> None:
    key: Any = None
    mocked.get(re.compile(".*"), exception=aiohttp.ClientConnectorSSLError(key, kind(8, "EOF occurred")))
    async with opened("https://127.0.0.1:1") as session:
        answer = (await session.send(ASKED)).answer
    assert str(answer) == "connection: 127.0.0.1 closed the connection while TLS began"


# The key


async def test_an_echoed_key_is_seen_nowhere(raw: RawServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echoes = [
        play.error(400, f"bad key {KEY} for taxon"),
        play.answer(200, {"record_count": 7, "messages": [{"warning": {"message": f"hello {KEY}"}}]}),
        play.answer(200, {"record_count": 7, "hydrated": {"url": f"https://h/?api_key={KEY}"}}),
        play.answer(200, {"errors": [{"message": KEY}]}),
        play.answer(200, {"record_count": KEY}),
        play.answer(200, {"record_count": 7}, {"NCBI-PHID": KEY, "X-RateLimit-Limit": KEY, "Retry-After": KEY}),
        play.answer(429, {"message": KEY}, reason=KEY),
        play.answer(501, {"message": KEY}),
        play.raw(f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
        play.raw(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
        play.hang_up,
    ]
    raw.first = list(echoes)
    async with opened(raw.base_url) as session:
        shown = [repr(await session.send(ASKED)) for _ in echoes]
        shown.append(f"{session!r} {session}")
        for behaviour in (play.redirect(f"https://h/{KEY}"), play.answer(401, KEY, reason=KEY)):
            raw.always(behaviour)
            answer = (await session.send(ASKED)).answer
            assert isinstance(answer, Failure)
            error = refused(answer, has_key=True, met_by="taxon 1")
            shown += [repr(answer), f"{error!r} {error}"]
    assert len(raw.arrivals) == len(echoes) + 2
    assert KEY not in "\n".join([*shown, caplog.text])
    assert sum("[key]" in text for text in shown) >= 6


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "é", "\x00"])
async def test_what_cannot_be_a_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="not an API key") as caught:
        Transport("http://127.0.0.1", Pacer(None), api_key=key, contact=None, timeout=1.0, connections=1)
    assert key not in str(caught.value)


async def test_blanks_around_a_key_are_not_sent(raw: RawServer) -> None:
    await send(raw, key=f" {KEY}\n")
    assert raw.arrivals[0].headers["api-key"] == KEY


async def test_a_contact_cannot_become_a_header(raw: RawServer) -> None:
    with pytest.raises(ValueError, match="contact"):
        await send(raw, contact="me\r\nX-Injected: 1")


# The environment


@pytest.mark.usefixtures("netrc")
async def test_the_proxy_of_the_environment_is_used_and_netrc_is_not(raw: RawServer, elsewhere: str) -> None:
    async with opened(elsewhere) as session:
        assert (await session.send(ASKED)).answer == Summary(7, 7)
    (arrival,) = raw.arrivals
    assert arrival.target == "http://ncbi.test/v2/virus/taxon/11320/genome"
    assert arrival.headers["proxy-authorization"].startswith("Basic ")
    assert "authorization" not in arrival.headers


@pytest.mark.usefixtures("netrc")
async def test_netrc_and_proxy_are_left_alone_on_this_machine(raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{play.refused_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert (await send(raw)).answer == Summary(7, 7)
    assert "authorization" not in raw.arrivals[0].headers


@pytest.mark.parametrize("status", [403, 407])
async def test_a_proxy_that_lets_nobody_through(
    raw: RawServer, elsewhere: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{raw.port}")
    raw.always(play.answer(status, b""))
    async with opened(elsewhere.replace("http:", "https:")) as session:
        with pytest.raises(Refused, match=r"the proxy does not let us through to ncbi\.test"):
            await session.send(ASKED)
    (arrival,) = raw.arrivals
    assert (arrival.method, arrival.target) == ("CONNECT", "ncbi.test:443")
    assert "api-key" not in arrival.headers


async def test_a_proxy_that_fails(raw: RawServer, elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{raw.port}")
    raw.always(play.answer(502, b""))
    async with opened(elsewhere.replace("http:", "https:")) as session:
        assert str((await session.send(ASKED)).answer) == "connection: the proxy answers HTTP 502"
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{play.refused_port()}")
    async with opened(elsewhere.replace("http:", "https:")) as session:
        told = str((await session.send(ASKED)).answer)
    assert told == "connection: no connection to the proxy: Connection refused"


async def test_no_proxy_is_followed(raw: RawServer, elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "ncbi.test")
    async with opened(elsewhere, timeout=0.2) as session:
        await session.send(ASKED)
    assert not raw.arrivals


@pytest.mark.parametrize("address", ["socks5://me:word@proxy:1080", "http://proxy:word", "http://"])
async def test_a_proxy_that_cannot_be_used(elsewhere: str, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("http_proxy", address)
    with pytest.raises(UsageError, match="HTTP_PROXY") as caught:
        Transport(elsewhere, Pacer(None), api_key=None, contact=None, timeout=1.0, connections=1)
    assert "word" not in str(caught.value)


# The library


def every_error() -> list[type[Exception]]:
    found, pending = list[type[Exception]](), [aiohttp.ClientError]
    while pending:
        one = pending.pop()
        if one not in found:
            found.append(one)
            pending += one.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
async def test_every_error_of_the_library_ends_here(
    kind: type[Exception], mocked: aioresponses, caplog: pytest.LogCaptureFixture
) -> None:
    error = kind.__new__(kind)
    error.args = (KEY,)
    error.status = 502  # type: ignore[attr-defined]
    error._os_error = OSError(104, "Connection reset by peer")  # type: ignore[attr-defined]
    error._certificate_error = error._os_error  # type: ignore[attr-defined]
    mocked.get(re.compile(".*"), exception=error)
    async with opened("http://127.0.0.1:1") as session:
        if issubclass(kind, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
            with pytest.raises(Refused, match="TLS with 127") as caught:
                await session.send(ASKED)
            assert KEY not in str(caught.value)
            return
        answer = (await session.send(ASKED)).answer
    assert isinstance(answer, Failure)
    assert answer.status == "failed"
    assert answer.reason == ("timeout" if issubclass(kind, TimeoutError) else "connection")
    assert KEY not in f"{answer} {caplog.text}"


async def test_before_and_after_the_session_there_is_no_sending(raw: RawServer) -> None:
    session = Transport(raw.base_url, Pacer(None), api_key=None, contact=None, timeout=1.0, connections=1)
    with pytest.raises(RuntimeError, match="async with"):
        await session.send(ASKED)
    assert not raw.arrivals


async def test_what_is_pretended_is_what_would_be_sent(mocked: aioresponses) -> None:
    filters = FilterSet(include_sequence=("GENOME", "CDS"), refseq_only=True, released_since="2025-01-15")  # type: ignore[arg-type]
    request = Request("A/B é", filters)
    url = URL("http://127.0.0.1:1/v2" + request_key(request), encoded=True)
    mocked.get(url, payload={"record_count": 7})
    async with opened("http://127.0.0.1:1/v2") as session:
        assert (await session.send(request)).answer == Summary(7)
    ((method, sent),) = mocked.requests
    (call,) = mocked.requests[method, sent]
    assert (method, sent.raw_path) == ("GET", "/v2/virus/taxon/A%2FB%20%C3%A9/genome")
    assert sorted(sent.query.items()) == [
        ("include_sequence", "CDS"),
        ("include_sequence", "GENOME"),
        ("refseq_only", "true"),
        ("released_since", "2025-01-15T00:00:00Z"),
    ]
    assert call.kwargs["headers"]["api-key"] == KEY
    assert call.kwargs["allow_redirects"] is False


async def test_large_pretended_answers(mocked: aioresponses) -> None:
    mocked.get(re.compile(".*"), body=b'{"record_count": 7}' + b" " * 2**20)
    async with opened("http://127.0.0.1:1") as session:
        assert (await session.send(ASKED)).answer == Summary(7)


async def test_aioresponses_needs_the_stand_in_of_conftest() -> None:
    """Where this fails, aioresponses knows aiohttp 3.14 by itself: take the stand-in out of conftest.py."""
    version = tuple(int(part) for part in aiohttp.__version__.split(".")[:2])
    with aioresponses() as answers:
        answers.get("http://127.0.0.1:1", body=b"{}")
        async with aiohttp.ClientSession() as session:
            if version < (3, 14):
                assert (await session.get("http://127.0.0.1:1")).status == 200
            else:
                with pytest.raises(TypeError, match="stream_writer"):
                    await session.get("http://127.0.0.1:1")


async def test_a_key_that_comes_back_in_the_escapes_of_json_is_hidden_too(raw: RawServer) -> None:
    spelled = KEY[:3] + f"\\u{ord(KEY[3]):04X}" + KEY[4:]
    raw.always(
        play.answer(200, f'{{"record_count": 1, "messages": [{{"warning": {{"message": "{spelled}"}}}}]}}'.encode())
    )
    answer = (await send(raw)).answer
    assert isinstance(answer, Summary)
    assert answer.messages == ("[key]",)


@pytest.mark.parametrize("spelled", ["a%2Bb%2F%22c%3D", "%61%2bb/%22c=", 'a+b\\/\\"c=', "a\\u002Bb\\/\\u0022c\\u003d"])
async def test_a_key_of_other_signs_is_hidden_however_it_is_escaped(raw: RawServer, spelled: str) -> None:
    body = f'{{"record_count": 1, "messages": [{{"warning": {{"message": "not {spelled}"}}}}]}}'.encode()
    raw.first = [play.answer(200, body), play.redirect(f"https://h/login?key={spelled}")]
    async with opened(raw.base_url, key='a+b/"c=') as session:
        answered, led_away = [(await session.send(ASKED)).answer for _ in range(2)]
    assert isinstance(answered, Summary)
    assert answered.messages == ("not [key]",)
    assert led_away == Failure("rejected", "http_302", "redirects to https://h/login?key=[key]")


@pytest.mark.parametrize("missing", [1, 4, 8])
async def test_gzip_without_its_end_is_no_answer(raw: RawServer, missing: int) -> None:
    packed = gzip.compress(b'{"record_count": 7}')[:-missing]
    raw.always(play.answer(200, packed, {"Content-Encoding": "gzip"}))
    assert await failure(raw) == Failure("failed", "bad_answer", "the gzip is cut off")


async def test_what_is_packed_as_was_not_asked_for(raw: RawServer) -> None:
    raw.always(play.answer(200, b"\x0b\x02\x80{}\x03", {"Content-Encoding": "br"}))
    assert (await failure(raw)).reason == "bad_answer"
