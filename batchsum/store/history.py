"""The nights that were: what of a row was believed, and what tonight leaves for the nights to come.

A row is known from night to night by what it asks: its filters in the job's words, and its taxon, by its Taxonomy ID
where that is known and else as it is written. Whoever asks the same has the same number, and all that is kept of a
query is found by it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

from batchsum.model.queries import (
    BELIEVED,
    DOUBTFUL,
    NIGHTS,
    STATUSES,
    Answer,
    Believed,
    Past,
    Summary,
    Verdict,
    combine,
)
from batchsum.store.store import Run, Store


class QueryKey(NamedTuple):
    """What makes a row known from night to night, and the name that its filter set has tonight."""

    taxon: str
    """As the user wrote it."""
    tax_id: int | None
    filter_set: str
    asks: str
    """The filters in the job's words: `FilterSet.canonical()`."""
    series: str
    """Of a window, what its whole series asks; empty for any other row."""

    def number(self) -> int:
        """That of a query which no earlier night asked. Rows that ask the same have the same one."""
        text = f"{self.taxon}\n{self.asks}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1  # SQLite's integers have a sign


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
    change: str = ""
    """The word of changes.csv; empty where nothing differs."""
    query: int = 0
    """The number of what it asks, the same on all nights."""
    asks: str = ""
    """As in `QueryKey`."""
    series: str = ""
    """As in `QueryKey`."""
    tax_id: int | None = None
    """NCBI's id of the taxon, as learnt or written; None while it is not known."""
    scientific_name: str = ""
    """As NCBI's taxonomy has it; empty while it was not heard."""
    is_accepted: int = 0
    """1 where a user told us to believe it."""
    held_in: str = ""
    """The file that holds it, as the job names it; empty where none does."""
    held_record_count: int | None = None
    """How many records that file holds."""

    def __str__(self) -> str:
        return f"{self.name_and_id} / {self.filter_set}: {self.error}"

    @property
    def is_believed(self) -> bool:
        return self.status in BELIEVED

    @property
    def name(self) -> str:
        """The taxon for people: its label, else the name it was written with, else its scientific name."""
        return self.label or (self.scientific_name if self.taxon.isdigit() else "") or self.taxon

    @property
    def name_and_id(self) -> str:
        """`MERS (1335626)`; without an id where none is known."""
        written = self.taxon if self.taxon.isdigit() or self.name != self.taxon else ""
        beside = str(self.tax_id or written)
        return f"{self.name} ({beside})" if beside and beside != self.name else self.name

    @property
    def reason(self) -> str:
        """The guard, or what happened; that of the wider row where the row is doubted for nothing but that one."""
        error = self.error.rpartition(" is suspect: ")[2] if self.error.startswith("with_wider:") else self.error
        return error.partition(":")[0]

    @property
    def last_believed(self) -> int | None:
        """The count that the next night is compared with."""
        return self.record_count if self.is_believed else self.previous_record_count

    @property
    def request_keys(self) -> list[str]:
        return self.requests.split("\n")

    @property
    def asked(self) -> QueryKey:
        return QueryKey(self.taxon, self.tax_id, self.filter_set, self.asks, self.series)

    def verdict(self, summary: Summary | None) -> Verdict:
        """What was kept of the verdict, with the answer that it is about."""
        return Verdict(self.status, self.record_count, self.error, summary, self.previous_record_count)


class Level(NamedTuple):
    """A count that a user told us to believe."""

    query: int
    night: str
    """YYYY-MM-DD."""
    taxon: str
    filter_set: str
    previous_record_count: int | None
    """The last believed count before that night."""
    record_count: int | None
    """None where it is a refusal that was accepted."""
    accepted_at: str
    """UTC, ISO 8601."""
    accepted_by: str
    """Login name, or user id where that has none."""
    note: str

    def __str__(self) -> str:
        was, now = ("none" if one is None else f"{one:,}" for one in (self.previous_record_count, self.record_count))
        why = f": {self.note}" if self.note else ""
        return f"accepted by {self.accepted_by} at {self.accepted_at}: {now} instead of {was}{why}"


KEPT_COLUMNS = ", ".join(f"rows.{name}" for name in KeptRow._fields)

# The number of each of ?1 in its order: by the id of its taxon, best under the same spelling, else as it is written.
_NUMBERS = """
SELECT coalesce(
    (SELECT query FROM queries WHERE taxon = wanted.taxon AND asks = wanted.asks AND tax_id = wanted.tax_id),
    (SELECT query FROM queries WHERE tax_id = wanted.tax_id AND asks = wanted.asks ORDER BY taxon LIMIT 1),
    (SELECT query FROM queries WHERE taxon = wanted.taxon AND asks = wanted.asks))
FROM (SELECT key, json_extract(value, '$[0]') AS taxon, json_extract(value, '$[1]') AS tax_id,
    json_extract(value, '$[3]') AS asks FROM json_each(?1)) AS wanted
ORDER BY key
"""

# Every look for a query's rows names its index: of its own accord SQLite would walk through all rows of a run.
_OF_QUERY = "FROM rows INDEXED BY rows_of_a_query WHERE query = wanted.query"

# For each number of ?1 in its order: the status of the last night ?2, the last believed row before tonight ?3, whether
# any night asked it, and the highest count from night ?4 on. Nothing counts that was before an accepted level.
_PASTS = f"""
SELECT (SELECT status {_OF_QUERY} AND night = ?2 LIMIT 1),
    coalesce(
        (SELECT json_array(night, filters, record_count, resource_updated_on) {_OF_QUERY}
            AND night >= since AND night < ?3 AND status IN ('ok', 'empty') ORDER BY night DESC LIMIT 1),
        (SELECT json_array(night, filters, record_count, resource_updated_on) FROM believed
            WHERE query = wanted.query AND night >= since AND night < ?3)),
    (SELECT max(record_count) {_OF_QUERY} AND night >= max(?4, since) AND night < ?3 AND status IN ('ok', 'empty')),
    EXISTS (SELECT 1 {_OF_QUERY} AND night < ?3)
FROM (SELECT key, value AS query,
    coalesce((SELECT max(night) FROM accepted WHERE query = value AND night < ?3), '') AS since
    FROM json_each(?1)) AS wanted
ORDER BY key
"""

# Whether the taxon of each of ?1 had a filter set of that name on the last night ?2.
_STOOD = """
SELECT EXISTS (SELECT 1 FROM queries JOIN rows INDEXED BY rows_of_a_query USING (query)
        WHERE queries.taxon = wanted.taxon AND night = ?2 AND rows.filter_set = wanted.filter_set)
    OR EXISTS (SELECT 1 FROM queries JOIN rows INDEXED BY rows_of_a_query USING (query)
        WHERE queries.tax_id = wanted.tax_id AND night = ?2 AND rows.filter_set = wanted.filter_set)
FROM (SELECT key, json_extract(value, '$[0]') AS taxon, json_extract(value, '$[1]') AS tax_id,
    json_extract(value, '$[2]') AS filter_set FROM json_each(?1)) AS wanted
ORDER BY key
"""

# Of a row that stands in the job several times the first that differs is told.
_CHANGED = """
WHERE run = ?1 AND change != '' AND NOT EXISTS (SELECT 1 FROM rows AS above INDEXED BY rows_of_a_query
    WHERE above.query = rows.query AND above.night = rows.night AND above.run = ?1 AND above.taxon = rows.taxon
        AND above.filter_set = rows.filter_set AND above.position < rows.position AND above.change != '')
"""


class History:
    """The published nights before that of `run`. Without any, no row is looked up."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        self._tonight = run.today.isoformat()
        nights = store.query(
            "SELECT run, today FROM runs WHERE state = 'published' AND today < ? ORDER BY today DESC LIMIT ?",
            self._tonight, NIGHTS,
        )  # fmt: skip
        self._last_run, self._last_night = nights[0] if nights else (None, "")
        self._first_night = nights[-1][1] if nights else ""

    @property
    def is_first(self) -> bool:
        """Whether no night of this job was published before."""
        return self._last_run is None

    def numbers(self, queries: Sequence[QueryKey]) -> list[int]:
        """The number of each query: that of earlier nights, or one of its own."""
        if self.is_first:
            return [one.number() for one in queries]
        found = self._store.query(_NUMBERS, json.dumps(queries, ensure_ascii=False))
        return [one.number() if number is None else number for one, (number,) in zip(queries, found, strict=True)]

    def pasts(self, queries: Sequence[QueryKey], numbers: Sequence[int]) -> list[Past]:
        """What earlier nights say of queries with these numbers: one question to the store for all of them."""
        if self.is_first:
            return [Past()] * len(queries)
        rows = self._store.query(_PASTS, json.dumps(numbers), self._last_night, self._tonight, self._first_night)
        pasts = [Past(_believed(believed, highest), last_status) for last_status, believed, highest, _ in rows]
        # What no earlier night asked may stand in the place of something else.
        new = [index for index, row in enumerate(rows) if not (row[1] or row[3])]
        asked = [queries[index] for index in new]
        for index, (stood,) in zip(new, self._store.query(_STOOD, json.dumps(asked), self._last_night), strict=True):
            is_next = not self._series_before.isdisjoint(_names_of_series(queries[index]))
            pasts[index] = Past(is_refiltered=bool(stood) and not is_next, is_next_window=is_next)
        return pasts

    @cached_property
    def _series_before(self) -> set[tuple[str, str | int]]:
        return self._series(self._last_run)

    def _series(self, run: int | None) -> set[tuple[str, str | int]]:
        """The series of windows of a run, each with its taxon as written and by its id."""
        found = self._store.walk("SELECT DISTINCT series, taxon, tax_id FROM rows WHERE run = ? AND series != ''", run)
        return {name for series, taxon, tax_id in found for name in ((series, taxon), (series, tax_id)) if name[1]}

    @cached_property
    def accepted_tonight(self) -> dict[int, Level]:
        """What a user accepted of this night, by number of query: also of a run that this one replaces."""
        rows = self._store.query(f"SELECT {', '.join(Level._fields)} FROM accepted WHERE night = ?", self._tonight)
        return {row[0]: Level._make(row) for row in rows}

    # What tonight's verdicts are

    def keep(self, rows: Iterable[KeptRow]) -> None:
        """Tonight's rows, in their order; inside the caller's transaction."""
        columns = ", ".join(KeptRow._fields)
        marks = ", ".join("?" * len(KeptRow._fields))
        self._store.query("DELETE FROM rows WHERE run = ?", self._run.run)
        self._store.write(
            f"INSERT INTO rows (run, night, {columns}) VALUES (?, ?, {marks})",
            ((self._run.run, self._tonight, *row) for row in rows),
        )

    def remember_believed(self) -> None:
        """Of rows that are not believed tonight, keep the last believed counts as those of the day before, where no
        earlier night is left to tell of them; inside the caller's transaction."""
        self._store.query(
            "INSERT OR REPLACE INTO believed SELECT query, date(night, '-1 day'), filters, previous_record_count, NULL"
            " FROM rows WHERE run = ? AND status NOT IN ('ok', 'empty') AND previous_record_count IS NOT NULL",
            self._run.run,
        )

    def doubt(self, doubts: Iterable[tuple[str, str, int]]) -> None:
        """Make rows suspect: why, the word of changes.csv and the position of each; inside the caller's transaction."""
        self._store.write(
            "UPDATE rows SET status = 'suspect', error = ?, change = ? WHERE run = ? AND position = ?",
            ((why, change, self._run.run, position) for why, change, position in doubts),
        )

    def changed(self) -> Iterator[KeptRow]:
        """Tonight's rows that differ, in job order, each once."""
        return kept_rows(self._store, f"{_CHANGED} ORDER BY position", self._run.run)

    def removed(self) -> Iterator[tuple[str, KeptRow]]:
        """Rows of last night whose query is not in tonight's job, in last night's order, each once.

        Each with its word of changes.csv: the calendar takes a window out of its series. A row in whose place
        another one stands tonight is not among them.
        """
        gone = kept_rows(
            self._store,
            "WHERE run = ?1 AND NOT EXISTS (SELECT 1 FROM rows AS now INDEXED BY rows_of_a_query"
            " WHERE now.query = rows.query AND now.night = ?2 AND now.run = ?3) ORDER BY position",
            self._last_run, self._tonight, self._run.run,
        )  # fmt: skip
        first = next(gone, None)
        if first is None:  # as on most nights: then tonight's rows need not be walked through
            return
        series = self._series(self._run.run)
        refiltered = {
            (name, row.filter_set)
            for row in kept_rows(self._store, "WHERE run = ? AND change = 'refiltered'", self._run.run)
            for name in (row.taxon, row.tax_id)
        }
        seen = set[tuple[str, str]]()
        for row in chain([first], gone):
            names = {(row.taxon, row.filter_set), (row.tax_id or row.taxon, row.filter_set)}
            if (row.taxon, row.filter_set) not in seen and refiltered.isdisjoint(names):
                seen.add((row.taxon, row.filter_set))
                yield ("removed" if series.isdisjoint(_names_of_series(row.asked)) else "rolled"), row

    def changes_by_kind(self) -> dict[str, int]:
        """How many queries differ, by the word of changes.csv, those that are gone included."""
        kinds = dict(self._store.query(f"SELECT change, count(*) FROM rows {_CHANGED} GROUP BY change", self._run.run))
        for word, _ in self.removed():
            kinds[word] = kinds.get(word, 0) + 1
        return kinds

    def accepted(self) -> Iterator[KeptRow]:
        """Tonight's rows that a user told us to believe."""
        return kept_rows(self._store, "WHERE run = ? AND is_accepted ORDER BY position", self._run.run)

    def told(self) -> set[tuple[str, str, str]]:
        """What a run that this one replaces told: taxon, filter set, and the word of changes.csv or the status."""
        rows = self._store.query("SELECT taxon, filter_set, word FROM told WHERE night = ?", self._tonight)
        return {(taxon, filter_set, word) for taxon, filter_set, word in rows}

    def count_told_problems(self) -> int:
        """How many of tonight's rows that cannot be relied on were told by a run that this one replaces."""
        ((count,),) = self._store.query(
            "SELECT count(*) FROM rows JOIN told USING (night, taxon, filter_set) WHERE run = ? AND word = status",
            self._run.run,
        )
        return int(count)

    def counts(self) -> dict[str, int]:
        """How many of tonight's rows there are of each status."""
        found = dict(
            self._store.query("SELECT status, count(*) FROM rows WHERE run = ? GROUP BY status", self._run.run)
        )
        return {name: found.get(name, 0) for name in STATUSES}

    @property
    def last_night(self) -> date | None:
        """The day of the last published night before tonight; None on the first."""
        return date.fromisoformat(self._last_night) if self._last_night else None

    def note_changed_taxa(self) -> None:
        """Keep of which taxa a count changed tonight, or was heard for the first time; inside the caller's transaction.

        A rolling row that only lost records has no news: the calendar took them.
        """
        self._store.query("DELETE FROM changed_taxa WHERE night = ?", self._tonight)
        self._store.query(
            "INSERT INTO changed_taxa SELECT DISTINCT taxon, ?2 FROM rows WHERE run = ?1 AND status IN ('ok', 'empty')"
            " AND (record_count > previous_record_count"
            " OR (record_count < previous_record_count AND change != 'rolled')"
            " OR NOT EXISTS (SELECT 1 FROM changed_taxa AS before WHERE before.taxon = rows.taxon))",
            self._run.run, self._tonight,
        )  # fmt: skip
        # Of earlier nights the latest is enough: tonight may be judged anew.
        self._store.query(
            "DELETE FROM changed_taxa WHERE night < (SELECT max(night) FROM changed_taxa AS later"
            " WHERE later.taxon = changed_taxa.taxon AND later.night < ?)",
            self._tonight,
        )

    def unchanged(self, since: date) -> list[tuple[str, str, date]]:
        """Believed taxa without a changed count after `since`: each as written, as people call it, and the night of
        its last change; those that wait longest first."""
        rows = self._store.query(
            "SELECT taxon, coalesce(nullif(label, ''), taxon), min(position) AS first,"
            " (SELECT max(night) FROM changed_taxa WHERE changed_taxa.taxon = rows.taxon) AS last FROM rows"
            " WHERE run = ? AND status IN ('ok', 'empty') GROUP BY taxon HAVING last <= ? ORDER BY last, first",
            self._run.run,
            since.isoformat(),
        )
        return [(taxon, name, date.fromisoformat(last)) for taxon, name, _, last in rows]

    def count_fallen(self) -> tuple[int, int]:
        """How many of tonight's rows have a count to compare with, and how many of those have fewer records now; but
        for those of which the calendar took some."""
        ((compared, fallen),) = self._store.query(
            "SELECT count(*), total(record_count < previous_record_count) FROM rows"
            " WHERE run = ? AND record_count IS NOT NULL AND previous_record_count > 0 AND change != 'rolled'",
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
        return (row for row in self.with_status(statuses) if row.record_count is not None)

    def with_status(self, statuses: tuple[str, ...], *, last_night: bool = False) -> Iterator[KeptRow]:
        """Tonight's rows with one of `statuses`, or those of the last night, taxon by taxon."""
        marks = ", ".join("?" * len(statuses))
        where = f"WHERE run = ? AND status IN ({marks}) ORDER BY taxon, position"
        return kept_rows(self._store, where, self._last_run if last_night else self._run.run, *statuses)

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

    # What tonight leaves for later nights: inside the transaction that publishes the run

    def settle(self, keep_nights: int, accepted: Iterable[Level]) -> None:
        """Tonight becomes a night that later ones are compared with, in place of an earlier run on the same day."""
        run, night = self._run.run, self._tonight
        self._store.query(
            "UPDATE runs SET state = 'replaced' WHERE state = 'published' AND today = ? AND run != ?", night, run
        )
        self._store.query(
            "INSERT OR REPLACE INTO queries SELECT taxon, asks, query, coalesce(tax_id, (SELECT tax_id FROM queries"
            " WHERE queries.taxon = rows.taxon AND queries.asks = rows.asks)) FROM rows"
            " WHERE run = ? AND NOT EXISTS (SELECT 1 FROM queries WHERE queries.taxon = rows.taxon"
            " AND queries.asks = rows.asks AND queries.query = rows.query"
            " AND queries.tax_id IS coalesce(rows.tax_id, queries.tax_id))",
            run,
        )
        self._store.write(f"INSERT OR REPLACE INTO accepted VALUES ({', '.join('?' * len(Level._fields))})", accepted)
        self._note_told()
        self._prune(keep_nights)

    def _note_told(self) -> None:
        run, night = self._run.run, self._tonight
        self._store.query("DELETE FROM told WHERE night != ?", night)
        keep = "INSERT OR IGNORE INTO told"
        told = (
            f"{keep} SELECT night, taxon, filter_set, change FROM rows WHERE run = ? AND change NOT IN ('', 'rolled')"
        )
        self._store.query(told, run)
        marks = ", ".join("?" * len(DOUBTFUL))
        problems = f"{keep} SELECT night, taxon, filter_set, status FROM rows WHERE run = ? AND status IN ({marks})"
        self._store.query(problems, run, *DOUBTFUL)
        gone = [(night, row.taxon, row.filter_set, word) for word, row in self.removed() if word != "rolled"]
        self._store.write(f"{keep} VALUES (?, ?, ?, ?)", gone)

    def _prune(self, keep_nights: int) -> None:
        """Forget the rows of nights beyond `keep_nights`, but for what was believed of them, and all answers but
        tonight's and last night's."""
        published = "SELECT run FROM runs WHERE state IN ('publishing', 'published') ORDER BY today DESC LIMIT ?"
        old = f"SELECT run FROM runs WHERE state = 'published' AND run NOT IN ({published}) ORDER BY today"
        # Run by run: what is asked of each row instead means walking through all nights that are kept.
        for (run,) in self._store.query(old, keep_nights):
            self._store.query(
                "INSERT OR REPLACE INTO believed SELECT query, night, filters, record_count, resource_updated_on"
                " FROM rows WHERE run = ? AND status IN ('ok', 'empty')",
                run,
            )
        others = f"SELECT run FROM runs WHERE run NOT IN ({published})"
        self._store.query(f"DELETE FROM rows WHERE run IN ({others})", keep_nights)
        for table in ("answers", "holdings", "held"):
            self._store.query(f"DELETE FROM {table} WHERE run IN ({others})", 2)


def _believed(kept: str | None, highest: int | None) -> Believed | None:
    if kept is None:
        return None
    night, filters, record_count, resource_updated_on = json.loads(kept)
    # The highest is that of the last nights only, and the believed count may be older.
    return Believed(night, filters, record_count, resource_updated_on, max(record_count, highest or 0))


def _names_of_series(query: QueryKey) -> set[tuple[str, str | int]]:
    names: list[str | int | None] = [query.taxon, query.tax_id]
    return {(query.series, name) for name in names if query.series and name}


# The rows of a night, as the store has them


def kept_rows(store: Store, where: str, *values: object) -> Iterator[KeptRow]:
    """The rows that a condition finds, as the store keeps them."""
    return map(KeptRow._make, store.walk(f"SELECT {KEPT_COLUMNS} FROM rows {where}", *values))


def answered_rows(store: Store, run: Run) -> Iterator[tuple[KeptRow, str | None]]:
    """The rows of `run` in job order, each with its answer as the store keeps it; None where there is none, or the
    row is a window of two requests."""
    rows = store.walk(
        f"SELECT {KEPT_COLUMNS}, answer FROM rows LEFT JOIN answers ON answers.run = rows.run AND request = requests"
        " WHERE rows.run = ? ORDER BY position",
        run.run,
    )
    return ((KeptRow._make(row[:-1]), row[-1]) for row in rows)


def together(known: Mapping[str, Answer], keys: Sequence[str]) -> Answer | None:
    """The answer of a row, by the keys of its requests; None where one of them has none."""
    found = [known[key] for key in keys if key in known]
    return combine(found) if len(found) == len(keys) else None
