"""Runs of the real program, each in a forked process of its own, several at once if need be."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

_MINE = ("NCBI_API_KEY", "BATCHSUM_BASE_URL")
"""What the environment of whoever runs the tests must not decide."""


@dataclass
class Started:
    """A run that is under way."""

    pid: int
    directory: Path
    programs: "Programs"

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code; a negative one is the signal that ended it."""
        reply = self.programs.order({"wait": self.pid})
        self.programs.last = self
        self.programs.told = reply["told"]
        return int(reply["code"])

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text()

    @property
    def stdout(self) -> str:
        return (self.directory / "stdout").read_text()


@dataclass
class Programs:
    """Context manager; `run` one, or `start` several."""

    told: list[str] = field(default_factory=list)
    """What the last one told: where it was struck, or how many steps it made."""
    last: Started | None = None
    today: str = ""
    """The day that their environment names; empty for the clock's."""
    killed_at: float = 0.0
    """When the last one was killed, in seconds of the monotonic clock."""

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.doomed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if name not in _MINE},
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._directory.cleanup()

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        assert reply, "the process that starts the programs is gone"
        return dict(json.loads(reply))

    def start(self, *argv: object, **order: Any) -> Started:
        directory = Path(tempfile.mkdtemp(dir=self._directory.name))
        names = {name: str(directory / name) for name in ("stdout", "stderr")}
        env = {"env": {"BATCHSUM_TODAY": self.today}} if self.today else {}
        reply = self.order({"argv": [str(one) for one in argv], **names, **env, **order})
        return Started(reply["pid"], directory, self)

    def run(self, *argv: object, kill_after: float | None = None, **order: Any) -> int:
        started = self.start(*argv, **order)
        if kill_after is not None:
            time.sleep(kill_after)
            self.killed_at = time.monotonic()
            started.signal(signal.SIGKILL)
        return started.wait()

    @property
    def stderr(self) -> str:
        return self.last.stderr if self.last else ""


def until(happened: Callable[[], object], longest: float = 30.0) -> None:
    """Return as soon as something has happened."""
    end = time.monotonic() + longest
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
