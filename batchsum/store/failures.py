"""What is wrong with a night: by reason for the log, row by row for whoever is told in the morning."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batchsum.model.queries import DOUBTFUL
from batchsum.store.database import STATEMENTS
from batchsum.store.rows import KeptRow, kept_rows
from batchsum.store.store import Run, Store, in_groups

EXAMPLES = 3
"""Rows that are shown of each reason."""

_REASON = "substr(error, 1, instr(error || ':', ':') - 1)"  # an error without details has no colon


@dataclass(frozen=True, slots=True)
class FailuresByReason:
    """Rows with one status for one reason."""

    status: str
    """One of `model.DOUBTFUL`."""
    reason: str
    """The guard, or what happened: the word before the colon of their `error`."""
    rows: int
    """How many there are."""
    examples: tuple[KeptRow, ...]
    """The first of them, in job order."""

    def __str__(self) -> str:
        return f"{self.rows:,} {self.status}: {self.reason}"


def failures_by_reason(store: Store, run: Run) -> Iterator[FailuresByReason]:
    """The failures of a judged run, worst first: what NCBI said and cannot be believed, then what it did not say."""
    # The place of a status in that text both chooses and sorts: no status is a part of another.
    found = store.query(
        f"SELECT status, {_REASON} AS reason, count(*) FROM rows"
        " WHERE run = ?1 AND instr(?2, status) GROUP BY 1, 2 ORDER BY instr(?2, status), 3 DESC, 2",
        run.run, " ".join(DOUBTFUL),
    )  # fmt: skip
    for status, reason, count in found:
        where = f"WHERE run = ? AND status = ? AND {_REASON} = ? ORDER BY position LIMIT ?"
        yield FailuresByReason(status, reason, count, tuple(kept_rows(store, where, run.run, status, reason, EXAMPLES)))


def in_one_line(errors: Sequence[tuple[str, str]]) -> tuple[str, dict[str, dict[str, None]]]:
    """The error to tell of a taxon's rows with one reason, and the filter sets by the words before them; figures in it
    are those of the sets without words. `errors` holds the filter set and the error of each row."""
    errors = sorted(errors, key=lambda row: row[1].startswith("with_wider:"))
    shown, named = errors[0][1], dict[str, dict[str, None]]()
    for name, error in errors:
        words = "" if error == shown else "doubted with it: " if error.startswith("with_wider:") else "likewise "
        named.setdefault(words, {})[name] = None  # a row may stand in the job twice
    return shown, named


class DoubtfulRow(NamedTuple):
    """A row that cannot be relied on."""

    kept: KeptRow
    since: str
    """YYYY-MM-DD, as `doubtful_since()` has it."""


def doubtful_since(store: Store, run: Run, queries: Iterable[int]) -> dict[int, str]:
    """From which night on, as YYYY-MM-DD, the queries of these numbers had no count to rely on; nights without a
    table count. Only for those that have none on the night of `run`."""
    failed = [day for (day,) in store.query("SELECT DISTINCT today FROM runs WHERE failure != ''")]
    return dict(
        store.query(STATEMENTS["doubtful since"], json.dumps(list(queries)), run.today.isoformat(), json.dumps(failed))
    )


def doubtful_rows(store: Store, run: Run, most: int) -> list[DoubtfulRow]:
    """The first `most` doubtful rows of a judged run, worst status first, then in job order."""
    where = "WHERE run = ?1 AND instr(?2, status) ORDER BY instr(?2, status), position LIMIT ?3"
    rows = list(kept_rows(store, where, run.run, " ".join(DOUBTFUL), most))
    since = doubtful_since(store, run, (row.query for row in rows))
    return [DoubtfulRow(row, since[row.query]) for row in rows]


def count_newly_doubtful(store: Store, run: Run) -> int:
    """How many rows of a judged run cannot be relied on, and could be until this night."""
    rows = store.walk("SELECT query FROM rows WHERE run = ?1 AND instr(?2, status)", run.run, " ".join(DOUBTFUL))
    tonight, count = run.today.isoformat(), 0
    for queries in in_groups(query for (query,) in rows):
        since = doubtful_since(store, run, queries)
        count += sum(since[query] == tonight for query in queries)
    return count
