"""`batchsum probe`: about a dozen questions that settle on the real service what its documentation does not.

`data/probe_questions.tsv` has what is asked, spelled by hand, since the client never sends some of these forms, and
which answer batchsum takes for granted. Of some questions it takes none: their answers are shown and not judged.

No secret is kept: cookies are dropped, the key is replaced, and bodies of refusals, which can echo the key or
the address, are left out.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from pathlib import Path
from textwrap import shorten

from batchsum.atomic import replace_file
from batchsum.cli.options import server
from batchsum.cli.terminal import say
from batchsum.config.api_key import find_api_key
from batchsum.errors import Refused
from batchsum.model.job import ApiSettings
from batchsum.model.queries import Answer, Failure, Summary
from batchsum.ncbi.http import LARGEST_BODY, Response, Transport
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.parse import parse_answer
from batchsum.ncbi.urls import BASE_URL
from batchsum.output.files import check_targets
from batchsum.store.directory import output_errors
from batchsum.text import one_line, utc_text
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
_HEADERS = ("X-RateLimit-Limit", "NCBI-PHID", "Retry-After")
"""What batchsum reads of an answer's head; the last comes with a 429 only, and none is provoked."""
_VERDICTS = {True: "expected", False: "NOT expected", None: ""}
_WIDEST = 90


@dataclass(frozen=True, slots=True)
class Question:
    """One request as it is sent."""

    name: str
    settles: str
    expected: str
    """The answer that batchsum takes for granted: `records`, `zero`, `taken` (whatever the count), `as` another
    question, or the reasons of a refusal; empty where it takes none."""
    body: str
    """JSON of a POST; empty for a GET."""
    path: str
    """Path and query below the base URL."""

    def __str__(self) -> str:
        return f"POST {self.path} {self.body}" if self.body else f"GET {self.path}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back, without secrets."""

    name: str
    request: str
    status: int | None
    """None where none came."""
    seconds: float
    headers: dict[str, str]
    body: str
    """The beginning of it; empty where `left_out` says why."""
    left_out: str
    problem: str
    """Why there is no answer that can be read."""

    def answer(self) -> Answer:
        return parse_answer(self.status or 0, self.body.encode())

    def count(self) -> int | None:
        answer = self.answer()
        return answer.record_count if isinstance(answer, Summary) else None

    def __str__(self) -> str:
        """In a few words."""
        if self.problem:
            return f"no answer: {self.problem}"
        if self.left_out:
            return f"body left out: {self.left_out}"
        answer = self.answer()
        if isinstance(answer, Summary):
            if answer.record_count == 0:  # a count is told by an object of JSON alone, so that the body is one
                return f"0 records, record_count {'sent' if 'record_count' in json.loads(self.body) else 'left out'}"
            return "records, but no count" if answer.record_count is None else f"{answer.record_count:,} records"
        return shorten(one_line(f"{answer.status}: {answer}"), _WIDEST, placeholder=" …")


def questions(today: date) -> tuple[Question, ...]:
    """What a probe asks, in order; `today` is a day on which nothing can have been released yet.

    A strain is written with slashes, which a proxy may unfold into a longer path. Mus is a genus and a subgenus of
    mice: two taxa, and neither is a virus.
    """
    text = (Path(__file__).parent / "data" / "probe_questions.tsv").read_text(encoding="utf-8")
    # Not str.format, since the braces of the bodies are their own.
    lines = text.replace("{today}", today.isoformat()).splitlines()[1:]
    return tuple(Question(*line.split("\t")) for line in lines)


def probe_command(arguments: argparse.Namespace) -> int:
    """`batchsum probe`: what was seen, and whether batchsum expects it; and `probe.json`, for later.

    The exit code: 0 where every answer was expected, 3 where one was not, 4 where nothing was answered. Raises
    Refused and OutputError.
    """
    base_url, directory = server(arguments.base_url, ApiSettings()) or BASE_URL, arguments.out
    api_key = find_api_key(arguments.api_key_file, None)
    with output_errors(directory):  # before anything is asked whose answer could not be kept
        directory.mkdir(parents=True, exist_ok=True)
        check_targets(directory, ["probe.json"])
    asked, seen = questions(datetime.now(UTC).date()), list[Seen]()
    say(f"{len(asked)} questions to {base_url}, {'with' if api_key else 'without'} a key:")
    for question in asked:
        say(f"  {question.name:<17} {question.settles}: {question}")
    began = datetime.now(UTC)
    try:
        asyncio.run(ask_all(base_url, api_key, asked, seen.append))
    finally:
        # A refusal or Ctrl-C ends the asking; what was seen until then is shown and kept all the same.
        expected = {question.name: question.expected for question in asked}
        held = [is_as_expected(expected[one.name], one, seen) for one in seen]
        document = {
            "version": 1,
            "batchsum": __version__,
            "asked_at": utc_text(began),
            "base_url": base_url,
            "with_key": api_key is not None,
            "exchanges": [{**asdict(one), "as_expected": judged} for one, judged in zip(seen, held, strict=True)],
        }
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        with output_errors(directory):
            replace_file(directory / "probe.json", text.encode(errors="replace"))
        print(f"{'question':<17} {'status':>6} {'seconds':>7}  {'':<12}  answer")
        for one, judged in zip(seen, held, strict=True):
            print(f"{one.name:<17} {one.status or '-':>6} {one.seconds:>7.2f}  {_VERDICTS[judged]:<12}  {one}")
        for name in _HEADERS:
            values = (one.headers[key] for one in seen for key in one.headers if key.lower() == name.lower())
            print(f"{name}: {one_line(next(values, 'not seen'))}")
        say(f"bodies and headers: {directory / 'probe.json'}")
    if all(one.status is None for one in seen):
        return 4
    return 3 if False in held else 0


def is_as_expected(expected: str, one: Seen, seen: Sequence[Seen]) -> bool | None:
    """Whether an answer is the one that `Question.expected` says; None where nothing can be told of it."""
    if not expected or one.problem or one.left_out:
        return None
    answer, count = one.answer(), one.count()
    match expected.split():
        case ["records"]:
            return bool(count)
        case ["taken"]:
            return isinstance(answer, Summary)
        case ["zero"]:  # where there are records after all, nothing is learnt of how zero is sent
            return None if count else count == 0
        case ["as", name]:
            counts = [other.count() for other in seen if other.name == name]
            return None if counts[-1:] in ([], [None]) else count == counts[-1]
        case reasons:
            return isinstance(answer, Failure) and answer.reason in reasons


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
    body = json.loads(question.body) if question.body else None
    response = await transport.exchange(question.path, body, lambda _, raw: raw.decode(errors="replace"), LARGEST_BODY)
    if response.rate_limit is not None:
        pacer.limit(response.rate_limit)
    answer, attempt = response.answer, response.attempt
    kept = {name: value for name, value in response.headers.items() if name.lower() not in _DROPPED_HEADERS}
    left_out = "refusals can echo the key or the address" if attempt.http_status in _WITHOUT_BODY else ""
    problem = str(answer) if isinstance(answer, Failure) else ""
    text = "" if isinstance(answer, Failure) or left_out else answer[:MOST_KEPT]
    on_seen(Seen(question.name, str(question), attempt.http_status, attempt.seconds, kept, text, left_out, problem))
    return response
