"""What there is to tell of a run: the facts a hook gets, and the words for people.

A published night is told from what it left in the output directory, so that a run that was killed between
publishing and telling is told all the same.
"""

import csv
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from batchsum.errors import BatchsumError
from batchsum.model.job import Job
from batchsum.model.queries import BELIEVED, exit_code_of
from batchsum.output.files import read_manifest
from batchsum.store.store import Store

MOST_CHANGES = 1000
"""Changes told as objects; changes.csv has them all."""
_SHOWN_CHANGES = 20
_NUMBERS = {"previous_record_count": int, "record_count": int, "record_count_change": int, "change_percent": float}

Event = Literal["change", "failure", "success"]


@dataclass(frozen=True, slots=True)
class News:
    """One run, as hooks and messages tell it."""

    job: str
    run_id: str
    """Empty where the run failed before it had one."""
    night: str
    """YYYY-MM-DD, the day relative dates count back from; empty where there is no run."""
    directory: str
    """The output directory, absolute."""
    exit_code: int
    reason: str
    """Why there is no new table; empty where one was published."""
    counts: dict[str, int]
    """Rows by status; empty where no table was published."""
    change_count: int
    changes: list[dict[str, Any]]
    """The rows of changes.csv by their columns, at most MOST_CHANGES; missing values are None."""
    first_night: bool = False

    def facts(self, event: Event) -> dict[str, Any]:
        """What a hook reads on its standard input, as JSON."""
        return {"version": 1, "event": event, **asdict(self)}


def published_news(job: Job) -> News:
    """The night that the output directory shows. OSError or BatchsumError where it cannot be read."""
    directory = job.output.dir.absolute()
    manifest = read_manifest(directory)
    counts = manifest.get("statuses", {})
    with (directory / "changes.csv").open(encoding="utf-8", newline="") as file:
        changes = [_change(row) for row in islice(csv.DictReader(file), MOST_CHANGES)]
    return News(
        job=job.name,
        run_id=manifest.get("run_id", ""),
        night=manifest.get("today", ""),
        directory=str(directory),
        exit_code=exit_code_of(counts),
        reason="",
        counts=counts,
        change_count=manifest.get("changes", len(changes)),
        changes=changes,
        first_night=manifest.get("generation") == 1,
    )


def failed_news(job: Job, run_id: str, night: str, error: Exception) -> News:
    """A run that left no table."""
    code, reason = failure_of(error)
    return News(job.name, run_id, night, str(job.output.dir.absolute()), code, reason, {}, 0, [])


def failure_of(error: Exception) -> tuple[int, str]:
    """Exit code and words of what stopped a run."""
    if isinstance(error, BatchsumError):
        return error.exit_code, str(error)
    return 1, f"a bug in batchsum: {type(error).__name__}"


def headline(facts: dict[str, Any]) -> str:
    """The run in one line: `respiratory, night of 2026-11-23: 3 suspect of 150 rows; 5 changes`."""
    whose = facts["job"] + (f", night of {facts['night']}" if facts["night"] else "")
    if facts["reason"]:
        return f"{whose}: no new table (exit code {facts['exit_code']}): {facts['reason']}"
    counts: dict[str, int] = facts["counts"]
    doubtful = [f"{counts[name]:,} {name}" for name in counts if name not in BELIEVED and counts[name]]
    total = f"{sum(counts.values()):,} rows"
    rows = f"{', '.join(doubtful)} of {total}" if doubtful else f"{total}, all answered"
    return f"{whose}: {rows}; {_changes_in_words(facts['change_count'])}"


def message(facts: dict[str, Any]) -> str:
    """The run in a few lines, its first changes included, as a chat shows it."""
    lines = [f"batchsum {headline(facts)}"]
    lines += [_change_in_words(change) for change in facts["changes"][:_SHOWN_CHANGES]]
    if facts["change_count"] > _SHOWN_CHANGES:
        lines.append(f"… and {facts['change_count'] - _SHOWN_CHANGES:,} more")
    if facts["change_count"]:
        lines.append(str(Path(facts["directory"]) / "changes.csv"))
    # Chat programs read these three: a label must not call a whole channel.
    return "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _changes_in_words(count: int) -> str:
    return "1 change" if count == 1 else f"{count:,} changes" if count else "no changes"


def _change_in_words(change: dict[str, Any]) -> str:
    name = change["label"] or change["taxon"]
    before, now = (change[key] for key in ("previous_record_count", "record_count"))
    counts = f": {_number(before)} → {_number(now)}" if before is not None or now is not None else ""
    percent = change["change_percent"]
    share = f" ({percent:+.1f} %)" if percent is not None else ""
    why = f"; {change['error'][:200]}" if change["error"] else ""
    return f"• {change['change'].replace('_', ' ')}: {name[:100]} / {change['filter_set'][:60]}{counts}{share}{why}"


def _number(count: int | None) -> str:
    return "none" if count is None else f"{count:,}"


def _change(row: dict[str, str]) -> dict[str, Any]:
    return {name: _value(name, cell) for name, cell in row.items()}


def _value(name: str, cell: str) -> Any:
    if name in _NUMBERS:
        return _NUMBERS[name](cell) if cell else None
    # The apostrophe is for spreadsheets.
    return cell[1:] if cell.startswith("'") and cell[1:2] in ("=", "+", "-", "@", "\t", "\n") else cell


# Outbox: what somebody is to be told, kept in the store until it has been. A note is put there by the
# transaction that publishes its run and goes when it was delivered: a kill in between loses none, and tells
# at most the one again whose delivery it cut off.


MOST_TRIES = 14
"""Nights after which nobody waits for the news any more."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell on one channel: the name of a hook's setting, or `webhook`."""

    note: int
    channel: str
    facts: dict[str, Any]


class Outbox:
    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, channel: str, facts: dict[str, Any]) -> None:
        """Inside the caller's transaction."""
        self._store.query(
            "INSERT INTO outbox (channel, facts, tries) VALUES (?, ?, 0)",
            channel,
            json.dumps(facts, ensure_ascii=False, separators=(",", ":")),
        )

    def waiting(self, channels: Collection[str]) -> list[Note]:
        """What is still to be told: new notes first, then those that were tried before, each oldest first.

        Notes of a channel that the job has no more are dropped.
        """
        marks = ", ".join("?" * len(channels))
        with self._store.transaction():
            self._store.query(f"DELETE FROM outbox WHERE tries >= ? OR channel NOT IN ({marks})", MOST_TRIES, *channels)
        rows = self._store.query("SELECT note, channel, facts FROM outbox ORDER BY tries > 0, note")
        return [Note(note, channel, json.loads(facts)) for note, channel, facts in rows]

    def delivered(self, note: Note) -> None:
        self._store.query("DELETE FROM outbox WHERE note = ?", note.note)

    def failed(self, note: Note) -> None:
        self._store.query("UPDATE outbox SET tries = tries + 1 WHERE note = ?", note.note)
