"""What is wrong with a night, counted by reason: for a mail, a log, and whoever reads only that."""

from collections.abc import Iterator
from dataclasses import dataclass

from batchsum.model.queries import DOUBTFUL
from batchsum.store.history import KeptRow, kept_rows
from batchsum.store.store import Run, Store

EXAMPLES = 3
"""Rows that are shown of each reason."""

_REASON = "substr(error, 1, instr(error || ':', ':') - 1)"


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
    found = store.query(
        f"SELECT status, {_REASON} AS reason, count(*) FROM rows"
        " WHERE run = ?1 AND instr(?2, status) GROUP BY 1, 2 ORDER BY instr(?2, status), 3 DESC, 2",
        run.run, " ".join(DOUBTFUL),
    )  # fmt: skip
    for status, reason, count in found:
        where = f"WHERE run = ? AND status = ? AND {_REASON} = ? ORDER BY position LIMIT ?"
        yield FailuresByReason(status, reason, count, tuple(kept_rows(store, where, run.run, status, reason, EXAMPLES)))
