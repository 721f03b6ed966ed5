"""A webhook and a ping: one POST each to an address that is itself a secret.

The address stands in an environment variable and in no log, file or message: only its host is ever told.
"""

import asyncio
import os
import uuid
from typing import Any

import aiohttp
from yarl import URL

from batchsum.config.values import is_loopback
from batchsum.errors import UsageError
from batchsum.ncbi.proxy import proxy_of_environment
from batchsum.version import __version__

LARGEST_PING = 10_000
"""Bytes of a ping's body; Healthchecks keeps no more of it."""
_PING_PAUSES = (0.0, 1.0, 2.0)
_PASSING = frozenset({408, 425, 429, *range(500, 600)})


class NoAddress(ValueError):
    """The environment variable holds no address that may be used; says which variable, never its value."""


def address(variable: str) -> URL:
    """The address in an environment variable: https, or http to this machine. Raises NoAddress."""
    text = os.environ.get(variable, "").strip()
    if not text:
        raise NoAddress(f"{variable} is not set")
    try:
        url = URL(text)
        valid = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        valid = False
    if not valid:
        raise NoAddress(f"{variable} holds no address; it begins with https://")
    if url.scheme == "http" and not is_loopback(url.host or ""):
        raise NoAddress(f"{variable}: the address is not encrypted; use https://")
    return url


async def post_message(url: URL, text: str, *, key: str, seconds: float) -> str:
    """POST `{"text": ...}`; empty where it was taken, else what went wrong. `key` tells a repetition."""
    return (await _post(url, seconds, json={"text": text}, headers={"Idempotency-Key": key}))[0]


async def ping(url: URL, what: str, body: str, *, run_id: str, seconds: float) -> str:
    """POST to the address with `/start` or `/{exit code}` behind its path, as Healthchecks has it.

    The run's id goes along as `rid`, always the same UUID for the same run. Tried again while there is time.
    """
    target = url.with_path(f"{url.raw_path.rstrip('/')}/{what}", encoded=True).with_query(url.query)
    if run_id:
        target = target.update_query(rid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"batchsum:{run_id}")))
    problem, loop = "", asyncio.get_running_loop()
    end = loop.time() + seconds
    for pause in _PING_PAUSES:
        if loop.time() + pause >= end:
            break
        await asyncio.sleep(pause)
        problem, passing = await _post(target, end - loop.time(), data=body.encode()[:LARGEST_PING])
        if not passing:
            break
    return problem


async def _post(url: URL, seconds: float, **request: Any) -> tuple[str, bool]:
    """What went wrong, and whether it may pass. The texts of errors can hold the address and are not repeated."""
    try:
        proxy = proxy_of_environment(url)
    except UsageError as error:
        return str(error), False
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"batchsum/{__version__}"},
        timeout=aiohttp.ClientTimeout(total=seconds),
    )
    try:
        async with session, session.post(url, allow_redirects=False, proxy=proxy, **request) as response:
            status = response.status
    except TimeoutError:
        return f"{url.host}: no answer within {seconds:.0f} s", True
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"{url.host}: no answer ({type(error).__name__})", True
    return ("", False) if 200 <= status < 300 else (f"{url.host}: HTTP {status}", status in _PASSING)
