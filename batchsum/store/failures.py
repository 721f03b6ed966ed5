"""What is wrong with a night: by reason for the log, row by row for whoever is told in the morning."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from batchsum.model.queries import DOUBTFUL
from batchsum.store.rows import KEPT_COLUMNS, KeptRow, kept_rows
from batchsum.store.store import Run, Store

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


class DoubtfulRow(NamedTuple):
    """A row that cannot be relied on."""

    kept: KeptRow
    since: str
    """YYYY-MM-DD: the first night behind the last one on which it was believed."""


_DOUBTFUL = f"""
SELECT {KEPT_COLUMNS},
    (SELECT min(night) FROM rows AS doubted INDEXED BY rows_of_a_query
        WHERE doubted.query = rows.query AND night <= ?2 AND night > coalesce(
            (SELECT max(night) FROM rows AS good INDEXED BY rows_of_a_query
                WHERE good.query = rows.query AND night < ?2 AND status IN ('ok', 'empty')), ''))
FROM rows WHERE run = ?1 AND instr(?3, status) ORDER BY instr(?3, status), position LIMIT ?4
"""


def doubtful_rows(store: Store, run: Run, most: int) -> list[DoubtfulRow]:
    """The first `most` doubtful rows of a judged run, worst status first, then in job order."""
    rows = store.walk(_DOUBTFUL, run.run, run.today.isoformat(), " ".join(DOUBTFUL), most)
    return [DoubtfulRow(KeptRow._make(row[:-1]), row[-1]) for row in rows]
