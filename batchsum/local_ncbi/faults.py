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

import asyncio
import json
import math
import re
import shlex
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from aiohttp import web

from batchsum.local_ncbi.question import Refusal

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

    @property
    def is_about_the_limit(self) -> bool:
        """Whether it changes the server's own 429s and no other answer."""
        return self.effects == Effects(retry_after=self.effects.retry_after)


def parse_fault(spec: str) -> Fault:
    """One fault of its line. Raises ValueError with a message that names the word and says what to write."""
    try:
        words = shlex.split(spec)
    except ValueError:
        raise ValueError(f"fault {spec!r}: a quotation mark is not closed") from None
    meant: dict[str, Any] = {}
    seen: set[str] = set()
    for text in words:
        name, sep, value = text.partition("=")
        try:
            if name in seen:
                raise ValueError(f"'{name}' is given twice")
            seen.add(name)
            fields = _read_word(name, value) if sep else _bare_effect(name)
            # One answer cannot both be reset and be a page of HTML.
            if "breakage" in fields and "breakage" in meant:
                raise ValueError("an answer can be broken in one way only; make it two faults")
        except ValueError as exc:
            raise ValueError(f"fault {spec!r}: {exc}") from None
        meant |= fields
    effects = {name: meant.pop(name) for name in Effects.__slots__ if name in meant}
    if not effects:
        raise ValueError(f"fault {spec!r}: nothing happens; add an effect, {EXAMPLE}")
    return Fault(spec, Effects(**effects), **meant)


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

    def effects(self, question: str, endpoint: str, names: Set[str], now: float) -> Effects:
        """What happens to a question that came at `now` (seconds of any steady clock).

        `names` are the names and ids of its taxa, in small letters.
        """
        if self._begun is None:
            self._begun = now
        result = HEALTHY
        for fault in self._faults:
            if self._applies(fault, question, endpoint, names, now - self._begun):
                result = result.and_also(fault.effects)
        return result

    def _applies(self, fault: Fault, question: str, endpoint: str, names: Set[str], elapsed: float) -> bool:
        if (fault.taxon and fault.taxon not in names) or fault.endpoint not in ("", endpoint):
            return False
        if not fault.after <= elapsed < fault.after + fault.lasting:
            return False
        if fault.share < 1 and self._lots.random() >= fault.share:
            return False
        if not fault.times:
            return True
        # Counted last: `times` are the requests that meet all other conditions.
        self._asked[fault.spec, question] += 1
        return self._asked[fault.spec, question] <= fault.times


async def respond(
    request: web.BaseRequest, effects: Effects, status: int, body: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    """The answer with its effects. What is no longer an HTTP answer has been sent when this returns."""
    breakage = effects.breakage
    if breakage == "outage":
        _hang_up(request)
        # The connection is gone, but aiohttp wants a response to end the request with.
        return web.Response(status=503)
    if breakage in ("status", "html"):
        return _error(effects, headers)
    if status == 200 and breakage in _BODIES:
        return web.Response(body=_BODIES[breakage], headers=headers)
    is_cut = breakage in ("truncate", "reset")
    if not is_cut and not effects.drip:
        return web.Response(body=body, status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    # The whole length is promised: that the body is cut short can be seen.
    response.content_length = len(body)
    await response.prepare(request)
    if is_cut:
        await response.write(body[: len(body) // 2])
        _hang_up(request, breakage)
        return response
    for index in range(len(body)):
        await asyncio.sleep(effects.drip)
        await response.write(body[index : index + 1])
    return response


def _error(effects: Effects, headers: dict[str, str]) -> web.Response:
    if effects.retry_after is not None:
        headers = {**headers, "Retry-After": str(effects.retry_after)}
    if effects.breakage == "html":
        headers = {**headers, "Content-Type": "text/html; charset=utf-8"}
        return web.Response(text=_BLOCKED_PAGE.format(status=effects.status), status=effects.status, headers=headers)
    refusal = Refusal(f"Fault on demand: {effects.status}", effects.status)
    return web.Response(body=json.dumps(refusal.document).encode(), status=effects.status, headers=headers)


def miscount(document: dict[str, Any], effects: Effects) -> None:
    """Make the count of an answer wrong, where it has one."""
    # Pages of records count in total_count, so that both endpoints tell the same wrong number.
    name = "total_count" if "total_count" in document else "record_count"
    count = document.get(name)
    if effects.zero == "omit" and count == 0:
        document.pop(name)
    if effects.count and count is not None:
        if factor := re.fullmatch(r"\*(.+)", effects.count):
            document[name] = int(count * float(factor[1]))
        elif effects.count == "none":
            document.pop(name)
        else:
            document[name] = json.loads(effects.count)


def _hang_up(request: web.BaseRequest, how: str = "") -> None:
    transport = request.transport
    if transport is not None and how == "truncate":
        # What was written is sent before.
        transport.close()
    elif transport is not None:
        if how == "reset":
            # Nothing lingers: the close becomes a TCP reset.
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


_BLOCKED_PAGE = (
    "<!DOCTYPE html><html><head><title>{status} Error - NCBI</title></head>"
    "<body><h1>Access denied</h1><p>Your access to this site has been restricted.</p></body></html>"
)
_ERROR_INSIDE = {
    "virus_error_code": "UNKNOWN_VIRUS_ERROR_CODE",
    "reason": "Internal error",
    "message": "The virus service did not answer this question.",
}
# What a 200 says instead of an answer.
_BODIES = {
    "empty": b"",
    "garbage": b'{"record_count": 12',
    "error": json.dumps({"errors": [_ERROR_INSIDE]}).encode(),
}


def _read_word(name: str, value: str) -> dict[str, Any]:
    """The fields of Fault or of Effects that `name=value` sets."""
    if (word := _WORDS.get(name)) is None:
        known = ", ".join([*_WORDS, *BREAKAGES, "html403"])
        raise ValueError(f"'{name}' is no word of a fault; known are {known}")
    if not value.strip() or not re.fullmatch(word.pattern, value):
        wrong = f"{name}={value}" if value.strip() else f"'{name}=' is empty"
        raise ValueError(f"{wrong}: write {word.wanted}, such as {name}={word.example}")
    fields = {word.field: word.convert(value)}
    # A status is a breakage of its own; `status=503 reset` is refused like any other two.
    return {"breakage": "status", **fields} if name == "status" else fields


def _bare_effect(name: str) -> dict[str, Any]:
    if name in BREAKAGES:
        return {"breakage": name}
    if page := re.fullmatch(r"html([45]\d\d)", name):
        return {"breakage": "html", "status": int(page[1])}
    if word := _WORDS.get(name):
        raise ValueError(f"'{name}' needs a value, such as {name}={word.example}")
    raise ValueError(f"'{name}' is no word of a fault; {EXAMPLE}")


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_seconds(text: str) -> float:
    """Seconds of `200ms`, `30s`, `10m`, `6h` or `7d`. Raises ValueError with a message to show."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", text)
    if not match:
        raise ValueError(f"{text!r} is no duration; write it as 200ms, 30s, 10m, 6h or 7d")
    return float(match[1]) * _UNITS[match[2]]


class _Word(NamedTuple):
    """What may stand behind the `=` of a word, and what it means."""

    field: str  # of Fault or of Effects
    pattern: str
    convert: Callable[[str], object]
    example: str
    wanted: str


_WORDS = {
    "taxon": _Word("taxon", r"(?s:.*)", lambda text: text.strip().casefold(), "11320", "its id or a name"),
    "endpoint": _Word("endpoint", "|".join(ENDPOINTS), str, "summary", f"one of {', '.join(ENDPOINTS)}"),
    "share": _Word("share", r"0?\.\d+|1(\.0+)?|0", float, "0.05", "a share from 0 to 1"),
    "times": _Word("times", r"0*[1-9]\d{0,5}", int, "2", "a whole number, 1 or more"),
    "after": _Word("after", ".*", duration_seconds, "10s", "a duration"),
    "for": _Word("lasting", ".*", duration_seconds, "30s", "a duration"),
    "status": _Word("status", r"[3-5]\d\d", int, "503", "an HTTP status from 300 to 599"),
    "retry-after": _Word("retry_after", r"\d{1,6}", int, "2", "a whole number of seconds"),
    "delay": _Word("delay", ".*", duration_seconds, "20s", "a duration"),
    "drip": _Word("drip", ".*", duration_seconds, "1s", "a duration"),
    "count": _Word("count", r"\*\d+(\.\d+)?|\d{1,9}|none|null", str, "*0.4", "a factor, a number, none or null"),
    "zero": _Word("zero", "omit", str, "omit", "one of omit"),
    "stale": _Word("stale_days", r"\d{1,4}d", lambda text: int(text[:-1]), "30d", "whole days"),
}
