"""The nights that were: what of a row was believed, and what tonight leaves for the nights to come.

`History` is for the night that is made, `Nights` for whoever looks back.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from batchsum.model.queries import BELIEVED, NIGHTS, STATUSES, Answer, Believed, Past, Query, Summary, Verdict, combine
from batchsum.store.store import Run, Store


class KeptRow(NamedTuple):
    """A row of a night as the store keeps it: what the table, the changes, the page and later nights read."""

    position: int
    """Its place in the table, from 0."""
    taxon: str
    """As the user wrote it."""
    label: str
    filter_set: str
    filters: str
    """As sent: `FilterSet.text()`."""
    status: str
    """One of `model.STATUSES`."""
    record_count: int | None
    resource_updated_on: str | None
    """As NCBI wrote it."""
    previous_record_count: int | None
    """The last believed count before this night."""
    error: str
    """As in the table: the reason, a colon, the details."""
    requests: str
    """The keys of what was asked for it, one a line."""
    stale_days: int | None = None
    """Days since `resource_updated_on`, where they are more than the row's `stale_after`."""
    change: str = ""
    """The word of changes.csv; empty where nothing differs."""

    def __str__(self) -> str:
        return f"{self.taxon} / {self.filter_set}: {self.error}"

    @property
    def is_believed(self) -> bool:
        return self.status in BELIEVED

    @property
    def last_believed(self) -> int | None:
        """The count that the next night is compared with."""
        return self.record_count if self.is_believed else self.previous_record_count

    @property
    def request_keys(self) -> list[str]:
        return self.requests.split("\n")

    def verdict(self, summary: Summary | None) -> Verdict:
        """What was kept of the verdict, with the answer that it is about."""
        return Verdict(self.status, self.record_count, self.error, summary, self.previous_record_count)


_COLUMNS = ", ".join(f"rows.{name}" for name in KeptRow._fields)
_MARKS = ", ".join("?" * (1 + len(KeptRow._fields)))

# Every look for a query's rows names its index: of its own accord SQLite would walk through all rows of a run.
_OF_QUERY = "FROM rows INDEXED BY rows_of_a_query WHERE taxon = wanted.taxon AND filter_set = wanted.filter_set"

# For each pair of ?1 in its order: status of the last night ?2, and the believed night with the highest count
# from night ?4 on, before tonight ?3.
_PASTS = f"""
SELECT (SELECT status {_OF_QUERY} AND run = ?2 LIMIT 1), night, filters, record_count, resource_updated_on,
    (SELECT max(record_count) {_OF_QUERY} AND filters = believed.filters AND status IN ('ok', 'empty') AND run < ?3
        AND run >= max(?4, coalesce((SELECT max(run) FROM accepted
            WHERE taxon = wanted.taxon AND filter_set = wanted.filter_set), 0)))
FROM (SELECT key, json_extract(value, '$[0]') AS taxon, json_extract(value, '$[1]') AS filter_set
    FROM json_each(?1)) AS wanted
LEFT JOIN believed USING (taxon, filter_set)
ORDER BY wanted.key
"""

# Of a query that stands in the job several times the first row that differs is told.
_CHANGED = """
WHERE run = ?1 AND change != '' AND NOT EXISTS (SELECT 1 FROM rows AS above INDEXED BY rows_of_a_query
    WHERE above.taxon = rows.taxon AND above.filter_set = rows.filter_set AND above.run = ?1
        AND above.position < rows.position AND above.change != '')
"""


class History:
    """The published nights before `run`. Without any, no row is looked up."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        nights = store.query(
            "SELECT run FROM runs WHERE state = 'published' AND run < ? ORDER BY run DESC LIMIT ?", run.run, NIGHTS
        )
        self._last = nights[0][0] if nights else None
        self._first = nights[-1][0] if nights else None

    @property
    def is_first(self) -> bool:
        """Whether no night of this job was published before."""
        return self._last is None

    def pasts(self, queries: Sequence[Query | KeptRow]) -> list[Past]:
        """What earlier nights say of each query: one question to the store for all of them."""
        if self._last is None:
            return [Past()] * len(queries)
        wanted = json.dumps([(query.taxon, query.filter_set) for query in queries], ensure_ascii=False)
        rows = self._store.query(_PASTS, wanted, self._last, self._run.run, self._first)
        return [Past(_believed(*believed), last_status) for last_status, *believed in rows]

    def changed(self) -> Iterator[KeptRow]:
        """Tonight's rows that differ, in job order, each query once."""
        return kept_rows(self._store, f"{_CHANGED} ORDER BY position", self._run.run)

    def changes_by_kind(self) -> dict[str, int]:
        """How many queries differ, by the word of changes.csv, those that are gone included."""
        kinds = dict(self._store.query(f"SELECT change, count(*) FROM rows {_CHANGED} GROUP BY change", self._run.run))
        if removed := sum(1 for _ in self.removed()):
            kinds["removed"] = removed
        return kinds

    def counts(self) -> dict[str, int]:
        """How many of tonight's rows there are of each status."""
        found = dict(
            self._store.query("SELECT status, count(*) FROM rows WHERE run = ? GROUP BY status", self._run.run)
        )
        return {name: found.get(name, 0) for name in STATUSES}

    def stale(self, most: int) -> tuple[int, list[tuple[str, int]]]:
        """How many taxa have no row with a date that is not stale, and the `most` oldest with the days of their
        youngest row."""
        rows = self._store.query(
            "SELECT count(*) OVER (), name, days FROM"
            " (SELECT coalesce(nullif(label, ''), taxon) AS name, min(stale_days) AS days, min(position) AS first"
            " FROM rows WHERE run = ? AND resource_updated_on IS NOT NULL AND instr(filters, 'released_before=') = 0"
            " GROUP BY taxon HAVING count(stale_days) = count(*))"
            " ORDER BY days DESC, first LIMIT ?",
            self._run.run,
            most,
        )
        return (rows[0][0] if rows else 0), [(name, days) for _, name, days in rows]

    def count_fallen(self) -> tuple[int, int]:
        """How many of tonight's rows have a count to compare with, and how many of those have fewer records now."""
        ((compared, fallen),) = self._store.query(
            "SELECT count(*), total(record_count < previous_record_count) FROM rows"
            " WHERE run = ? AND record_count IS NOT NULL AND previous_record_count > 0",
            self._run.run,
        )
        return compared, int(fallen)

    def positions(self, statuses: tuple[str, ...]) -> set[int]:
        """Where tonight's rows with one of `statuses` stand."""
        marks = ", ".join("?" * len(statuses))
        rows = self._store.walk(
            f"SELECT position FROM rows WHERE run = ? AND status IN ({marks})", self._run.run, *statuses
        )
        return {position for (position,) in rows}

    def counted(self, statuses: tuple[str, ...]) -> Iterator[KeptRow]:
        """Tonight's rows with a count and one of `statuses`, taxon by taxon."""
        marks = ", ".join("?" * len(statuses))
        where = f"WHERE run = ? AND record_count IS NOT NULL AND status IN ({marks}) ORDER BY taxon, position"
        return kept_rows(self._store, where, self._run.run, *statuses)

    def removed(self) -> Iterator[KeptRow]:
        """Rows of last night whose query is not in tonight's job, in last night's order."""
        return rows_without(self._store, self._last, self._run.run)

    def note_dates(self, data_date: str | None, *, are_common: bool) -> None:
        """What the data dates of tonight are; inside the caller's transaction."""
        values = self._run.today.isoformat(), data_date, are_common
        self._store.query("INSERT OR REPLACE INTO data_dates VALUES (?, ?, ?)", *values)

    def data_dates(self) -> list[tuple[date, str]]:
        """The nights with a common data date, tonight and the latest first, each with that date."""
        rows = self._store.query(
            "SELECT night, data_date FROM data_dates WHERE night <= ? AND data_date IS NOT NULL ORDER BY night DESC",
            self._run.today.isoformat(),
        )
        return [(date.fromisoformat(night), text) for night, text in rows]

    def keep(self, rows: Iterable[KeptRow]) -> None:
        """Tonight's rows, in their order; inside the caller's transaction."""
        self._store.query("DELETE FROM rows WHERE run = ?", self._run.run)
        self._store.write(f"INSERT INTO rows VALUES ({_MARKS})", ((self._run.run, *row) for row in rows))

    def doubt(self, doubts: Iterable[tuple[str, str, int]]) -> None:
        """Make rows suspect: why, the word of changes.csv and the position of each; inside the caller's transaction."""
        self._store.write(
            "UPDATE rows SET status = 'suspect', error = ?, change = ? WHERE run = ? AND position = ?",
            ((why, change, self._run.run, position) for why, change, position in doubts),
        )

    def settle(self, keep_nights: int, accepted: Iterable[tuple[str, str, int | None, int | None]]) -> None:
        """Tonight becomes what later nights are compared with; inside the transaction that publishes the run."""
        night = self._run.today.isoformat()
        self._store.query(
            "INSERT OR REPLACE INTO believed"
            " SELECT taxon, filter_set, run, ?, filters, record_count, resource_updated_on FROM rows"
            " WHERE run = ? AND status IN ('ok', 'empty')",
            night, self._run.run,
        )  # fmt: skip
        for taxon, filter_set, previous, count in accepted:
            values = (taxon, filter_set, self._run.run, night, previous, count)
            self._store.query("INSERT INTO accepted VALUES (?, ?, ?, ?, ?, ?)", *values)
            if count is None:
                self._store.query("DELETE FROM believed WHERE taxon = ? AND filter_set = ?", taxon, filter_set)
        self._prune(keep_nights)

    def _prune(self, keep_nights: int) -> None:
        """Forget the rows of nights beyond `keep_nights`, and all answers but tonight's and last night's."""
        published = "SELECT run FROM runs WHERE state IN ('publishing', 'published') ORDER BY run DESC LIMIT ?"
        # Run by run: what is asked of each row instead means walking through all nights that are kept.
        others = f"SELECT run FROM runs WHERE run NOT IN ({published})"
        self._store.query(f"DELETE FROM rows WHERE run IN ({others})", keep_nights)
        self._store.query(f"DELETE FROM answers WHERE run IN ({others})", 2)


def _believed(
    night: str | None, filters: str, record_count: int, resource_updated_on: str | None, highest: int | None
) -> Believed | None:
    if night is None:
        return None
    return Believed(night, filters, record_count, resource_updated_on, max(record_count, highest or 0))


@dataclass(frozen=True, slots=True)
class Level:
    """A count that a user told us to believe."""

    night: str
    previous_record_count: int | None
    record_count: int | None


class Nights:
    """The published nights that a store keeps, for whoever only reads: oldest first, at most `limit` of the latest."""

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


# The rows of a night, as the store has them


def kept_rows(store: Store, where: str, *values: object) -> Iterator[KeptRow]:
    """The rows that a condition finds, as the store keeps them."""
    return map(KeptRow._make, store.walk(f"SELECT {_COLUMNS} FROM rows {where}", *values))


def rows_without(store: Store, last: int | None, tonight: int) -> Iterator[KeptRow]:
    """Rows of the run `last` whose query is not in the run `tonight`, in their order, each query once."""
    return kept_rows(
        store,
        "WHERE run = ?1 AND NOT EXISTS (SELECT 1 FROM rows AS now INDEXED BY rows_of_a_query"
        " WHERE now.taxon = rows.taxon AND now.filter_set = rows.filter_set AND now.run = ?2)"
        " AND NOT EXISTS (SELECT 1 FROM rows AS above INDEXED BY rows_of_a_query"
        " WHERE above.taxon = rows.taxon AND above.filter_set = rows.filter_set AND above.run = ?1"
        " AND above.position < rows.position) ORDER BY position",
        last,
        tonight,
    )


def answered_rows(store: Store, run: Run) -> Iterator[tuple[KeptRow, str | None]]:
    """The rows of `run` in job order, each with its answer as the store keeps it; None where there is none, or the
    row is a window of two requests."""
    rows = store.walk(
        f"SELECT {_COLUMNS}, answer FROM rows LEFT JOIN answers ON answers.run = rows.run AND request = requests"
        " WHERE rows.run = ? ORDER BY position",
        run.run,
    )
    return ((KeptRow._make(row[:-1]), row[-1]) for row in rows)


def together(known: Mapping[str, Answer], keys: Sequence[str]) -> Answer | None:
    """The answer of a row, by the keys of its requests; None where one of them has none."""
    found = [known[key] for key in keys if key in known]
    return combine(found) if len(found) == len(keys) else None
