"""The taxa of a job in columns: a million of them in about 40 MB, entries made when they are looked at.

Sets and bounds that many entries share are one object, so that their identity may serve as a key.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

from batchsum.model.filters import FilterSet
from batchsum.model.job import ListedTaxon, NamedSet

Sets = tuple[NamedSet, ...] | None
Bounds = Mapping[str, Any] | None


class _Texts:
    """Texts one behind the other, and where each ends."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def append(self, text: str) -> None:
        if text:
            self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode()


class TaxonList(Sequence[ListedTaxon]):
    def __init__(self) -> None:
        self._taxa = _Texts()
        self._labels = _Texts()
        self._kinds = array("I")
        self._lines = array("I")
        self._columns = array("I")
        self._files: list[tuple[int, str]] = []
        self._distinct: list[tuple[Sets, Bounds]] = []

    def kind(self, sets: Sets, guards: Bounds = None) -> int:
        """A number under which entries can be added that share these sets and bounds."""
        self._distinct.append((sets, guards))
        return len(self._distinct) - 1

    def begin(self, file: str) -> None:
        """What is added from now on stands in `file`."""
        self._files.append((len(self), file))

    def add(self, taxon: str, label: str, kind: int, line: int, column: int = 1) -> None:
        self._taxa.append(taxon)
        self._labels.append(label)
        self._kinds.append(kind)
        self._lines.append(line)
        self._columns.append(column)

    def place(self, index: int) -> tuple[str, int, int]:
        """File, line and column where an entry stands."""
        file = next(name for start, name in reversed(self._files) if start <= index)
        return file, self._lines[index], self._columns[index]

    def __len__(self) -> int:
        return len(self._kinds)

    def __iter__(self) -> Iterator[ListedTaxon]:
        return map(self._entry, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> ListedTaxon: ...
    @overload
    def __getitem__(self, index: slice) -> list[ListedTaxon]: ...
    def __getitem__(self, index: int | slice) -> ListedTaxon | list[ListedTaxon]:
        if isinstance(index, slice):
            return [self._entry(one) for one in range(*index.indices(len(self)))]
        return self._entry(range(len(self))[index])

    def _entry(self, index: int) -> ListedTaxon:
        sets, guards = self._distinct[self._kinds[index]]
        return ListedTaxon(self._taxa[index], self._labels[index], sets, guards)

    def kinds(self) -> list[Sets]:
        """The sets of each number that `kind` gave."""
        return [sets for sets, _ in self._distinct]

    def taxa_and_kinds(self) -> Iterator[tuple[str, int]]:
        """Taxon and number of each entry, in order."""
        return ((self._taxa[index], kind) for index, kind in enumerate(self._kinds))


# Taxa that a job lists again with a filter set of the same name. Exact, but cheap for a million entries: a
# bitmap finds the few that may repeat, and only those are compared.


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
