"""What the taxa of a job stand for in NCBI's taxonomy, as it was learnt night by night."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from batchsum.store.store import Store


class LearntTaxon(NamedTuple):
    """A taxon as the job writes it, and what it has stood for since a night."""

    taxon: str
    learnt_on: str
    """YYYY-MM-DD: the first night on which it stood for this."""
    tax_id: int
    scientific_name: str
    rank: str
    lineage: str
    """The ids of the taxa above it, from the root down, with blanks between them."""


# A taxon that stands for the same as before keeps its night; what is said of it is brought up to date.
_KEEP = """
INSERT OR REPLACE INTO taxa VALUES (?1, coalesce(
    (SELECT learnt_on FROM taxa WHERE taxon = ?1 AND tax_id = ?3
        AND learnt_on = (SELECT max(learnt_on) FROM taxa WHERE taxon = ?1)), ?2), ?3, ?4, ?5, ?6)
"""


def keep_taxa(store: Store, taxa: Iterable[LearntTaxon]) -> None:
    """Keep what was learnt tonight, on which each of `taxa` is dated."""
    with store.transaction():
        store.write(_KEEP, taxa)


def learnt_taxa(store: Store) -> Iterator[LearntTaxon]:
    """All that was learnt, taxon by taxon, of each the latest last."""
    columns = ", ".join(LearntTaxon._fields)
    return map(LearntTaxon._make, store.walk(f"SELECT {columns} FROM taxa ORDER BY taxon, learnt_on"))
