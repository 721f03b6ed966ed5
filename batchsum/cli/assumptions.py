"""What batchsum takes for granted of the service, and the questions whose answers bear it out or not.

Both are tables. `data/probe_questions.tsv` has what is asked, spelled by hand: the client never sends some of these
forms. `data/probe_assumptions.tsv` has what is assumed, the one file that depends on it (what a probe refutes is mended
there), the questions that tell, and what their answers must be. Some questions settle what batchsum does not depend on,
as other forms of a date: their answers are shown, and nothing is judged.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from batchsum.model.queries import Answer, Failure, Summary
from batchsum.ncbi.parse import parse_answer
from batchsum.text import one_line

_WIDEST = 90
_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Question:
    """One request as it is sent."""

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
            return "records, but no count" if answer.record_count is None else f"{answer.record_count:,} records"
        words = one_line(f"{answer.status}: {answer}")
        return words if len(words) <= _WIDEST else words[: _WIDEST - 1] + "…"


def questions(today: date) -> tuple[Question, ...]:
    """What a probe asks, in order; `today` is a day on which nothing can have been released yet.

    The first is what any later answer is compared with. An influenza strain is written with slashes, which a proxy
    may unfold into a longer path. Mus is a genus and a subgenus of mice: two taxa, and neither is a virus.
    """
    rows = _rows("probe_questions.tsv", today=today.isoformat())
    return tuple(
        Question(row["name"], row["settles"], row["path"], json.loads(row["body"]) if row["body"] else None)
        for row in rows
    )


def _rows(name: str, today: str = "") -> Iterable[dict[str, str]]:
    # Not str.format and no quoting, since the bodies are JSON: braces and quotes are their own.
    text = (_DATA / name).read_text(encoding="utf-8").replace("{today}", today)
    return csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)


def judge_assumptions(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """`assumption`, `held` (None where nothing was seen to tell by), `saw` and `lives_in` of each, ready for JSON.

    Of a question asked twice the last answer counts.
    """
    answered = {one.name: one for one in seen if not one.problem}  # of two answers the later stays
    found = []
    for row in _rows("probe_assumptions.tsv"):
        names, expected = row["questions"].split(), row["expected"]
        answers = {name: answered[name] for name in names if name in answered}
        if expected == "Retry-After":
            held, saw = _header(expected, [one for one in seen if one.status == 429])
        elif not names:
            held, saw = _header(expected, [*answered.values()])
        else:
            held, saw = _body(expected, answers) if answers else (None, "no answer")
        found.append({"assumption": row["assumption"], "held": held, "saw": saw, "lives_in": row["lives_in"]})
    return found


def _header(name: str, answers: Sequence[Seen]) -> tuple[bool | None, str]:
    """Whether a header came, with one of its values."""
    if not answers:
        return None, "there was no 429, and none was provoked" if name == "Retry-After" else "no answer"
    headers = [{key.lower(): value for key, value in one.headers.items()} for one in answers]
    values = [value for one in headers if (value := one.get(name.lower()))]
    told = f"on {len(values)} of {len(answers)} answers"
    return bool(values), f"{told}, as in {one_line(values[0])[:60]}" if values else told


def _body(expected: str, answers: Mapping[str, Seen]) -> tuple[bool | None, str]:
    """Whether the answers are of the kind that the table expects, or refused for one of the reasons that it names."""
    one, *_ = answers.values()
    count = one.count()
    match expected:
        case "records":
            return bool(count), str(one)
        case "taken":
            return isinstance(one.answer(), Summary), str(one)
        case "zero" if count:  # nothing is learnt of how zero is sent
            return None, f"{count:,} records were found after all"
        case "zero" if count is None:
            return False, str(one)
        case "zero":  # a count is told by an object of JSON alone, so that the body is one
            is_sent = "record_count" in json.loads(one.body)
            return True, "record_count: 0 was sent" if is_sent else "record_count was left out"
        case "same":
            counts = [other.count() for other in answers.values()]
            if len(counts) < 2 or counts[1] is None:
                return None, "no answer to compare"
            return counts[0] == counts[1], f"POST: {one}; GET: {counts[1]:,} records"
    parsed = [other.answer() for other in answers.values()]
    held = all(isinstance(answer, Failure) and answer.reason in expected.split() for answer in parsed)
    return held, "; ".join(f"{other.status} {other}" for other in answers.values())
