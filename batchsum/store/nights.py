"""The nights that a store keeps, for whoever only reads: `history`, `explain` and the page."""

from collections.abc import Iterator, Sequence

from batchsum.store.rows import KeptRow, Level, kept_rows, levels
from batchsum.store.store import Run, Store

ROWS_IN_DOUBT = "SELECT night, count(*), sum(status NOT IN ('ok', 'empty')) FROM rows WHERE run = ? GROUP BY night"
"""What the table `nights` keeps of a run."""


class Nights:
    """The published nights, oldest first, at most `limit` of the latest; and those that left no table."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self.runs: Sequence[Run] = store.runs("published", limit=limit)[::-1]

    def rows(self, run: Run) -> Iterator[KeptRow]:
        """The rows of one night, in their order."""
        return kept_rows(self._store, "WHERE run = ? ORDER BY position", run.run)

    def series(self, query: int) -> list[tuple[Run, KeptRow]]:
        """The rows of the query with this number, night by night; nights without it are left out."""
        found = []
        for run in self.runs:
            where = "INDEXED BY rows_of_a_query WHERE query = ? AND night = ? LIMIT 1"  # a job may ask it twice a night
            found += [(run, row) for row in kept_rows(self._store, where, query, run.today.isoformat())]
        return found

    def in_doubt(self, run: Run) -> dict[str, tuple[int, int]]:
        """By YYYY-MM-DD how many rows the table of a night had, and how many of them no count to rely on; that of
        `run` need not be published yet."""
        rows = self._store.query(f"SELECT night, rows, doubtful FROM nights UNION ALL {ROWS_IN_DOUBT}", run.run)
        return {night: (count, doubtful) for night, count, doubtful in rows}

    def accepted(self, query: int) -> list[Level]:
        """The levels of a query that users told us to believe, oldest first."""
        return list(levels(self._store, "WHERE query = ? ORDER BY night", query))

    def failed(self) -> list[Run]:
        """The nights without a table since the first of `runs`: the last failed run of each, oldest first."""
        since = self.runs[0].today.isoformat() if self.runs else ""
        found = self._store.runs_where(
            "failure != '' AND today >= ? AND NOT EXISTS (SELECT 1 FROM runs AS good"
            " WHERE good.today = runs.today AND good.state IN ('publishing', 'published')) ORDER BY today, run",
            since,
        )
        return list({run.today: run for run in found}.values())  # of one day the later run takes the place

    def failed_again(self, run: Run) -> Run | None:
        """The last run that was to replace the table of `run` on its day, and left none."""
        found = self._store.runs_where(
            "failure != '' AND today = ? AND run > ? ORDER BY run DESC LIMIT 1", run.today.isoformat(), run.run
        )
        return next(iter(found), None)

    def failed_since_last(self) -> list[Run]:
        """The failed nights behind the last published one, oldest first: the last of them is what a reader of today
        must know. Their `today` is the day, `failure` the reason in a sentence."""
        return [run for run in self.failed() if not self.runs or run.today > self.runs[-1].today]
