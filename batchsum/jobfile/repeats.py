"""Taxa that a job lists again with a filter set of the same name.

Exact, but cheap for a million entries: a bitmap finds the few that may repeat, and only those are compared.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from batchsum.config.taxon_list import TaxonList
from batchsum.model.filters import FilterSet
from batchsum.model.job import NamedSet


class Repeat(NamedTuple):
    entry: int
    """Number of the later entry."""
    taxon: str
    filter_set: str
    same: bool
    """Whether it asks the same filters as the earlier one."""


def repeats(taxa: TaxonList, job_sets: Sequence[NamedSet]) -> Iterator[Repeat]:
    every = tuple(job_sets)
    kinds = [every if sets is None else sets for sets in taxa.kinds()]
    groups = _groups(kinds)
    suspects = _suspects(taxa, groups)
    first: dict[tuple[str, str], FilterSet] = {}
    for index, (taxon, kind) in enumerate(taxa.taxa_and_kinds()):
        if (taxon, groups[kind]) not in suspects:
            continue
        for named in kinds[kind]:
            earlier = first.get((taxon, named.name))
            if earlier is None:
                first[taxon, named.name] = named.filters
            else:
                yield Repeat(index, taxon, named.name, earlier == named.filters)


def _groups(kinds: Sequence[tuple[NamedSet, ...]]) -> list[int]:
    """A number for each kind, the same for kinds that share the name of a filter set."""
    parents = list(range(len(kinds)))

    def find(kind: int) -> int:
        while parents[kind] != kind:
            parents[kind] = kind = parents[parents[kind]]
        return kind

    holders: dict[str, int] = {}
    known: dict[int, int] = {}
    for kind, sets in enumerate(kinds):
        if (same := known.setdefault(id(sets), kind)) != kind:
            parents[kind] = find(same)
            continue
        for named in sets:
            parents[find(kind)] = find(holders.setdefault(named.name, kind))
    return [find(kind) for kind in range(len(kinds))]


def _suspects(taxa: TaxonList, groups: Sequence[int]) -> set[tuple[str, int]]:
    """Every taxon and group that comes again, and by chance a few that do not."""
    bits = 1 << (16 * len(taxa) + 1024).bit_length()
    bitmap = bytearray(bits // 8)
    suspects = set()
    for taxon, kind in taxa.taxa_and_kinds():
        key = taxon, groups[kind]
        place, bit = divmod(hash(key) % bits, 8)
        if bitmap[place] >> bit & 1:
            suspects.add(key)
        bitmap[place] |= 1 << bit
    return suspects
