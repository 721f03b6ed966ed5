"""Faults on demand, for rehearsing a night: one fault is one line of words, conditions and effects in any order.

`data/faults.tsv` has every word. Of the conditions, the first six, all must hold; a fault without any hits every
request. One answer is broken in one way; `delay`, `drip`, `count` and `stale` go with others. Durations are `200ms`,
`30s`, `10m`, `6h` or `7d`.
"""

import asyncio
import json
import math
import re
import shlex
import socket
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from random import Random
from typing import Any, NamedTuple

from aiohttp import web

from batchsum.local_ncbi.question import Refusal
from batchsum.local_ncbi.records import read_table


class Effects(NamedTuple):
    """What happens to one answer. Times are seconds; nothing of it is set in a healthy one."""

    breakage: str = ""  # one of outage, reset, truncate, empty, garbage, error, status, html
    status: int = 0
    retry_after: int | None = None
    delay: float = 0.0
    drip: float = 0.0
    wrong_count: str = ""
    zero: str = ""
    stale: float = 0.0


HEALTHY = Effects()


class Fault(NamedTuple):
    """One line: when it applies, and the fields of Effects that it sets."""

    spec: str
    effects: Mapping[str, Any]
    taxon: str = ""
    endpoint: str = ""
    share: float = 1.0
    times: int = 0  # 0: always
    after: float = 0.0
    lasting: float = math.inf

    @property
    def is_about_the_limit(self) -> bool:
        """Whether it changes the server's own 429s and no other answer."""
        return self.effects.keys() == {"retry_after"}


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
            fields = _read_word(name, value if sep else None)
            # One answer cannot both be reset and be a page of HTML.
            if "breakage" in fields and "breakage" in meant:
                raise ValueError("an answer can be broken in one way only; make it two faults")
        except ValueError as exc:
            raise ValueError(f"fault {spec!r}: {exc}") from None
        meant |= fields
    effects = {name: meant.pop(name) for name in Effects._fields if name in meant}
    if not effects:
        raise ValueError(f"fault {spec!r}: nothing happens; add an effect, for example 'taxon=11320 status=503'")
    return Fault(spec, effects, **meant)


class FaultPlan:
    """The faults of a server and what they have to remember: the first request, and how often each was asked."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = [fault for fault in faults if not fault.is_about_the_limit]
        limits = (fault.effects["retry_after"] for fault in faults if fault.is_about_the_limit)
        self.retry_after: int | None = next(limits, None)
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
        meant: dict[str, Any] = {}
        for fault in self._faults:
            if self._applies(fault, question, endpoint, names, now - self._begun):
                # Of two the first wins, and a status belongs to its breakage: html403 is not made html503 by another.
                taken = {*meant, "status", "retry_after"} if "breakage" in meant else meant
                meant |= {name: value for name, value in fault.effects.items() if name not in taken}
        return Effects(**meant)

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
        status, body, headers = _error(effects, headers)
    elif status == 200:
        body = _BODIES.get(breakage, body)
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


def _error(effects: Effects, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an error on demand."""
    if effects.retry_after is not None:
        headers = {**headers, "Retry-After": str(effects.retry_after)}
    if effects.breakage == "html":
        headers = {**headers, "Content-Type": "text/html; charset=utf-8"}
        return effects.status, _BLOCKED_PAGE.format(status=effects.status).encode(), headers
    refusal = Refusal(f"Fault on demand: {effects.status}", effects.status)
    return effects.status, json.dumps(refusal.document).encode(), headers


def miscount(document: dict[str, Any], effects: Effects) -> None:
    """Make the count of an answer wrong, where it has one."""
    # Pages of records count in total_count, so that both endpoints tell the same wrong number.
    name = "total_count" if "total_count" in document else "record_count"
    count = document.get(name)
    if effects.zero == "omit" and count == 0:
        document.pop(name)
    if effects.wrong_count and count is not None:
        if factor := re.fullmatch(r"\*(.+)", effects.wrong_count):
            document[name] = int(count * float(factor[1]))
        elif effects.wrong_count == "none":
            document.pop(name)
        else:
            document[name] = json.loads(effects.wrong_count)


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


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_seconds(text: str) -> float:
    """Seconds of `200ms`, `30s`, `10m`, `6h` or `7d`. Raises ValueError with a message to show."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", text)
    if not match:
        raise ValueError(f"{text!r} is no duration; write it as 200ms, 30s, 10m, 6h or 7d")
    return float(match[1]) * _UNITS[match[2]]


_WORDS = {row["example"].partition("=")[0]: row for row in read_table("faults.tsv")}
_KINDS: Mapping[str, Callable[[str], object]] = {
    "text": str,
    "name": lambda text: text.strip().casefold(),
    "number": float,
    "whole": int,
    "duration": duration_seconds,
}


def _read_word(name: str, value: str | None) -> dict[str, Any]:
    """The fields of Fault or of Effects that `name` sets, or `name=value`."""
    if value is None and (page := re.fullmatch(r"html([45]\d\d)", name)):
        return {"breakage": "html", "status": int(page[1])}
    if (word := _WORDS.get(name)) is None:
        raise ValueError(f"'{name}' is no word of a fault; known are {', '.join(_WORDS)}")
    if not word["kind"]:
        if value is not None:
            raise ValueError(f"'{name}' stands alone, without a value")
        return {"breakage": name}
    if value is None:
        raise ValueError(f"'{name}' needs a value, such as {word['example']}")
    if not value.strip() or not re.fullmatch(word["pattern"], value):
        wrong = f"{name}={value}" if value.strip() else f"'{name}=' is empty"
        raise ValueError(f"{wrong}: write {word['wanted']}, such as {word['example']}")
    fields = {word["sets"]: _KINDS[word["kind"]](value)}
    # A status is a breakage of its own; `status=503 reset` is refused like any other two.
    return {"breakage": "status", **fields} if name == "status" else fields
