"""Which server is asked: what a base URL may be, where it comes from, and what is known of NCBI's own."""

import ipaddress
import math
import os
import re
from typing import Literal
from urllib.parse import urlsplit

from batchsum.errors import UsageError
from batchsum.model.filters import parse_text

BASE_URL = "https://api.ncbi.nlm.nih.gov/datasets/v2"
NCBI_LIMIT = 10.0
"""Requests a second that NCBI allows at most, with a key."""


def default_base_url() -> str:
    """That of the environment variable BATCHSUM_BASE_URL, else NCBI's. UsageError where it is no address."""
    if not (text := os.environ.get("BATCHSUM_BASE_URL")):
        return BASE_URL
    try:
        return check_base_url(text)
    except ValueError as error:
        raise UsageError(f"BATCHSUM_BASE_URL: {error}") from None


def check_base_url(text: str, allow_http: bool = False) -> str:
    """The address before `/virus/...`, without a slash at its end: https, or http to this machine."""
    example = f"write it as in {BASE_URL}"
    text = parse_text(text)
    try:
        url = urlsplit(text)  # looks at the port only when asked for it
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError(f"is not an address; {example}") from None
    if "@" in url.netloc:
        raise ValueError("holds a user name or password; a key belongs in a file, named by api_key_file")
    if url.query or url.fragment or "?" in text or "#" in text:
        raise ValueError(f"has something behind ? or #; {example}")
    if url.scheme not in ("http", "https") or not host or port == 0 or re.search(r"[\s\\]", text):
        raise ValueError(f"{text!r} is not an address; {example}")
    if url.scheme == "http" and not (allow_http or is_loopback(host)):
        raise ValueError(f"{text!r} is not encrypted; write https://, or set allow_http: true")
    return text.rstrip("/")  # the paths that are joined to it begin with one


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, by name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ncbi(host: str) -> bool:
    host = host.lower().rstrip(".")
    return host == "ncbi.nlm.nih.gov" or host.endswith(".ncbi.nlm.nih.gov")


def rate_and_ceiling(
    setting: float | Literal["auto", "unlimited"], host: str, *, has_key: bool = False
) -> tuple[float, float]:
    """Requests a second that `setting` means for `host`: to begin with, and what no header may raise them above.

    UsageError where NCBI would have to suffer it.
    """
    if setting == "auto":
        return NCBI_LIMIT if has_key else 3.0, NCBI_LIMIT if is_ncbi(host) else math.inf
    rate = math.inf if setting == "unlimited" else float(setting)
    if not rate > 0:
        raise UsageError(f"requests per second: {setting} is no rate; write auto, or a number above 0")
    if is_ncbi(host) and rate > NCBI_LIMIT:
        shown = setting if isinstance(setting, str) else f"{rate:g}"
        told = f"requests per second: {host} allows {NCBI_LIMIT:g} at most; write auto instead of {shown}"
        raise UsageError(f"{told}, or run with --base-url")
    return rate, rate
