"""`batchsum probe`: about a dozen questions that settle on the real service what its documentation does not.

No secret is kept: cookies are dropped, the key is replaced, and bodies of refusals, which can echo the key or
the address, are left out.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from batchsum.atomic import replace_file
from batchsum.cli.assumptions import Assumption, Question, Seen, in_words, judge_assumptions, questions
from batchsum.cli.terminal import say
from batchsum.config.api_key import find_api_key
from batchsum.errors import Refused, UsageError
from batchsum.ncbi.http import proxy_of_environment
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.urls import check_base_url, default_base_url
from batchsum.store.directory import output_errors
from batchsum.text import utc_text
from batchsum.version import __version__

LARGEST_BODY = 64 * 1024
"""Bytes of a body that are kept."""
LONGEST_HOLD = 60.0
SECONDS_EACH = 60.0
MOST_SILENT = 3
"""Questions without an answer, one after the other, after which no more are asked."""
_DROPPED_HEADERS = frozenset({"set-cookie", "cookie", "api-key", "authorization", "proxy-authorization"})
_WITHOUT_BODY = frozenset({401, 403, 429})
_REFUSALS = frozenset({301, 302, 303, 307, 308, 401, 403})
_VERDICTS = {True: "held", False: "NOT HELD", None: "not seen"}


def probe_command(arguments: argparse.Namespace) -> int:
    """`batchsum probe`: what was seen and what it says of batchsum's assumptions; and `probe.json`, for later.

    The exit code: 0 where every assumption held, 3 where one did not, 4 where nothing was answered. Raises Refused
    and OutputError.
    """
    base_url, directory = _server(arguments.base_url), arguments.out
    api_key = find_api_key(arguments.api_key_file, None)
    asked, seen = questions(datetime.now(UTC).date()), list[Seen]()
    say(f"{len(asked)} questions to {base_url}, {'with' if api_key else 'without'} a key:")
    for question in asked:
        say(f"  {question.name:<17} {question.settles}: {question}")
    began = datetime.now(UTC)
    try:
        asyncio.run(ask_all(base_url, api_key, asked, seen.append))
    finally:
        # A refusal or Ctrl-C ends the asking; what was seen until then is shown and kept all the same.
        found = judge_assumptions(seen)
        document = {
            "version": 1,
            "batchsum": __version__,
            "asked_at": utc_text(began),
            "base_url": base_url,
            "with_key": api_key is not None,
            "exchanges": [asdict(one) for one in seen],
            "assumptions": [asdict(one) for one in found],
        }
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        with output_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            replace_file(directory / "probe.json", text.encode(errors="replace"))
        _show(seen, found)
        say(f"bodies and headers: {directory / 'probe.json'}")
    if all(one.status is None for one in seen):
        return 4
    return 3 if any(one.held is False for one in found) else 0


def _server(option: str | None) -> str:
    try:
        return check_base_url(option) if option else default_base_url()
    except ValueError as error:
        raise UsageError(f"base URL {error}") from None


def _show(seen: Sequence[Seen], found: Sequence[Assumption]) -> None:
    print(f"{'question':<17} {'status':>6} {'seconds':>7}  answer")
    for one in seen:
        print(f"{one.name:<17} {one.status or '-':>6} {one.seconds:>7.2f}  {in_words(one)}")
    print()
    for assumption in found:
        print(f"{_VERDICTS[assumption.held]:<8} {assumption.assumption}: {assumption.saw}")


async def ask_all(
    base_url: str, api_key: str | None, asked: Sequence[Question], on_seen: Callable[[Seen], None]
) -> None:
    """Ask one after the other, at the same pace as a run, and hand over each answer.

    Raises Refused where the server does not want us: going on would make it worse.
    """
    pacer = Pacer.for_server(base_url, api_key)
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"batchsum/{__version__} (probe)", "Accept": "application/json"},
        timeout=aiohttp.ClientTimeout(total=SECONDS_EACH),
        proxy=proxy_of_environment(URL(base_url)),
    )
    session._retry_connection = False  # a question that aiohttp sends twice would break the limit
    silent = 0  # questions without an answer, one after the other
    async with session:
        for question in asked:
            seen = await _ask(session, pacer, base_url, api_key, question)
            if seen.status == 429:
                # Not provoked: somebody else uses the limit. Once more, when the server says so.
                on_seen(seen)
                pacer.hold(min(_number(seen.header("Retry-After")) or 5.0, LONGEST_HOLD))
                seen = await _ask(session, pacer, base_url, api_key, question)
            on_seen(seen)
            if seen.status in _REFUSALS:
                raise Refused(
                    f"the server refuses the question {question.name!r}: HTTP {seen.status}; nothing more is asked"
                )
            silent = silent + 1 if seen.status is None else 0
            if silent == MOST_SILENT:
                return


async def _ask(
    session: aiohttp.ClientSession, pacer: Pacer, base_url: str, api_key: str | None, question: Question
) -> Seen:
    await pacer.slot()
    began = time.monotonic()
    url = URL(base_url.rstrip("/") + question.path, encoded=True)
    method = "GET" if question.body is None else "POST"
    key = {"api-key": api_key} if api_key else {}  # not the session's: a proxy would be told it too
    try:
        async with session.request(method, url, json=question.body, headers=key, allow_redirects=False) as response:
            body = await _head(response)
            status, headers = response.status, response.headers
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return Seen(question.name, str(question), None, _since(began), problem=type(error).__name__)
    if limit := _number(headers.get("X-RateLimit-Limit")):
        pacer.limit(limit)
    kept = {name: _clean(value, api_key) for name, value in headers.items() if name.lower() not in _DROPPED_HEADERS}
    left_out = "refusals can echo the key or the address" if status in _WITHOUT_BODY else ""
    text = "" if left_out else _clean(body.decode(errors="replace"), api_key)
    return Seen(question.name, str(question), status, _since(began), kept, text, left_out)


async def _head(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readexactly(LARGEST_BODY)  # no more is read, whatever the server sends
    except asyncio.IncompleteReadError as whole:
        return whole.partial


def _clean(text: str, api_key: str | None) -> str:
    return text.replace(api_key, "[key]") if api_key else text


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e6 else None


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
