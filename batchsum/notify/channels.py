"""One hook: a command as an argument list, run without a shell, with the facts as JSON on its standard input.

It gets ten seconds, its own process group, and an environment without the API key; what of the group is left
afterwards is killed. What it prints goes to the log, at debug.
"""

import asyncio
import json
import logging
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from batchsum.filters import LOOKS_SECRET
from batchsum.ncbi.document import one_line

log = logging.getLogger("batchsum")

LONGEST_OUTPUT = 4096
"""Bytes of a hook's output that the log keeps."""
_SECRETS = ("NCBI_API_KEY", "CREDENTIALS_DIRECTORY")


async def run_hook(command: Sequence[str], facts: dict[str, Any], *, directory: Path, seconds: float) -> str:
    """Run `command` in `directory`; empty where it ended well, else what went wrong."""
    # Files, not pipes: a hook may leave its input unread, and may leave a child behind that holds its output.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write((json.dumps(facts, ensure_ascii=False) + "\n").encode())
        given.seek(0)
        try:
            return await _run(command, given, said, directory, seconds)
        finally:
            _log_output(command, said)


async def _run(command: Sequence[str], given: IO[bytes], said: IO[bytes], directory: Path, seconds: float) -> str:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=given,
            stdout=said,
            stderr=asyncio.subprocess.STDOUT,
            cwd=directory,
            env={name: value for name, value in os.environ.items() if name not in _SECRETS},
            start_new_session=True,
        )
    )
    try:
        async with asyncio.timeout(seconds):
            # Cancelled while it starts, asyncio would kill the command alone and leave its children.
            code = await (await asyncio.shield(starting)).wait()
    except TimeoutError:
        return f"it was killed after {seconds:g} s"
    finally:
        process = await starting
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code < 0:
        return f"it was ended by signal {-code}"
    return f"exit code {code}" if code else ""


def _log_output(command: Sequence[str], said: IO[bytes]) -> None:
    said.seek(0)
    for line in said.read(LONGEST_OUTPUT).decode(errors="replace").splitlines():
        log.debug("%s: %s", command[0], LOOKS_SECRET.sub("[key]", one_line(line)))
