"""counts.csv: a night as a matrix, a row for each taxon and a column for each filter set; believed counts only."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from batchsum.model.job import Job
from batchsum.model.queries import BELIEVED
from batchsum.output.table import COUNTED, Column, Row, set_column
from batchsum.store.store import Run, Store

COUNTS = "counts.csv"
MOST_SETS = 500
"""Filter sets up to which the matrix is written: a wider one nobody reads."""

# A taxon that stands in the job several times has one row, where it stands first.
_ROWS = """
SELECT taxon, tax_id, scientific_name, label, filter_set, status, record_count FROM rows WHERE run = ?
ORDER BY min(position) OVER (PARTITION BY taxon), position
"""


def has_counts(job: Job) -> bool:
    """Whether a night of `job` leaves the matrix."""
    widths = dict[str, int]()
    for one in job.every_set():
        widths[one.name] = one.windows.last if one.windows else 1  # each window of a series is a column of its own
        if len(widths) > MOST_SETS:
            return False
    return sum(widths.values()) <= MOST_SETS


def set_names(store: Store, run: Run) -> list[str]:
    """The filter sets of a night, in job order."""
    rows = store.query("SELECT filter_set FROM rows WHERE run = ? GROUP BY filter_set ORDER BY min(position)", run.run)
    return [name for (name,) in rows]


def count_columns(filter_sets: Sequence[str]) -> tuple[Column, ...]:
    """The columns of the matrix, in order."""
    return (*COUNTED, *map(set_column, filter_sets))


def count_rows(store: Store, run: Run, filter_sets: Sequence[str]) -> Iterator[Row]:
    """The rows of the matrix, in job order."""
    for taxon, group in groupby(store.walk(_ROWS, run.run), key=lambda row: str(row[0])):
        rows = list(group)
        _, tax_id, scientific_name, *_ = rows[0]
        label = next((row[3] for row in rows if row[3]), "")
        counts = {row[4]: row[6] for row in rows if row[5] in BELIEVED}
        heard = tax_id if scientific_name else None  # else it is only what the job says
        yield (taxon, heard, scientific_name, label, *(counts.get(name) for name in filter_sets))
