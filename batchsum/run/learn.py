"""Names, ids and lineages that are learnt by themselves, for the taxa that no lock knows.

The job is asked as it is written. What was learnt tells which rows belong together from night to night, which taxon
stands above which, and when a name has moved. Where tonight nothing can be learnt, what earlier nights learnt is used.
"""

from collections.abc import Container, Iterator, Mapping
from datetime import date

from batchsum.config.names import merged, moved
from batchsum.config.taxa_lock import LockedTaxon, TaxaLock
from batchsum.ncbi.taxonomy import Lineages, Name, TaxonNode
from batchsum.store.store import Store
from batchsum.store.taxa import LearntTaxon, keep_taxa, learnt_taxa


def learn(store: Store, today: date, lock: TaxaLock, names: Mapping[str, Name]) -> None:
    """Keep what NCBI's taxonomy said tonight of the taxa that the lock of the job does not know."""
    keep_taxa(
        store,
        [
            LearntTaxon(
                name.text, today.isoformat(), name.taxon.tax_id, name.taxon.scientific_name, name.taxon.rank,
                " ".join(map(str, name.taxon.parents)),
            )
            for name in names.values()
            if name.taxon and name.taxon.is_virus and name.text not in lock  # what is locked is not learnt anew
        ],
    )  # fmt: skip


def known_taxa(store: Store, lock: TaxaLock) -> TaxaLock:
    """What is known of the taxa: as they are locked, else as they were learnt last."""
    lineages: Lineages = {}
    learnt = {one.taxon: LockedTaxon(_node(one, lineages), one.learnt_on) for one in learnt_taxa(store)}
    return lock.beside(learnt)


def moved_tonight(store: Store, today: date, taxa: Container[str]) -> Iterator[str]:
    """Warnings about `taxa` on the first night on which it is seen: a name that NCBI moved, an id that it merged."""
    before: LearntTaxon | None = None
    for one in learnt_taxa(store):
        was = before if before and before.taxon == one.taxon else None
        before = one
        # What was learnt on an earlier night was told on that night.
        if one.learnt_on != today.isoformat() or one.taxon not in taxa:
            continue
        if one.taxon.isdigit() and int(one.taxon) != one.tax_id:
            yield merged(one.taxon, _node(one))
        elif was is not None:
            yield moved(one.taxon, _node(was), _node(one))


def _node(one: LearntTaxon, lineages: Lineages | None = None) -> TaxonNode:
    """Taxa side by side share the tuple of what is above them."""
    parents = tuple(map(int, one.lineage.split()))
    shared = parents if lineages is None else lineages.setdefault(parents, parents)
    return TaxonNode(one.tax_id, one.scientific_name, one.rank, shared)
