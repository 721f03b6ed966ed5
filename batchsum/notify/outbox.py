"""Outbox: what somebody is to be told, kept in the store until it has been.

A note is put there by the transaction that publishes its run and goes when it was delivered: a kill in between
loses none, and tells at most the one again whose delivery it cut off.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from batchsum.store.store import Store

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
