"""The nights that were: what of a row was believed, what tonight leaves for the nights to come, and what is kept for
whoever only reads."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cached_property
from itertools import chain

from batchsum.model.queries import NIGHTS, STATUSES, Believed, Past
from batchsum.store.database import STATEMENTS
from batchsum.store.rows import KeptRow, Level, QueryKey, kept_rows, levels
from batchsum.store.store import Run, Store

# Of a row that stands in the job several times the first that differs is told.
_CHANGED = """
WHERE run = ?1 AND change != '' AND NOT EXISTS (SELECT 1 FROM rows AS above INDEXED BY rows_of_a_query
    WHERE above.query = rows.query AND above.night = rows.night AND above.run = ?1 AND above.taxon = rows.taxon
        AND above.filter_set = rows.filter_set AND above.position < rows.position AND above.change != '')
"""

_ROWS_IN_DOUBT = "SELECT night, count(*), sum(status NOT IN ('ok', 'empty')) FROM rows WHERE run = ? GROUP BY night"
"""What the table `nights` keeps of a run."""
_SAID = "{} || ' ' || coalesce(record_count, '')"


def said(word: str, count: int | None) -> str:
    """What is told of a row, a word of changes.csv or a status, and the count: with another count it is other news."""
    return f"{word} {'' if count is None else count}"


class History:
    """The published nights before that of `run`. Without any, no row is looked up."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        self._tonight = run.today.isoformat()
        nights = store.query(
            "SELECT run, today, base_url FROM runs WHERE state = 'published' AND today < ? ORDER BY today DESC LIMIT ?",
            self._tonight, NIGHTS,
        )  # fmt: skip
        self._last_run, self._last_night, self.last_base_url = nights[0] if nights else (None, "", run.base_url)
        """The last of these nights: its run, its day, and the server that it asked; before the first tonight's."""
        self._first_night = nights[-1][1] if nights else ""

    @property
    def is_first(self) -> bool:
        """Whether no night of this job was published before."""
        return self._last_run is None

    def numbers(self, queries: Sequence[QueryKey]) -> list[int]:
        """The number of each query: that of earlier nights, or one of its own."""
        if self.is_first:
            return [one.number() for one in queries]
        found = self._store.query(STATEMENTS["numbers"], json.dumps(queries, ensure_ascii=False))
        return [one.number() if number is None else number for one, (number,) in zip(queries, found, strict=True)]

    def pasts(self, queries: Sequence[QueryKey], numbers: Sequence[int]) -> list[Past]:
        """What earlier nights say of queries with these numbers: one question to the store for all of them."""
        if self.is_first:
            return [Past()] * len(queries)
        rows = self._store.query(
            STATEMENTS["pasts"], json.dumps(numbers), self._last_night, self._tonight, self._first_night
        )
        pasts = [Past(_believed(believed, highest), last_status) for last_status, believed, highest, _ in rows]
        # What no earlier night asked may stand in the place of something else.
        new = [index for index, row in enumerate(rows) if not (row[1] or row[3])]
        asked = [queries[index] for index in new]
        found = self._store.query(STATEMENTS["stood"], json.dumps(asked), self._last_night)
        for index, (stood,) in zip(new, found, strict=True):
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
        return {level.query: level for level in levels(self._store, "WHERE night = ?", self._tonight)}

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
        found = self._store.query(f"SELECT change, count(*) FROM rows {_CHANGED} GROUP BY change", self._run.run)
        return Counter(dict(found)) + Counter(word for word, _ in self.removed())

    def accepted(self) -> Iterator[KeptRow]:
        """Tonight's rows that a user told us to believe."""
        return kept_rows(self._store, "WHERE run = ? AND is_accepted ORDER BY position", self._run.run)

    def told(self) -> set[tuple[str, str, str]]:
        """What a run that this one replaces told: taxon, filter set, and `said()` of it."""
        rows = self._store.query("SELECT taxon, filter_set, said FROM told WHERE night = ?", self._tonight)
        return {(taxon, filter_set, words) for taxon, filter_set, words in rows}

    def count_told_problems(self) -> int:
        """How many of tonight's rows that cannot be relied on were told by a run that this one replaces."""
        ((count,),) = self._store.query(
            "SELECT count(*) FROM rows JOIN told USING (night, taxon, filter_set)"
            f" WHERE run = ? AND said = {_SAID.format('status')}",
            self._run.run,
        )
        return int(count)

    def counts(self) -> dict[str, int]:
        """How many of tonight's rows there are of each status."""
        found = self._store.query("SELECT status, count(*) FROM rows WHERE run = ? GROUP BY status", self._run.run)
        return dict.fromkeys(STATUSES, 0) | dict(found)

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

    def counted(self, statuses: tuple[str, ...]) -> Iterator[KeptRow]:
        """Tonight's rows with a count and one of `statuses`, taxon by taxon."""
        return (row for row in self.with_status(statuses) if row.record_count is not None)

    def with_status(self, statuses: tuple[str, ...], *, last_night: bool = False) -> Iterator[KeptRow]:
        """Tonight's rows with one of `statuses`, or those of the last night, taxon by taxon."""
        marks = ", ".join("?" * len(statuses))
        where = f"WHERE run = ? AND status IN ({marks}) ORDER BY taxon, position"
        return kept_rows(self._store, where, self._last_run if last_night else self._run.run, *statuses)

    def note_data_date(self, data_date: str | None) -> None:
        """Keep the common data date of tonight, None without one; inside the caller's transaction."""
        self._store.query("INSERT OR REPLACE INTO data_dates VALUES (?, ?)", self._tonight, data_date)

    def data_dates(self) -> list[tuple[date, str]]:
        """The nights with a common data date, tonight and the latest first, each with that date."""
        rows = self._store.query(
            "SELECT night, data_date FROM data_dates WHERE night <= ? AND data_date IS NOT NULL ORDER BY night DESC",
            self._tonight,
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
            # In the order of the key, which spares looking for the place of each.
            "INSERT INTO queries SELECT taxon, asks, query, tax_id FROM rows WHERE run = ? ORDER BY taxon, asks"
            " ON CONFLICT DO UPDATE SET query = excluded.query, tax_id = coalesce(excluded.tax_id, tax_id)"
            " WHERE query != excluded.query OR tax_id IS NOT coalesce(excluded.tax_id, tax_id)",
            run,
        )
        self._store.query(f"INSERT OR REPLACE INTO nights {_ROWS_IN_DOUBT}", run)
        # A refusal that was accepted of a run that this one replaces ends no past where there is a count again.
        self._store.query("DELETE FROM accepted WHERE night = ? AND record_count IS NULL", night)
        self._store.write(f"INSERT OR REPLACE INTO accepted VALUES ({', '.join('?' * len(Level._fields))})", accepted)
        self._note_told()
        self._prune(max(keep_nights, NIGHTS + 1))  # tonight may be judged anew, by the same nights before it

    def _note_told(self) -> None:
        run, night = self._run.run, self._tonight
        self._store.query("DELETE FROM told WHERE night != ?", night)
        told = f"SELECT night, taxon, filter_set, {_SAID} FROM rows WHERE run = ?1"
        self._store.query(
            f"INSERT OR IGNORE INTO told {told.format('change')} AND change NOT IN ('', 'rolled')"
            f" UNION {told.format('status')} AND status NOT IN ('ok', 'empty')",
            run,
        )
        gone = [
            (night, row.taxon, row.filter_set, said(word, None)) for word, row in self.removed() if word != "rolled"
        ]
        self._store.write("INSERT OR IGNORE INTO told VALUES (?, ?, ?, ?)", gone)

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
        rows = self._store.query(f"SELECT night, rows, doubtful FROM nights UNION ALL {_ROWS_IN_DOUBT}", run.run)
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
