"""Text to setting values: what a job file or an option says of server, pace, bounds and output.

As in `filters`, a ValueError says what to write instead. What may be a secret is never repeated in a message.
"""

import re
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from batchsum.model.filters import parse_duration, parse_text

_ADDRESS = re.compile(r"[^@\s()<>]+@[^@\s()<>]+|https?://[^\s()<>]+")


def parse_shared_limit(text: str) -> str:
    """The address of a Redis or Valkey, without its password."""
    example = "write it as in redis://host:6379/0, rediss://host/0 or unix:///run/redis.sock"
    try:
        url = urlsplit(parse_text(text))
        port = url.port  # is parsed only here, and raises where it is no port
    except ValueError:
        raise ValueError(f"is not the address of a Redis; {example}") from None
    if url.password is not None:
        raise ValueError("holds a password; put it into the environment variable BATCHSUM_REDIS_PASSWORD")
    if url.query or url.fragment:
        raise ValueError(f"has something behind ? or #; {example}")
    is_socket = url.scheme == "unix" and not url.netloc and url.path
    is_host = url.scheme in ("redis", "rediss") and url.hostname and port != 0
    if not (is_socket or (is_host and re.fullmatch(r"/?[0-9]{0,4}", url.path))):
        raise ValueError(f"{text!r} is not the address of a Redis; {example}")
    return text


def parse_requests_per_second(text: str) -> float | Literal["auto", "unlimited"]:
    if text in ("auto", "unlimited"):
        return text  # type: ignore[return-value]
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not float(text):
        raise ValueError(f"{text!r} is not a rate; write auto, unlimited or a number above zero, as in 10")
    return float(text)


def parse_integer(text: str, lowest: int, highest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or not lowest <= int(text) <= highest:  # int() would take 1_000 too
        raise ValueError(f"{text!r} is not a whole number from {lowest:,} to {highest:,}")
    return int(text)


def parse_timeout(text: str) -> timedelta:
    length = parse_duration(text)
    if not timedelta(seconds=1) <= length <= timedelta(hours=1):
        raise ValueError(f"{text!r} is not between 1s and 1h")
    return length


def parse_some_time(text: str, otherwise: str) -> timedelta:
    """A duration above zero; `otherwise` says what is wrong with none."""
    if not (length := parse_duration(text)):
        raise ValueError(f"{text!r} {otherwise}")
    return length


def parse_window(text: str) -> timedelta:
    length = parse_duration(text)
    if not length or length % timedelta(days=1):
        raise ValueError(f"{text!r} is not in whole days; write it as in 7d")
    return length


def parse_contact(text: str) -> str:
    """An e-mail address or a URL, fit for the User-Agent header."""
    text = parse_text(text)
    if not text.isascii() or not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is neither an e-mail address nor a URL, as me@lab.org or https://lab.org")
    return text


def parse_percent(text: str) -> float:
    """`20%` is 0.2."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%", text.strip())
    if match and float(match[1]) <= 100:
        return float(match[1]) / 100
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        number = float(text)
        percent = number * 100 if number <= 1 else number  # 0.2 was surely meant as 20%, and so was 20
        hint = f"{percent:g}%" if percent <= 100 else "20%"
        raise ValueError(f"{text!r} is not a percentage; write {hint}")
    raise ValueError(f"{text!r} is not a percentage; write it from 0% to 100%, as in 20%")


def parse_environment_name(text: str) -> str:
    if "://" in text:
        raise ValueError(
            "is an address, which may be secret; put it into an environment variable, and write the "
            "variable's name here"
        )
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", text):
        raise ValueError("is not the name of an environment variable; write it as in SLACK_WEBHOOK")
    return text


def parse_job_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) or text in (".", ".."):
        hint = f"write {near}" if (near := job_name_like(text)) else "write a word, as in nightly"
        raise ValueError(f"{text!r} is not 1 to 64 letters, digits, '.', '_' and '-'; {hint}")
    return text


def job_name_like(text: str) -> str:
    """`text` as far as it can be the name of a job: `my-job` for `my job!`; empty where nothing of it can."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")[:64]
    return name if name.strip(".") else ""


def parse_path(text: str) -> str:
    if not text.strip() or any(ord(character) < 32 for character in text):
        raise ValueError("is not the path of a file or directory")
    return text


def parse_argument(text: str) -> str:
    """A word of a command: any text that a process can be given."""
    if re.search("[\0\ud800-\udfff]", text):
        raise ValueError("is not text that a command can be given")
    return text
