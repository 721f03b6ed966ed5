"""The ways to tell somebody: a hook, a webhook, a ping. Each returns what went wrong, empty where it was told.

A hook is a command as an argument list, run without a shell, with the facts as JSON on its standard input. It gets
its own process group, and an environment without the API key; what of the group is left afterwards is killed. What
it prints goes to the log, at debug.

A webhook and a ping are one POST each to an address that is itself a secret. The address stands in an environment
variable and in no log, file or message: only its host is ever told.
"""

import asyncio
import json
import logging
import os
import signal
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from batchsum.errors import UsageError
from batchsum.model.filters import LOOKS_SECRET
from batchsum.ncbi.http import cause, proxy_of_environment
from batchsum.ncbi.urls import is_loopback
from batchsum.text import one_line
from batchsum.version import __version__

log = logging.getLogger("batchsum")

LONGEST_OUTPUT = 4096
"""Bytes of a hook's output that the log keeps."""
_SECRETS = ("NCBI_API_KEY", "CREDENTIALS_DIRECTORY")
"""What a hook does not find in its environment."""
LARGEST_PING = 10_000
"""Bytes of a ping's body; Healthchecks keeps no more of it."""
_PING_PAUSES = (0.0, 1.0, 2.0)
"""Seconds before each try."""
_PASSING = frozenset({408, 425, 429, *range(500, 600)})
"""HTTP statuses after which a ping is worth another try."""


async def run_hook(command: Sequence[str], facts: dict[str, Any], *, directory: Path, seconds: float) -> str:
    """Run `command` in `directory`; empty where it ended well, else what went wrong."""
    # Files, not pipes: a hook may leave its input unread, and may leave a child behind that holds its output.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write((json.dumps(facts) + "\n").encode())
        given.seek(0)
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *command,
                stdin=given,
                stdout=said,
                stderr=asyncio.subprocess.STDOUT,
                cwd=directory,
                env={name: value for name, value in os.environ.items() if name not in _SECRETS},
                start_new_session=True,  # its own group, so that killpg below ends its children alone
            )
        )
        try:
            async with asyncio.timeout(seconds):
                # Cancelled while it starts, asyncio would kill the command alone and leave its children.
                code = await (await asyncio.shield(starting)).wait()
        except TimeoutError:
            return f"it was killed after {seconds:g} s"
        finally:
            process = await starting  # waited for again, since the time may have run out while it was starting
            with suppress(ProcessLookupError):  # nobody of the group is left
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            said.seek(0)
            level = logging.WARNING if process.returncode else logging.DEBUG  # of one that failed it may say why
            for line in said.read(LONGEST_OUTPUT).decode(errors="replace").splitlines():
                log.log(level, "%s: %s", command[0], LOOKS_SECRET.sub("[key]", one_line(line)))
    if code < 0:
        return f"it was ended by signal {-code}"
    return f"exit code {code}" if code else ""


def address(variable: str) -> URL:
    """The address in an environment variable: https, or http to this machine.

    Raises ValueError, which says which variable holds none, and never its value.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        raise ValueError(f"{variable} is not set")
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{variable} holds no address; it begins with https://") from None
    if url.scheme == "http" and not is_loopback(url.host):
        raise ValueError(f"{variable}: the address is not encrypted; use https://")
    return url


async def post_message(url: URL, text: str, *, key: str, seconds: float) -> str:
    """POST `{"text": ...}`; empty where it was taken, else what went wrong. `key` tells a repetition."""
    return (await _post(url, seconds, json={"text": text}, headers={"Idempotency-Key": key}))[0]


async def ping(url: URL, what: str, body: str, *, run_id: str, seconds: float) -> str:
    """POST to the address with `/start` or `/{exit code}` behind its path, as Healthchecks has it.

    The run's id goes along as `rid`, always the same UUID for the same run. Tried again while there is time.
    """
    # Put on as encoded, so that a quoted token in the path stays as it was given; with_path drops the query.
    target = url.with_path(f"{url.raw_path.rstrip('/')}/{what}", encoded=True).with_query(url.query)
    if run_id:
        target = target.update_query(rid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"batchsum:{run_id}")))
    problem, loop = "", asyncio.get_running_loop()
    end = loop.time() + seconds
    for pause in _PING_PAUSES:
        if loop.time() + pause >= end:
            break
        await asyncio.sleep(pause)
        problem, passing = await _post(target, end - loop.time(), data=body.encode(errors="replace")[:LARGEST_PING])
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
        # A redirect is not followed: it could lead the message to another host, or out of encryption.
        async with session, session.post(url, allow_redirects=False, proxy=proxy, **request) as response:
            status = response.status
    except TimeoutError:
        return f"{url.host}: no answer within {seconds:.0f} s", True
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"{url.host}: no answer ({cause(error)})", True
    return ("", False) if 200 <= status < 300 else (f"{url.host}: HTTP {status}", status in _PASSING)
