"""Where the log goes: one line an event, for people or as JSON, and to stderr only where somebody reads it.

A log that cannot be written fails no run that has begun: the table matters more. The API key is in none of its lines.
"""

import json
import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path

from batchsum.cli.terminal import without_key
from batchsum.text import utc_text

LARGEST_FILE = 2**20
"""Bytes of a log file; the one before it is kept too, as `.1`."""

_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
"""What every record has; the rest came as `extra`."""


def configure(*, verbose: bool, file: Path, json_lines: bool) -> None:
    """Send the log to `file`, and with `verbose` to stderr too, every attempt included."""
    logging.raiseExceptions = False  # a full disk under the log is not worth a word on stderr for each line
    logger = logging.getLogger("batchsum")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False  # handlers of a program around us know no secret to replace
    for old in list(logger.handlers):  # of an earlier night in this process
        logger.removeHandler(old)
        old.close()
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(
            file, maxBytes=LARGEST_FILE, backupCount=1, encoding="utf-8", errors="backslashreplace", delay=True
        )
    ]
    if verbose and sys.stderr is not None:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(_JsonFormatter() if json_lines else _LineFormatter())
        logger.addHandler(handler)


class _LineFormatter(logging.Formatter):
    """One event as text; the key never shows, whatever a message, a field or a traceback holds."""

    def format(self, record: logging.LogRecord) -> str:
        return without_key(self._line(record, utc_text(datetime.fromtimestamp(record.created, UTC), "milliseconds")))

    def _line(self, record: logging.LogRecord, time: str) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        message = record.getMessage().replace("\n", " ")
        line = f"{time} {level}{message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonFormatter(_LineFormatter):
    """One object a line: time, level, message, and whatever the event has as `extra`."""

    def _line(self, record: logging.LogRecord, time: str) -> str:
        event = {
            "time": time,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)
