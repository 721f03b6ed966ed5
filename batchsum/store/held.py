"""What the files that a user holds were found to hold, before the night asked: the files, and the rows they cover."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, NamedTuple

from batchsum.store.store import Run, Store


@dataclass(frozen=True, slots=True)
class CountedFile:
    """A file that the user holds, as it was when it was counted."""

    file: str
    """As the job names it."""
    taxon: int | None
    """The id of the taxon that it was downloaded for; None where only a name of it is known."""
    problem: str = ""
    """Why nothing is counted in it, in a sentence; empty where it is."""
    remarks: tuple[str, ...] = ()
    """What a user should know of it all the same, in sentences."""
    record_count: int | None = None
    """Each accession once; None where it could not be read."""
    day: date | None = None
    """When it was downloaded: the latest date inside a zip, else that of the file, UTC."""
    newest: date | None = None
    """The newest release day in it."""
    released: Mapping[date, int] = field(default_factory=dict)
    """Records by release day."""

    def released_since(self, since: date | None) -> int:
        """Records released on a day or later; None: all, those without a day too."""
        if since is None:
            return self.record_count or 0
        return sum(count for day, count in self.released.items() if day >= since)


class HeldRow(NamedTuple):
    """What a file holds of a row that it covers."""

    position: int
    """The row's place in the table, from 0."""
    file: str
    record_count: int | None
    """None where nothing could be counted in the file."""


HELD_TABLES = {"holdings": ("number", "facts"), "held": HeldRow._fields}
"""The tables of the store that tell it, each with its columns behind the number of the run."""


def keep_held(store: Store, run: Run, files: Iterable[CountedFile], rows: Iterable[HeldRow]) -> None:
    """Keep what was counted for a run, in place of what was counted before; inside a transaction of the caller."""
    for table in HELD_TABLES:
        store.query(f"DELETE FROM {table} WHERE run = ?", run.run)
    for number, file in enumerate(files):
        facts = {**asdict(file), "released": {str(day): count for day, count in file.released.items()}}
        store.query("INSERT INTO holdings VALUES (?, ?, ?)", run.run, number, json.dumps(facts, default=str))
    store.write("INSERT INTO held VALUES (?, ?, ?, ?)", ((run.run, *row) for row in rows))


def counted_files(store: Store, run: Run) -> list[CountedFile]:
    """The files that were counted for a run, in the order of the job."""
    rows = store.query("SELECT facts FROM holdings WHERE run = ? ORDER BY number", run.run)
    return [_counted_file(json.loads(facts)) for (facts,) in rows]


def held_rows(store: Store, run: Run) -> Iterator[HeldRow]:
    """The rows that a file covers, in job order."""
    wanted = f"SELECT {', '.join(HeldRow._fields)} FROM held WHERE run = ? ORDER BY position"
    return map(HeldRow._make, store.walk(wanted, run.run))


def held_digest(store: Store, run: Run) -> str:
    """The same for runs for which the same was counted."""
    digest = hashlib.sha256()
    for table, columns in HELD_TABLES.items():
        for row in store.walk(f"SELECT {', '.join(columns)} FROM {table} WHERE run = ? ORDER BY 1", run.run):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _counted_file(facts: dict[str, Any]) -> CountedFile:
    released = {date.fromisoformat(day): count for day, count in facts["released"].items()}
    days = {name: facts[name] and date.fromisoformat(facts[name]) for name in ("day", "newest")}
    return CountedFile(**{**facts, **days, "remarks": tuple(facts["remarks"]), "released": released})
