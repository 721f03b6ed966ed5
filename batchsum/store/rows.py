"""A row of a night as the store keeps it, and what makes it known on the next: `rows`, `accepted` and their readers.

A row is known from night to night by what it asks: its filters in the job's words, and its taxon, by its Taxonomy ID
where that is known and else as it is written. Whoever asks the same has the same number.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from batchsum.model.queries import BELIEVED, Answer, combine
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
    series: str = ""
    """This one and the one above as in `QueryKey`."""
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
    def record_count_change(self) -> int | None:
        if self.record_count is None or self.previous_record_count is None:
            return None
        return self.record_count - self.previous_record_count

    @property
    def heard_tax_id(self) -> int | None:
        """Its id as the table has it: NCBI's word, and not only the job's."""
        return self.tax_id if self.scientific_name else None

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
        was, now = self.previous_record_count, self.record_count
        level = "NCBI's refusal" if now is None else f"{now:,}"
        if was is not None:
            level += ", as before" if now == was else f" instead of {was:,}"
        why = f": {self.note}" if self.note else ""
        return f"accepted by {self.accepted_by} at {self.accepted_at}: {level}{why}"


KEPT_COLUMNS = ", ".join(f"rows.{name}" for name in KeptRow._fields)


def kept_rows(store: Store, where: str, *values: object) -> Iterator[KeptRow]:
    """The rows that a condition finds, as the store keeps them."""
    return map(KeptRow._make, store.walk(f"SELECT {KEPT_COLUMNS} FROM rows {where}", *values))


def levels(store: Store, where: str, *values: object) -> Iterator[Level]:
    """The levels that a condition finds."""
    rows = store.query(f"SELECT {', '.join(Level._fields)} FROM accepted {where}", *values)
    return map(Level._make, rows)


def answered_rows(store: Store, run: Run) -> Iterator[tuple[KeptRow, str | None]]:
    """The rows of `run` in job order, each with its answer as the store keeps it; None where there is none, or the
    row is a window of two requests."""
    rows = store.walk(
        f"SELECT {KEPT_COLUMNS}, answer FROM rows LEFT JOIN answers ON answers.run = rows.run AND request = requests"
        " WHERE rows.run = ? ORDER BY position",
        run.run,
    )
    return ((KeptRow._make(row[:-1]), row[-1]) for row in rows)


def answer_of(store: Store, run: Run, row: KeptRow) -> Answer | None:
    """The answer of a row of `run`, from those to its requests; None where one of them has none."""
    keys = row.request_keys
    known = store.answers(run, keys)
    return combine([known[key] for key in keys]) if known.keys() == {*keys} else None
