"""Questions to a server, asked one after the other, and what came back: headers and bodies without secrets.

No secret is kept: cookies are dropped, the key is replaced, and bodies of refusals, which can echo the key or
the address, are left out.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from batchsum.errors import OutputError, Refused, UsageError
from batchsum.model.queries import Answer, Failure, Summary
from batchsum.ncbi.http import proxy_of_environment
from batchsum.ncbi.pacing import Pacer
from batchsum.ncbi.parse import parse_answer
from batchsum.ncbi.urls import BASE_URL, check_base_url
from batchsum.text import one_line, utc_text
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
_MERS = "1335626"


@dataclass(frozen=True, slots=True)
class Question:
    """One request as it is sent, spelled by hand: the client never sends some of these forms."""

    name: str
    settles: str
    path: str
    """Path and query below the base URL."""
    body: dict[str, Any] | None = None
    """Of a POST; None for a GET."""

    def __str__(self) -> str:
        return f"POST {self.path} {json.dumps(self.body)}" if self.body else f"GET {self.path}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back, without secrets."""

    name: str
    request: str
    status: int | None
    """None where no answer came."""
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    """At most LARGEST_BODY bytes of it; empty where `left_out` says why."""
    left_out: str = ""
    problem: str = ""
    """Why there is no answer."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


def questions(today: date) -> tuple[Question, ...]:
    def summary(name: str, settles: str, taxon: str, *query: str) -> Question:
        path = f"/virus/taxon/{quote(taxon, safe='')}/genome"
        return Question(name, settles, f"{path}?{'&'.join(query)}" if query else path)

    since = "released_since=2025-01-15T00:00:00"
    return (
        summary("known", "what an answer looks like, and its headers", "2697049"),
        summary(
            "zero", "how zero is sent", "12216", "refseq_only=true", f"released_since={today.isoformat()}T00:00:00Z"
        ),
        summary("date_rfc3339", "whether an RFC 3339 date is taken", _MERS, f"{since}Z"),
        summary("date_plain", "whether a plain date is taken", _MERS, "released_since=2025-01-15"),
        summary("date_generated", "whether the generated client's date is taken", _MERS, f"{since}.000000%2B0000"),
        summary("slash", "whether %2F in a name reaches the taxon", "Lake trout rhabdovirus 903/87"),
        Question(
            "post",
            "whether POST counts as GET does",
            "/virus/genome",
            {"taxon": _MERS, "released_since": "2025-01-15T00:00:00Z"},
        ),
        summary("unknown_taxon", "how an unknown name is refused", "Batchsum virus of no taxonomy"),
        summary("unknown_id", "how an unknown id is refused", "2147483000"),
        summary("ambiguous", "how a name of two taxa is refused", "Mus"),
        summary("biosample_report", "whether the enum's value is taken", _MERS, "aux_report=BIOSAMPLE_REPORT"),
        summary("biosample", "whether the published example's value is taken", _MERS, "aux_report=BIOSAMPLE"),
        summary("lists", "whether lists go as repeated keys", _MERS, "include_sequence=GENOME", "include_sequence=CDS"),
    )


async def ask_all(
    base_url: str, api_key: str | None, asked: Sequence[Question], on_seen: Callable[[Seen], None]
) -> None:
    """Ask one after the other, at the same pace as a run, and hand over each answer.

    Raises Refused where the server does not want us: going on would make it worse.
    """
    pacer = Pacer.for_server(base_url, api_key)
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": f"batchsum/{__version__} (probe)",
            "Accept": "application/json",
        },
        timeout=aiohttp.ClientTimeout(total=SECONDS_EACH),
        proxy=proxy_of_environment(URL(base_url)),
    )
    session._retry_connection = False
    silent = 0
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
    body = b""
    async for chunk in response.content.iter_chunked(2**14):
        body += chunk
        if len(body) >= LARGEST_BODY:
            return body[:LARGEST_BODY]
    return body


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


# What batchsum takes for granted of the service, and whether an exchange with it bears that out. Each
# assumption names the one place that depends on it, so that what a probe refutes is mended there.


_WIDEST = 90

Found = tuple[bool | None, str]
"""Whether it held (None: nothing to tell by), and what was seen."""


@dataclass(frozen=True, slots=True)
class Assumption:
    assumption: str
    held: bool | None
    saw: str
    lives_in: str
    """The file of batchsum to change where it did not hold."""


def judge_assumptions(seen: Sequence[Seen]) -> list[Assumption]:
    """One verdict for each assumption; of a question asked twice the last answer counts."""
    answered = {one.name: one for one in seen if one.status is not None}
    return [Assumption(text, *look(answered), lives_in) for text, lives_in, look in _ASSUMPTIONS] + [
        Assumption("a 429 says in Retry-After how long to wait", *_retry_after(seen), "ncbi/http.py")
    ]


def in_words(one: Seen) -> str:
    """An answer in a few words."""
    if one.status is None:
        return f"no answer: {one.problem}"
    if one.left_out:
        return f"body left out: {one.left_out}"
    answer = _answer(one)
    if isinstance(answer, Summary):
        return "records, but no count" if answer.record_count is None else f"{answer.record_count:,} records"
    words = one_line(f"{answer.status}: {answer}")
    return words if len(words) <= _WIDEST else words[: _WIDEST - 1] + "…"


def _answer(one: Seen) -> Answer:
    return parse_answer(one.status or 0, one.body.encode())


def _document(one: Seen) -> Mapping[str, Any]:
    try:
        value = json.loads(one.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _count(answered: Mapping[str, Seen], name: str) -> int | None:
    answer = _answer(answered[name]) if name in answered else None
    return answer.record_count if isinstance(answer, Summary) else None


def _known(answered: Mapping[str, Seen]) -> Found:
    if "known" not in answered:
        return None, "no answer"
    return bool(_count(answered, "known")), in_words(answered["known"])


def _zero(answered: Mapping[str, Seen]) -> Found:
    if (one := answered.get("zero")) is None:
        return None, "no answer"
    if count := _count(answered, "zero"):
        return None, f"{count:,} records were found after all"
    how = "record_count: 0 was sent" if "record_count" in _document(one) else "record_count was left out"
    return (True, how) if count == 0 else (False, in_words(one))


def _taken(name: str) -> Callable[[Mapping[str, Seen]], Found]:
    def look(answered: Mapping[str, Seen]) -> Found:
        if name not in answered:
            return None, "no answer"
        return isinstance(_answer(answered[name]), Summary), in_words(answered[name])

    return look


def _other_dates(answered: Mapping[str, Seen]) -> Found:
    """Never sent by batchsum: a word for whoever compares it with other clients."""
    forms = {"plain": "date_plain", "+0000": "date_generated"}
    told = ", ".join(f"{form}: {in_words(answered[name])}" for form, name in forms.items() if name in answered)
    counts = {_count(answered, name) for name in forms.values()} - {None}
    right = _count(answered, "date_rfc3339")
    return None if not counts or right is None else counts == {right}, told or "no answer"


def _post(answered: Mapping[str, Seen]) -> Found:
    posted, got = _count(answered, "post"), _count(answered, "date_rfc3339")
    if "post" not in answered or got is None:
        return None, "no answer to compare"
    return posted == got, f"POST: {in_words(answered['post'])}; GET: {got:,} records"


def _refused_as(reasons: tuple[str, ...], *names: str) -> Callable[[Mapping[str, Seen]], Found]:
    def look(answered: Mapping[str, Seen]) -> Found:
        answers = {name: _answer(answered[name]) for name in names if name in answered}
        if not answers:
            return None, "no answer"
        held = all(isinstance(answer, Failure) and answer.reason in reasons for answer in answers.values())
        return held, "; ".join(f"{answered[name].status} {in_words(answered[name])}" for name in answers)

    return look


def _header(name: str) -> Callable[[Mapping[str, Seen]], Found]:
    def look(answered: Mapping[str, Seen]) -> Found:
        if not answered:
            return None, "no answer"
        values = [value for one in answered.values() if (value := one.header(name))]
        told = f"on {len(values)} of {len(answered)} answers"
        return bool(values), f"{told}, as in {one_line(values[0])[:60]}" if values else told

    return look


def _retry_after(seen: Sequence[Seen]) -> Found:
    refused = [one for one in seen if one.status == 429]
    if not refused:
        return None, "there was no 429, and none was provoked"
    values = [value for one in refused if (value := one.header("Retry-After"))]
    return bool(values), f"{len(refused)} answers of 429, Retry-After: {', '.join(values) or 'none'}"


_ASSUMPTIONS: tuple[tuple[str, str, Callable[[Mapping[str, Seen]], Found]], ...] = (
    ("taxon 2697049 is known and has records", "model/filters.py", _known),
    ("zero is sent as 0, or left out", "ncbi/parse.py", _zero),
    ("dates in RFC 3339 are taken", "model/filters.py", _taken("date_rfc3339")),
    ("other forms of a date, where taken, count the same", "model/filters.py", _other_dates),
    ("%2F in a name reaches the taxon", "model/queries.py", _taken("slash")),
    ("POST counts as GET does", "model/queries.py", _post),
    (
        "an unknown taxon is refused as unknown",
        "ncbi/document.py",
        _refused_as(("unknown_taxon",), "unknown_taxon", "unknown_id"),
    ),
    (
        "a name of two taxa, or of no virus, is refused as such",
        "ncbi/document.py",
        _refused_as(("ambiguous_name", "not_a_virus"), "ambiguous"),
    ),
    ("BIOSAMPLE_REPORT is taken", "model/filters.py", _taken("biosample_report")),
    ("BIOSAMPLE is not in the enum, and refused", "model/filters.py", _refused_as(("bad_request",), "biosample")),
    ("lists go as repeated keys", "model/queries.py", _taken("lists")),
    ("the limit is told in X-RateLimit-Limit", "ncbi/http.py", _header("X-RateLimit-Limit")),
    ("answers carry an NCBI-PHID", "ncbi/http.py", _header("NCBI-PHID")),
)


# The probe: about a dozen questions that settle on the real service what its documentation does not.


_VERDICTS = {True: "held", False: "NOT HELD", None: "not seen"}


def server_to_probe(option: str | None) -> str:
    """The base URL of the option, else of BATCHSUM_BASE_URL, else NCBI's. UsageError where it is none."""
    try:
        return check_base_url(option or os.environ.get("BATCHSUM_BASE_URL") or BASE_URL)
    except ValueError as error:
        raise UsageError(f"base URL {error}") from None


def probe(
    base_url: str, api_key: str | None, directory: Path, *, show: Callable[[str], None], tell: Callable[[str], None]
) -> int:
    """Ask, show a table and what batchsum assumes, and write `probe.json` into `directory`.

    `show` gets the lines for people, `tell` those before and between. The exit code: 0 where every assumption
    held, 3 where one did not, 4 where nothing was answered. Raises Refused and OutputError.
    """
    asked, seen = questions(datetime.now(UTC).date()), list[Seen]()
    tell(f"{len(asked)} questions to {base_url}, {'with' if api_key else 'without'} a key:")
    for question in asked:
        tell(f"  {question.name:<17} {question.settles}: {question}")
    began = datetime.now(UTC)
    try:
        asyncio.run(ask_all(base_url, api_key, asked, seen.append))
    finally:
        found = judge_assumptions(seen)
        _write(directory, base_url, api_key, began, seen, [asdict(one) for one in found])
        for line in _table(seen):
            show(line)
        for one in found:
            show(f"{_VERDICTS[one.held]:<8} {one.assumption}: {one.saw}")
        tell(f"bodies and headers: {directory / 'probe.json'}")
    if all(one.status is None for one in seen):
        return 4
    return 3 if any(one.held is False for one in found) else 0


def _table(seen: Sequence[Seen]) -> list[str]:
    lines = [f"{'question':<17} {'status':>6} {'seconds':>7}  answer"]
    lines += [f"{one.name:<17} {one.status or '-':>6} {one.seconds:>7.2f}  {in_words(one)}" for one in seen]
    return [*lines, ""]


def _write(
    directory: Path,
    base_url: str,
    api_key: str | None,
    began: datetime,
    seen: Sequence[Seen],
    found: list[dict[str, Any]],
) -> None:
    document = {
        "version": 1,
        "batchsum": __version__,
        "asked_at": utc_text(began),
        "base_url": base_url,
        "with_key": api_key is not None,
        "exchanges": [asdict(one) for one in seen],
        "assumptions": found,
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (directory / "probe.json").write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror}") from None
