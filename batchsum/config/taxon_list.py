"""The taxa of a job in columns: a million of them in about 40 MB, entries made when they are looked at.

Sets and bounds that many entries share are one object, so that their identity may serve as a key.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

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
