"""What is wrong with a night, counted by reason: for a mail, a hook, a log, and whoever reads only that."""

from collections.abc import Iterator
from dataclasses import dataclass

from batchsum.model.queries import DOUBTFUL
from batchsum.store.store import Run, Store

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Example:
    taxon: str
    filter_set: str
    error: str

    def __str__(self) -> str:
        return f"{self.taxon} / {self.filter_set}: {self.error}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Rows with one status for one reason."""

    status: str
    """One of `model.DOUBTFUL`."""
    reason: str
    """The guard, or what happened: the word before the colon of their `error`."""
    rows: int
    examples: tuple[Example, ...]
    """The first of them, in job order."""

    def __str__(self) -> str:
        return f"{self.rows:,} {self.status}: {self.reason}"


def troubles(store: Store, run: Run) -> Iterator[Trouble]:
    """The troubles of a judged run, worst first: what NCBI said and cannot be believed, then what it did not say."""
    reason = "substr(error, 1, instr(error || ':', ':') - 1)"
    found = store.query(
        f"SELECT status, {reason} AS reason, count(*) FROM rows"
        " WHERE run = ?1 AND instr(?2, status) GROUP BY 1, 2 ORDER BY instr(?2, status), 3 DESC, 2",
        run.run,
        " ".join(DOUBTFUL),
    )
    for status, word, count in found:
        rows = store.query(
            f"SELECT taxon, filter_set, error FROM rows WHERE run = ? AND status = ? AND {reason} = ?"
            " ORDER BY position LIMIT ?",
            run.run,
            status,
            word,
            EXAMPLES,
        )
        yield Trouble(status, word, count, tuple(Example(*row) for row in rows))
