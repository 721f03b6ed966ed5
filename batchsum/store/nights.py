"""The published nights of an output directory, read only: for history, explain and the report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchsum.store.history import KeptRow, kept_rows
from batchsum.store.store import Run, Store


@dataclass(frozen=True, slots=True)
class Level:
    """A count that a user told us to believe."""

    night: str
    previous_record_count: int | None
    record_count: int | None


class Nights:
    """The nights that a store keeps, oldest first, at most `limit` of the latest ones."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self.runs: Sequence[Run] = store.runs("published", limit=limit)[::-1]

    def rows(self, run: Run) -> Iterator[KeptRow]:
        """The rows of one night, in their order."""
        return kept_rows(self._store, "WHERE run = ? ORDER BY position", run.run)

    def series(self, taxon: str, filter_set: str) -> list[tuple[Run, KeptRow]]:
        """One query's rows, night by night; nights without it are left out."""
        found = []
        for run in self.runs:
            where = "INDEXED BY rows_of_a_query WHERE taxon = ? AND filter_set = ? AND run = ? LIMIT 1"
            found += [(run, row) for row in kept_rows(self._store, where, taxon, filter_set, run.run)]
        return found

    def accepted(self, taxon: str, filter_set: str) -> list[Level]:
        rows = self._store.query(
            "SELECT night, previous_record_count, record_count FROM accepted WHERE taxon = ? AND filter_set = ?"
            " ORDER BY run",
            taxon,
            filter_set,
        )
        return [Level(*row) for row in rows]
