"""What there is to tell of a run: facts for hooks, which all words are made of, and the outbox until they are told."""

import heapq
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from batchsum.errors import BatchsumError, NothingUsable
from batchsum.model.job import Job
from batchsum.model.queries import DOUBTFUL, exit_code_of
from batchsum.output.changes import COLUMNS, change_rows, weight
from batchsum.store.failures import DoubtfulRow
from batchsum.store.history import History, said
from batchsum.store.store import Store

MOST_CHANGES = 1000
"""Changes told as objects; changes.csv has them all."""
MOST_PROBLEMS = 1000
"""Doubtful rows told as objects; the table has them all."""


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
    """Changes to be told: neither those that only rolled, nor what a run told that this one replaces."""
    changes: list[dict[str, Any]]
    """The heaviest of them, at most MOST_CHANGES, as rows of changes.csv; missing values are None."""
    first_night: bool = False
    problem_count: int = 0
    """Rows that cannot be relied on, but for those that a run told of which this one replaces."""
    new_problem_count: int = 0
    """Rows that cannot be relied on, and could be until this night."""
    problems: list[dict[str, Any]] = field(default_factory=list)
    """Rows that cannot be relied on, worst first, at most MOST_PROBLEMS, each with its `status`, `reason`,
    `error` and `since`, the date from which on it was so."""
    warnings: list[str] = field(default_factory=list)
    """As in run.json."""
    newly_incomplete: list[str] = field(default_factory=list)
    """Files of the user that lack records, and lacked none when the last table was made."""
    names: dict[str, str] = field(default_factory=dict)
    """How people call the taxa of changes and problems, by the column `taxon`; those that need another name only."""

    def facts(self, event: str) -> dict[str, Any]:
        """What a hook reads on its standard input, as JSON; `event` is change, failure or success."""
        return {"version": 1, "event": event, **asdict(self)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """The news again, of the facts that were kept of them, maybe by an earlier batchsum that knew fewer."""
        return cls(**{one.name: facts[one.name] for one in fields(cls) if one.name in facts})


def published_news(
    job: Job, manifest: Mapping[str, Any], history: History, doubtful: Sequence[DoubtfulRow], newly_doubtful: int
) -> News:
    """A night whose manifest and whose place in the history these are; `doubtful` are the first MOST_PROBLEMS of its
    doubtful rows, `newly_doubtful` is how many of all are new."""
    told = history.told()
    names: dict[str, str] = {}
    untold = [
        change
        for change in changes(history, names)
        # What only rolled happens every night by the calendar, and is no news.
        if change["change"] != "rolled"
        and (change["taxon"], change["filter_set"], said(change["change"], change["record_count"])) not in told
    ]
    told_of = heapq.nsmallest(MOST_CHANGES, untold, key=weight)
    names |= _names(doubtful)
    shown = {row["taxon"] for row in told_of} | {row.kept.taxon for row in doubtful}
    held = manifest.get("holdings", {}).get("files", ())
    problems = sum(count for name, count in manifest["statuses"].items() if name in DOUBTFUL)
    return News(
        job=job.name,
        run_id=manifest["run_id"],
        night=manifest["today"],
        directory=str(job.output.dir.absolute()),
        exit_code=exit_code_of(manifest["statuses"]),
        reason="",
        counts=manifest["statuses"],
        change_count=len(untold),
        changes=told_of,
        first_night=history.is_first,
        problem_count=problems - history.count_told_problems(),
        new_problem_count=newly_doubtful,
        problems=[_problem(row) for row in doubtful],
        warnings=list(manifest["warnings"]),
        newly_incomplete=[one["file"] for one in held if one.get("missing") and not one["was_incomplete"]],
        # Only names that are told: those of all changes may be far more.
        names={taxon: name for taxon, name in names.items() if taxon in shown and name != taxon},
    )


def changes(history: History, names: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of changes.csv by their columns; missing values are None. `names` is filled with those of the taxa."""
    for row in change_rows(history, names):
        change: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
        percent = change["change_percent"]
        yield {**change, "change_percent": None if percent is None else float(percent)}  # json knows no Decimal


def _problem(row: DoubtfulRow) -> dict[str, Any]:
    columns = ("taxon", "label", "filter_set", "status", "reason", "error", "previous_record_count", "record_count")
    return {**{name: getattr(row.kept, name) for name in columns}, "since": row.since}


def failed_news(job: Job, run_id: str, night: str, error: Exception) -> News:
    """A run that left no table."""
    code, reason = 1, f"a bug in batchsum: {type(error).__name__}"
    if isinstance(error, BatchsumError):
        code, reason = error.exit_code, str(error)
    doubtful: Sequence[DoubtfulRow] = error.doubtful if isinstance(error, NothingUsable) else ()
    return News(
        job.name, run_id, night, str(job.output.dir.absolute()), code, reason, {}, 0, [],
        problem_count=error.row_count if isinstance(error, NothingUsable) else 0,
        problems=[_problem(row) for row in doubtful],
        names=_names(doubtful),
    )  # fmt: skip


def _names(doubtful: Sequence[DoubtfulRow]) -> dict[str, str]:
    return {row.kept.taxon: row.kept.name_and_id for row in doubtful}


MOST_TRIES = 14
"""Nights after which nobody waits for the news any more."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell on one channel: the name of a hook's setting, or `webhook`."""

    note: int
    channel: str
    facts: dict[str, Any]


class Outbox:
    """What somebody is to be told, kept in the store until it has been.

    A note is put there by the transaction that publishes its run and goes when it was delivered: a kill in between
    loses none, and tells at most the one again whose delivery it cut off.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, channel: str, facts: dict[str, Any]) -> None:
        """Inside the caller's transaction."""
        self._store.query(
            "INSERT INTO outbox (channel, facts, tries) VALUES (?, ?, 0)",
            channel,
            json.dumps(facts, separators=(",", ":")),
        )

    def waiting(self, channels: Collection[str]) -> list[Note]:
        """What is still to be told: new notes first, then those that were tried before, each oldest first.

        Notes of a channel that the job has no more are dropped.
        """
        marks = ", ".join("?" * len(channels))
        with self._store.transaction():
            self._store.query(f"DELETE FROM outbox WHERE tries >= ? OR channel NOT IN ({marks})", MOST_TRIES, *channels)
        # News that fail each night must not use up the time of tonight's.
        rows = self._store.query("SELECT note, channel, facts FROM outbox ORDER BY tries > 0, note")
        return [Note(note, channel, json.loads(facts)) for note, channel, facts in rows]

    def delivered(self, note: Note) -> None:
        # A statement alone is committed at once, so a kill after it makes nobody hear the note again.
        self._store.query("DELETE FROM outbox WHERE note = ?", note.note)

    def failed(self, note: Note) -> None:
        self._store.query("UPDATE outbox SET tries = tries + 1 WHERE note = ?", note.note)
