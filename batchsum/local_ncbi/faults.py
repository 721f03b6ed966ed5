"""Faults on demand, for rehearsing a night: one fault is one line of words, conditions and effects in any order.

Conditions, all of which must hold (without any, every request is hit):

    taxon=11320          this taxon, by id or by name ('taxon="Influenza A virus"')
    endpoint=summary     only summary, report, taxonomy or version
    share=0.05           this share of the requests, drawn from a fixed seed
    times=2              the first two requests of each question
    after=10s            from ten seconds after the first request on
    for=30s              for thirty seconds (from `after` on)

Effects (one answer is broken in one way; `delay`, `drip`, `count` and `stale` go with others):

    status=503           this status with an error body; `retry-after=3` beside it adds the header
    html403              this status with a page of HTML, as a blocked address gets
    outage               the connection is closed without an answer
    reset                half of the body, then a TCP reset
    truncate             half of the body, then the connection is closed
    empty                200 with an empty body
    garbage              200 with a body that is no JSON
    error                200 with an error inside instead of a count
    delay=20s            the answer comes so much later
    drip=1s              the body comes byte by byte, with this pause
    count=*0.4           wrong counts: times a factor; `count=7` a number, `count=none` left out, `count=null`
    zero=omit            an answer of zero records leaves the count out
    stale=30d            the data of that many days ago, and their date, as from a copy that lags behind
    retry-after=3        alone: the server's own 429s carry the header

Durations are `200ms`, `30s`, `10m`, `6h` or `7d`.
"""

import math
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from batchsum.local_ncbi.limits import duration_seconds

# Endpoints as the gateway's routes name them.
ENDPOINTS = ("summary", "report", "taxonomy", "version")
BREAKAGES = ("outage", "reset", "truncate", "empty", "garbage", "error")
EXAMPLE = "for example 'taxon=11320 status=503 times=2'"


@dataclass(frozen=True, slots=True)
class Effects:
    """What happens to one answer. Times are seconds; nothing of it is set in a healthy one."""

    breakage: str = ""  # one of outage, reset, truncate, empty, garbage, error, status, html
    status: int = 0
    retry_after: int | None = None
    delay: float = 0.0
    drip: float = 0.0
    count: str = ""
    zero: str = ""
    stale_days: int = 0

    def and_also(self, other: "Effects") -> "Effects":
        """Both; where they contradict each other, this one."""
        names = [name for name in Effects.__slots__ if getattr(self, name) == getattr(HEALTHY, name)]
        # The status belongs to its breakage: html403 is not made html503 by another fault.
        if self.breakage:
            names = [name for name in names if name not in ("status", "retry_after")]
        return replace(self, **{name: getattr(other, name) for name in names})


HEALTHY = Effects()


@dataclass(frozen=True, slots=True)
class Fault:
    """One line: when it applies, and what it does."""

    spec: str
    effects: Effects
    taxon: str = ""
    endpoint: str = ""
    share: float = 1.0
    times: int = 0  # 0: always
    after: float = 0.0
    lasting: float = math.inf

    # Such a fault changes the server's own 429s and no other answer.
    @property
    def is_about_the_limit(self) -> bool:
        return self.effects == Effects(retry_after=self.effects.retry_after)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a fault may look at: the question as it was sent, and its taxon as text and as id, if any."""

    question: str
    endpoint: str
    taxa: frozenset[str] = field(default_factory=frozenset)


def parse_fault(spec: str) -> Fault:
    """One fault of its line. Raises ValueError with a message that names the word and says what to write."""
    try:
        words = shlex.split(spec)
    except ValueError:
        raise ValueError(f"fault {spec!r}: a quotation mark is not closed") from None
    conditions: dict[str, Any] = {}
    effects: dict[str, Any] = {}
    seen: set[str] = set()
    for word in words:
        name, sep, value = word.partition("=")
        if name in seen:
            raise ValueError(f"fault {spec!r}: '{name}' is given twice")
        seen.add(name)
        try:
            where, meaning = _read_word(name, value if sep else None)
        except ValueError as exc:
            raise ValueError(f"fault {spec!r}: {exc}") from None
        # One answer cannot both be reset and be a page of HTML.
        if where == "effect" and "breakage" in meaning and "breakage" in effects:
            raise ValueError(f"fault {spec!r}: an answer can be broken in one way only; make it two faults")
        (effects if where == "effect" else conditions).update(meaning)
    if not effects:
        raise ValueError(f"fault {spec!r}: nothing happens; add an effect, {EXAMPLE}")
    return Fault(spec, Effects(**effects), **conditions)


class FaultPlan:
    """The faults of a server and what they have to remember: the first request, and how often each was asked."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = [fault for fault in faults if not fault.is_about_the_limit]
        limits = [fault.effects.retry_after for fault in faults if fault.is_about_the_limit]
        self.retry_after = limits[0] if limits else None
        # A fixed seed: the same requests in the same order meet the same faults, so that a rehearsal can be repeated.
        self._lots = Random(11320)
        self._begun: float | None = None
        self._asked: Counter[tuple[str, str]] = Counter()

    def __bool__(self) -> bool:
        return bool(self._faults)

    def effects(self, asked: Asked, now: float) -> Effects:
        """What happens to a request that came at `now` (seconds of any steady clock)."""
        if self._begun is None:
            self._begun = now
        result = HEALTHY
        for fault in self._faults:
            if self._applies(fault, asked, now - self._begun):
                result = result.and_also(fault.effects)
        return result

    def _applies(self, fault: Fault, asked: Asked, elapsed: float) -> bool:
        if fault.taxon and fault.taxon not in asked.taxa:
            return False
        if fault.endpoint and fault.endpoint != asked.endpoint:
            return False
        if not fault.after <= elapsed < fault.after + fault.lasting:
            return False
        if fault.share < 1 and self._lots.random() >= fault.share:
            return False
        # Counted last: `times` are the requests that meet all other conditions.
        if fault.times:
            self._asked[fault.spec, asked.question] += 1
            return self._asked[fault.spec, asked.question] <= fault.times
        return True


def _read_word(name: str, value: str | None) -> tuple[str, dict[str, Any]]:
    if value is None:
        return "effect", _bare_effect(name)
    if name in _CONDITIONS:
        key, read = _CONDITIONS[name]
        return "condition", {key: read(name, value)}
    if name in _EFFECTS:
        key, read = _EFFECTS[name]
        effect = {key: read(name, value)}
        # A status is a breakage of its own; `status=503 reset` is refused like any other two.
        return "effect", {"breakage": "status", **effect} if name == "status" else effect
    known = ", ".join([*_CONDITIONS, *_EFFECTS, *BREAKAGES, "html403"])
    raise ValueError(f"'{name}' is no word of a fault; known are {known}")


def _bare_effect(word: str) -> dict[str, Any]:
    if word in BREAKAGES:
        return {"breakage": word}
    if word == "drip":
        return {"drip": 1.0}
    if page := re.fullmatch(r"html([45]\d\d)", word):
        return {"breakage": "html", "status": int(page[1])}
    if word in _CONDITIONS or word in _EFFECTS:
        raise ValueError(f"'{word}' needs a value, such as {word}={_EXAMPLES.get(word, '1')}")
    raise ValueError(f"'{word}' is no word of a fault; {EXAMPLE}")


def _read_seconds(name: str, value: str) -> float:
    try:
        return duration_seconds(value)
    except ValueError as exc:
        raise ValueError(f"{name}={value}: {exc}") from None


def _read_days(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,4}d", value):
        raise ValueError(f"{name}={value}: write whole days, such as {name}=30d")
    return int(value[:-1])


def _read_number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,6}", value):
        raise ValueError(f"{name}={value}: write a whole number, such as {name}=2")
    return int(value)


def _read_times(name: str, value: str) -> int:
    if (times := _read_number(name, value)) < 1:
        raise ValueError(f"{name}={value}: write 1 or more")
    return times


def _read_status(name: str, value: str) -> int:
    if not re.fullmatch(r"[3-5]\d\d", value):
        raise ValueError(f"{name}={value}: write an HTTP status from 300 to 599, such as {name}=503")
    return int(value)


def _read_share(name: str, value: str) -> float:
    if not re.fullmatch(r"0?\.\d+|1(\.0+)?|0", value):
        raise ValueError(f"{name}={value}: write a share from 0 to 1, such as {name}=0.05")
    return float(value)


def _read_text(name: str, value: str) -> str:
    if not value.strip():
        raise ValueError(f"'{name}=' is empty")
    return value.strip().casefold()


def _read_count(name: str, value: str) -> str:
    if not re.fullmatch(r"\*\d+(\.\d+)?|\d{1,9}|none|null", value):
        raise ValueError(f"{name}={value}: write {name}=*0.4, {name}=7, {name}=none or {name}=null")
    return value


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in choices:
            raise ValueError(f"{name}={value}: write one of {', '.join(choices)}")
        return value

    return read


_CONDITIONS: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "taxon": ("taxon", _read_text),
    "endpoint": ("endpoint", _one_of(*ENDPOINTS)),
    "share": ("share", _read_share),
    "times": ("times", _read_times),
    "after": ("after", _read_seconds),
    "for": ("lasting", _read_seconds),
}
_EFFECTS: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "status": ("status", _read_status),
    "retry-after": ("retry_after", _read_number),
    "delay": ("delay", _read_seconds),
    "drip": ("drip", _read_seconds),
    "count": ("count", _read_count),
    "zero": ("zero", _one_of("omit")),
    "stale": ("stale_days", _read_days),
}
_EXAMPLES = {
    "taxon": "11320",
    "endpoint": "summary",
    "share": "0.05",
    "after": "10s",
    "for": "30s",
    "status": "503",
    "delay": "20s",
    "count": "*0.4",
    "zero": "omit",
    "stale": "30d",
}
