"""`batchsum probe`: about a dozen questions that settle on the real service what its documentation does not.

No secret is kept: cookies are dropped, the key is replaced, and bodies of refusals, which can echo the key or
the address, are left out.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus

from batchsum.atomic import replace_file
from batchsum.cli.assumptions import Question, Seen, judge_assumptions, questions
from batchsum.cli.options import server
from batchsum.cli.terminal import say
from batchsum.config.api_key import find_api_key
from batchsum.errors import Refused
from batchsum.model.job import ApiSettings
from batchsum.model.queries import Failure
from batchsum.ncbi.http import LARGEST_BODY, Response, Transport
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.urls import BASE_URL
from batchsum.store.directory import output_errors
from batchsum.text import utc_text
from batchsum.version import __version__

MOST_KEPT = 64 * 1024
"""Characters of a body that are kept."""
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
    base_url, directory = server(arguments.base_url, ApiSettings()) or BASE_URL, arguments.out
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
            "assumptions": found,
        }
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        with output_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            replace_file(directory / "probe.json", text.encode(errors="replace"))
        print(f"{'question':<17} {'status':>6} {'seconds':>7}  answer")
        for one in seen:
            print(f"{one.name:<17} {one.status or '-':>6} {one.seconds:>7.2f}  {one}")
        print()
        for judged in found:
            print(f"{_VERDICTS[judged['held']]:<8} {judged['assumption']}: {judged['saw']}")
        say(f"bodies and headers: {directory / 'probe.json'}")
    if all(one.status is None for one in seen):
        return 4
    return 3 if any(one["held"] is False for one in found) else 0


async def ask_all(
    base_url: str, api_key: str | None, asked: Sequence[Question], on_seen: Callable[[Seen], None]
) -> None:
    """Ask one after the other, at the same pace as a run, and hand over each answer.

    Raises Refused where the server does not want us: going on would make it worse.
    """
    pacer = Pacer.for_server(base_url, api_key)
    transport = Transport(base_url, pacer, api_key=api_key, contact="probe", timeout=SECONDS_EACH, connections=1)
    silent = 0  # questions without an answer, one after the other
    async with transport:
        for question in asked:
            response = await _ask(transport, pacer, question, on_seen)
            if response.attempt.http_status == HTTPStatus.TOO_MANY_REQUESTS:
                # Not provoked: somebody else uses the limit. Once more, when the server says so.
                pacer.hold(min(response.retry_after or 5.0, LONGEST_HOLD))
                response = await _ask(transport, pacer, question, on_seen)
            status = response.attempt.http_status
            if status in _REFUSALS:
                raise Refused(
                    f"the server refuses the question {question.name!r}: HTTP {status}; nothing more is asked"
                )
            silent = silent + 1 if status is None else 0
            if silent == MOST_SILENT:
                return


async def _ask(
    transport: Transport, pacer: Pacer, question: Question, on_seen: Callable[[Seen], None]
) -> Response[str]:
    response = await transport.exchange(question.path, question.body, _text, LARGEST_BODY)
    if response.rate_limit is not None:
        pacer.limit(response.rate_limit)
    answer, attempt = response.answer, response.attempt
    kept = {name: value for name, value in response.headers.items() if name.lower() not in _DROPPED_HEADERS}
    problem, text = (str(answer), "") if isinstance(answer, Failure) else ("", answer)
    left_out = "refusals can echo the key or the address" if attempt.http_status in _WITHOUT_BODY else ""
    body = "" if left_out else text
    on_seen(Seen(question.name, str(question), attempt.http_status, attempt.seconds, kept, body, left_out, problem))
    return response


def _text(_: int, body: bytes) -> str:
    return body.decode(errors="replace")[:MOST_KEPT]
