"""Names, ids and lineages that are learnt by themselves, for the taxa that no lock knows.

The job is asked as it is written. What was learnt tells which rows belong together from night to night, which taxon
stands above which, and when a name has moved. Where tonight nothing can be learnt, what earlier nights learnt is used.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import groupby
from operator import itemgetter

from batchsum.config.names import merged, moved
from batchsum.config.taxa_lock import LockedTaxon, TaxaLock
from batchsum.ncbi.taxonomy import Lineages, Name, TaxonNode
from batchsum.store.store import Store

# A taxon that stands for the same as before keeps its night; what is said of it is brought up to date.
_KEEP = """
INSERT OR REPLACE INTO taxa VALUES (?1, coalesce(
    (SELECT learnt_on FROM taxa WHERE taxon = ?1 AND tax_id = ?3
        AND learnt_on = (SELECT max(learnt_on) FROM taxa WHERE taxon = ?1)), ?2), ?3, ?4, ?5, ?6)
"""


def learn(store: Store, today: date, lock: TaxaLock, names: Mapping[str, Name]) -> None:
    """Keep what NCBI's taxonomy said tonight of the taxa that the lock of the job does not know."""
    learnt = [
        (name.text, today.isoformat(), node.tax_id, node.scientific_name, node.rank, " ".join(map(str, node.parents)))
        for name in names.values()
        if (node := name.taxon) and node.is_virus and name.text not in lock  # what is locked is not learnt anew
    ]
    with store.transaction():
        store.write(_KEEP, learnt)


def known_taxa(store: Store, lock: TaxaLock) -> TaxaLock:
    """What is known of the taxa: as they are locked, else as they were learnt last."""
    return TaxaLock({**dict(_learnt(store)), **lock})


def moved_tonight(store: Store, today: date, taxa: Iterable[str]) -> Iterator[str]:
    """Warnings about `taxa` on the first night on which it is seen: a name that NCBI moved, an id that it merged."""
    tonight = today.isoformat()
    said: dict[str, str] = {}
    learnt = _learnt(store, "WHERE taxon IN (SELECT taxon FROM taxa WHERE learnt_on = ?)", tonight)
    for taxon, kept in groupby(learnt, key=itemgetter(0)):
        *before, now = [one.node for _, one in kept if one.locked_on <= tonight]  # a later night may stand there, too
        if taxon.isdigit() and int(taxon) != now.tax_id:
            said[taxon] = merged(taxon, now)
        elif before:
            said[taxon] = moved(taxon, before[-1], now)
    yield from (said.pop(taxon) for taxon in taxa if taxon in said)


def _learnt(store: Store, where: str = "", *values: object) -> Iterator[tuple[str, LockedTaxon]]:
    """What was learnt, taxon by taxon, of each the latest last. Taxa side by side share the tuple of what is above
    them."""
    lineages: Lineages = {}
    for taxon, night, tax_id, name, rank, lineage in store.walk(
        f"SELECT taxon, learnt_on, tax_id, scientific_name, rank, lineage FROM taxa {where} ORDER BY taxon, learnt_on",
        *values,
    ):
        parents = tuple(map(int, lineage.split()))
        yield taxon, LockedTaxon(TaxonNode(tax_id, name, rank, lineages.setdefault(parents, parents)), night)
