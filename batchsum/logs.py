"""Where the log goes: one line an event, for people or as JSON, and to stderr only where somebody reads it."""

import json
import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path

LARGEST_FILE = 2**20

_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        line = f"{_utc(record.created)} {level}{record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _utc(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure(*, verbosity: int, file: Path | None, json_lines: bool) -> None:
    """Send the log to `file`, and to stderr with -v. Verbosity: -1 quiet, 0, 1 verbose.

    A log that cannot be written fails no run: the table matters more.
    """
    logging.raiseExceptions = False
    logger = logging.getLogger("batchsum")
    logger.setLevel(logging.DEBUG if verbosity > 0 else logging.INFO)
    logger.propagate = False
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    handlers: list[logging.Handler] = []
    if file is not None:
        handlers.append(
            logging.handlers.RotatingFileHandler(
                file, maxBytes=LARGEST_FILE, backupCount=1, encoding="utf-8", delay=True
            )
        )
    if verbosity > 0:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers or [logging.NullHandler()]:
        handler.setFormatter(_JsonFormatter() if json_lines else _TextFormatter())
        logger.addHandler(handler)
