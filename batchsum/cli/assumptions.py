"""What batchsum takes for granted of the service, and the questions whose answers bear it out or not.

Each assumption names the one file that depends on it, so that what a probe refutes is mended there. To add one: a
line to `data/probe_questions.tsv`, one to `_ASSUMPTIONS`, and a function that looks at what came back. Some questions
settle what batchsum does not depend on, as other forms of a date: their answers are shown, and nothing is judged.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from batchsum.model.queries import Answer, Failure, Summary
from batchsum.ncbi.parse import parse_answer
from batchsum.text import one_line

_WIDEST = 90
_QUESTIONS = Path(__file__).parent / "data" / "probe_questions.tsv"


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
    """None where none came."""
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    """The beginning of it; empty where `left_out` says why."""
    left_out: str = ""
    problem: str = ""
    """Why there is no answer that can be read."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is taken for granted, and whether the answers bear it out."""

    assumption: str
    held: bool | None
    """None where nothing was seen to tell by."""
    saw: str
    lives_in: str
    """The file of batchsum to change where it did not hold."""


Found = tuple[bool | None, str]
"""Whether it held (None: nothing to tell by), and what was seen."""
Look = Callable[[Mapping[str, Seen]], Found]
"""Looks at the answers to the questions of an assumption, by name. There is at least one."""


def questions(today: date) -> tuple[Question, ...]:
    """What a probe asks, in order; `today` is a day on which nothing can have been released yet.

    The first is what any later answer is compared with. An influenza strain is written with slashes, which a proxy
    may unfold into a longer path. Mus is a genus and a subgenus of mice: two taxa, and neither is a virus.
    """
    # Not str.format, since the bodies are full of braces.
    text = _QUESTIONS.read_text(encoding="utf-8").replace("{today}", today.isoformat())
    return tuple(
        Question(row["name"], row["settles"], row["path"], json.loads(row["body"]) if row["body"] else None)
        # QUOTE_NONE: the quotes of a JSON body are its own.
        for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    )


def judge_assumptions(seen: Sequence[Seen]) -> list[Assumption]:
    """One verdict for each assumption; of a question asked twice the last answer counts."""
    answered = {one.name: one for one in seen if not one.problem}  # of two answers the later stays
    found = []
    for text, lives_in, names, look in _ASSUMPTIONS:
        answers = {name: one for name, one in answered.items() if name in (names or answered)}
        found.append(Assumption(text, *(look(answers) if answers else (None, "no answer")), lives_in))
    return [*found, Assumption("a 429 says in Retry-After how long to wait", *_retry_after(seen), "ncbi/http.py")]


def in_words(one: Seen) -> str:
    """An answer in a few words."""
    if one.problem:
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


def _count(one: Seen | None) -> int | None:
    answer = _answer(one) if one else None
    return answer.record_count if isinstance(answer, Summary) else None


def _known(answers: Mapping[str, Seen]) -> Found:
    (one,) = answers.values()
    return bool(_count(one)), in_words(one)


def _zero(answers: Mapping[str, Seen]) -> Found:
    (one,) = answers.values()
    count = _count(one)
    if count:
        # Where there are records after all, nothing is learnt of how zero is sent.
        return None, f"{count:,} records were found after all"
    if count is None:
        return False, in_words(one)
    # A count is told by an object of JSON alone, so that the body is one.
    is_sent = "record_count" in json.loads(one.body)
    return True, "record_count: 0 was sent" if is_sent else "record_count was left out"


def _taken(answers: Mapping[str, Seen]) -> Found:
    (one,) = answers.values()
    return isinstance(_answer(one), Summary), in_words(one)


def _post(answers: Mapping[str, Seen]) -> Found:
    posted, got = answers.get("post"), _count(answers.get("date_rfc3339"))
    if posted is None or got is None:
        return None, "no answer to compare"
    return _count(posted) == got, f"POST: {in_words(posted)}; GET: {got:,} records"


def _refused_as(*reasons: str) -> Look:
    def look(answers: Mapping[str, Seen]) -> Found:
        parsed = [_answer(one) for one in answers.values()]
        held = all(isinstance(answer, Failure) and answer.reason in reasons for answer in parsed)
        return held, "; ".join(f"{one.status} {in_words(one)}" for one in answers.values())

    return look


def _header(name: str) -> Look:
    def look(answers: Mapping[str, Seen]) -> Found:
        values = [value for one in answers.values() if (value := one.header(name))]
        told = f"on {len(values)} of {len(answers)} answers"
        return bool(values), f"{told}, as in {one_line(values[0])[:60]}" if values else told

    return look


def _retry_after(seen: Sequence[Seen]) -> Found:
    refused = [one for one in seen if one.status == 429]
    if not refused:
        return None, "there was no 429, and none was provoked"
    values = [value for one in refused if (value := one.header("Retry-After"))]
    return bool(values), f"{len(refused)} answers of 429, Retry-After: {', '.join(values) or 'none'}"


# What is assumed, the file that depends on it, the questions that tell (none: all of them), and how to see it.
_ASSUMPTIONS: tuple[tuple[str, str, tuple[str, ...], Look], ...] = (
    ("taxon 2697049 is known and has records", "model/filters.py", ("known",), _known),
    ("zero is sent as 0, or left out", "ncbi/parse.py", ("zero",), _zero),
    ("dates in RFC 3339 are taken", "model/filters.py", ("date_rfc3339",), _taken),
    ("%2F in a name reaches the taxon", "model/queries.py", ("slash",), _taken),
    ("POST counts as GET does", "model/queries.py", ("post", "date_rfc3339"), _post),
    (
        "an unknown taxon is refused as unknown",
        "ncbi/parse.py",
        ("unknown_taxon", "unknown_id"),
        _refused_as("unknown_taxon"),
    ),
    (
        "a name of two taxa, or of no virus, is refused as such",
        "ncbi/parse.py",
        ("ambiguous",),
        _refused_as("ambiguous_name", "not_a_virus"),
    ),
    ("BIOSAMPLE_REPORT is taken", "model/filters.py", ("biosample_report",), _taken),
    ("BIOSAMPLE is not in the enum, and refused", "model/filters.py", ("biosample",), _refused_as("bad_request")),
    ("lists go as repeated keys", "model/queries.py", ("lists",), _taken),
    ("the limit is told in X-RateLimit-Limit", "ncbi/http.py", (), _header("X-RateLimit-Limit")),
    ("answers carry an NCBI-PHID", "ncbi/http.py", (), _header("NCBI-PHID")),
)
