"""stderr as rich draws on it. A window that was closed, or a disk that is full, stops a line and never a night."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console


class _Lenient:
    """A stream whose writes may come to nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding


def stderr_console() -> "Console":
    """No markup and no guesses about words: what is written there comes from jobs and from NCBI."""
    from rich.console import Console

    return Console(file=cast(TextIO, _Lenient(sys.stderr)), markup=False, emoji=False, highlight=False)
