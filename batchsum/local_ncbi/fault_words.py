"""The words of a fault's line, each read strictly; a message says what to write instead."""

import re
from collections.abc import Callable
from typing import Any

from batchsum.local_ncbi.latency import parse_duration

ENDPOINTS = ("summary", "report", "taxonomy", "version")
BREAKAGES = ("outage", "reset", "truncate", "empty", "garbage", "error")
EXAMPLE = "for example 'taxon=11320 status=503 times=2'"


def read_word(name: str, value: str | None) -> tuple[str, dict[str, Any]]:
    if value is None:
        return "effect", _bare_effect(name)
    if name in _CONDITIONS:
        key, read = _CONDITIONS[name]
        return "condition", {key: read(name, value)}
    if name in _EFFECTS:
        key, read = _EFFECTS[name]
        effect = {key: read(name, value)}
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
        return parse_duration(value)
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
