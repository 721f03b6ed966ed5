"""A terminal window for a program: what it draws there, through a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Drawn:
    """What a program left: exit code, and everything that came to the window, in order."""

    code: int
    raw: str
    stdout: str = ""
    """What went into a pipe instead, where stdout was one."""

    @property
    def lines(self) -> list[str]:
        """Without control codes; a line that was drawn over stands there as often as it was drawn."""
        return [line for line in re.split(r"[\r\n]+", _CONTROL.sub("", self.raw)) if line.strip()]

    @property
    def has_colour(self) -> bool:
        return re.search(r"\x1b\[[0-9;]*3[0-7]m", self.raw) is not None


def in_window(
    words: Sequence[str], *, columns: int = 100, pipe_stdout: bool = False, directory: Path | None = None, **env: str
) -> Drawn:
    """Run `batchsum WORDS` in a window `columns` wide until it ends."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "NCBI_API_KEY")}
    program = subprocess.Popen(
        [sys.executable, "-m", "batchsum", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipe_stdout else slave,
        stderr=slave,
        cwd=directory,
        env={**kept, "TERM": "xterm-256color", **env},
    )
    os.close(slave)
    pieces = []
    # The read fails when nobody holds the other end any more.
    with suppress(OSError):
        while piece := os.read(master, 65536):
            pieces.append(piece)
    os.close(master)
    stdout, _ = program.communicate(timeout=60)
    return Drawn(program.returncode, b"".join(pieces).decode(errors="replace"), (stdout or b"").decode())
