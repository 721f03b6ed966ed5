"""Times, lengths of time and numbers of things as they are written everywhere."""

from datetime import UTC, datetime


def utc_text(time: datetime, timespec: str = "seconds") -> str:
    """`2026-11-26T03:00:05Z`: ISO 8601, UTC, to the second or as `timespec` says."""
    return time.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def spoken(seconds: float) -> str:
    """`45 s`, `2 min 05 s`, `3 h 20 min`, `4 days 3 h`: the two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    days = whole // 86400
    return f"{days} day{'s' if days > 1 else ''} {whole % 86400 // 3600} h"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def install_extra(extra: str) -> str:
    return f"install batchsum with its extra {extra}: pip install '.[{extra}]' in a clone of it"


LONGEST_DETAIL = 300


def one_line(text: str) -> str:
    """Text from outside, fit for a cell and a log line."""
    folded = " ".join(visible(text).split())
    return folded if len(folded) <= LONGEST_DETAIL else folded[: LONGEST_DETAIL - 1] + "…"


def visible(text: str) -> str:
    """Without what nobody can see, and what no file can hold (half of a surrogate pair)."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)
