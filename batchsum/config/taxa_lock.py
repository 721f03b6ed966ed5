"""taxa.lock: which taxon each name of a job stood for when it was checked. It lies beside the job file.

A locked name keeps its id until somebody removes its line: names move, and nobody should find out by eye. Names
of other jobs in the same directory stay in the file.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Set
from datetime import date
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from batchsum.atomic import replace_file
from batchsum.errors import JobFileError, OutputError, Problem
from batchsum.model.filters import parse_taxon
from batchsum.ncbi.taxonomy import Lineages, Name, TaxonNode

FILE = "taxa.lock"
COLUMNS = ("taxon", "tax_id", "scientific_name", "rank", "lineage", "locked_on")

_FIRST = "# batchsum taxa.lock 1"  # 1 is the version of the format: a lock of another one is refused, not guessed at
_HEAD = (
    _FIRST,
    "# Written by `batchsum check JOB --online`: each taxon is asked by the id beside it. Keep this file with the job.",
    "# To follow a name that has moved, remove its line and check again.",
    "\t".join(COLUMNS),
)
_TAX_ID = re.compile(r"[1-9][0-9]{0,9}")
_MOST_PROBLEMS = 100  # where a column was lost, every line of a large lock has one


class LockedTaxon(NamedTuple):
    node: TaxonNode
    locked_on: str
    """YYYY-MM-DD: since when the lock says this."""


class TaxaLock:
    """The taxa of a lock by their names as written. Empty where there is no lock."""

    def __init__(self, taxa: Mapping[str, LockedTaxon] = MappingProxyType({})) -> None:
        self._taxa = taxa

    def __len__(self) -> int:
        return len(self._taxa)

    def __contains__(self, taxon: object) -> bool:
        return taxon in self._taxa

    def taxa(self) -> Set[str]:
        """The taxa that it knows, as they are written."""
        return self._taxa.keys()

    def get(self, taxon: str) -> LockedTaxon | None:
        return self._taxa.get(taxon)

    def asked_as(self, taxon: str) -> str:
        """What to ask NCBI for: the locked id, or the taxon as written."""
        locked = self._taxa.get(taxon)
        return taxon if locked is None else str(locked.node.tax_id)

    def tax_id(self, taxon: str) -> int | None:
        locked = self._taxa.get(taxon)
        return locked.node.tax_id if locked else None

    def ancestors(self, taxon: str) -> tuple[int, ...]:
        """The ids of the taxa above it, from the root down; empty where they are not known."""
        locked = self._taxa.get(taxon)
        return locked.node.parents if locked else ()

    def ancestors_among(self, taxa: Iterable[str]) -> set[int]:
        """The ids of those of `taxa` that stand above another of them."""
        nodes = [locked.node for taxon in taxa if (locked := self._taxa.get(taxon))] if self._taxa else []
        lineages = {node.parents for node in nodes}
        return {node.tax_id for node in nodes} & set(chain.from_iterable(lineages))

    def beside(self, others: Mapping[str, LockedTaxon]) -> "TaxaLock":
        """The lock, and of `others` the taxa that it does not know."""
        return TaxaLock({**others, **self._taxa})

    def with_names(self, names: Iterable[Name], today: date) -> "TaxaLock":
        """The lock with what was just learnt. A name keeps its id; what is said of that id is brought up to date."""
        taxa = dict(self._taxa)
        for name in names:
            if name.taxon is None or not name.taxon.is_virus:  # a doubtful name is not to be kept for good
                continue
            kept = taxa.get(name.text)
            if kept is None or (kept.node.tax_id == name.taxon.tax_id and kept.node != name.taxon):
                taxa[name.text] = LockedTaxon(name.taxon, today.isoformat())
        return TaxaLock(taxa)

    def text(self) -> str:
        """The file: ids by number, then names; a line is a taxon, so that two versions compare line by line."""
        lines = [_line(taxon, self._taxa[taxon]) for taxon in sorted(self._taxa, key=_order)]
        return "\n".join([*_HEAD, *lines]) + "\n"


NO_LOCK = TaxaLock()


def lock_file(job_file: Path) -> Path:
    return job_file.parent / FILE


def read_lock(path: Path) -> TaxaLock:
    """The lock in a file; an empty one where there is none. Raises JobFileError with every problem of it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # an editor may have put a byte-order mark before it
    except FileNotFoundError:
        return TaxaLock()
    except OSError as error:
        raise JobFileError([Problem(str(path), 1, 1, f"this file cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise JobFileError([Problem(str(path), 1, 1, "this file is not UTF-8; check the job anew")]) from None
    return parse_lock(text, str(path))


def parse_lock(text: str, file: str = FILE) -> TaxaLock:
    """The lock that `TaxaLock.text()` made. Raises as `read_lock`; `file` is what its problems name."""
    reading = _Reading(file)
    reading.read(text)
    if reading.problems:
        raise JobFileError(reading.problems[:_MOST_PROBLEMS])
    return TaxaLock(reading.taxa)


def write_lock(path: Path, lock: TaxaLock) -> bool:
    """Replace the file as a whole; False where it says this already. Raises OutputError."""
    raw = lock.text().encode()
    try:
        if path.exists() and path.read_bytes() == raw:
            return False
        replace_file(path, raw)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error
    return True


def _order(taxon: str) -> tuple[int, int, str, str]:
    is_id = _TAX_ID.fullmatch(taxon) is not None
    return (0, int(taxon), "", "") if is_id else (1, 0, taxon.casefold(), taxon)


def _line(taxon: str, locked: LockedTaxon) -> str:
    node = locked.node
    lineage = " ".join(map(str, node.parents))
    return "\t".join((taxon, str(node.tax_id), node.scientific_name, node.rank, lineage, locked.locked_on))


class _Reading:
    """A lock on its way into memory: every line is read, whatever is wrong with the others."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.taxa: dict[str, LockedTaxon] = {}
        self.problems: list[Problem] = []
        self._lineages: Lineages = {}

    def read(self, text: str) -> None:
        lines = text.removesuffix("\n").split("\n")  # splitlines() would number them as no editor does
        if lines[0].rstrip("\r") != _FIRST:
            self.report(1, 1, f"this is no lock of this batchsum: the first line must be {_FIRST!r}")
            return
        numbered = ((number, line.rstrip("\r")) for number, line in enumerate(lines, start=1))
        for number, line in numbered:
            if not line.startswith("#"):
                if line != _HEAD[-1]:
                    self.report(number, 1, f"here the header must stand: {', '.join(COLUMNS)}, separated by tabs")
                    return
                break
        for number, line in numbered:
            if line.startswith(("<<<<<<<", "=======", ">>>>>>>")) and "\t" not in line:
                self.report(number, 1, "an unfinished merge; keep the lines you want, and remove the marks")
            elif line:
                self.read_line(number, line)

    def read_line(self, number: int, line: str) -> None:
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            self.report(
                number, 1, f"{len(cells)} cells where there must be {len(COLUMNS)}; check the job anew --online"
            )
            return
        column, before = 1, len(self.problems)
        for name, cell in zip(COLUMNS, cells, strict=True):
            try:
                self.check(name, cell)
            except ValueError as error:
                self.report(number, column, f"{name}: {error}")
            column += len(cell) + 1
        if len(self.problems) > before:
            return
        taxon, tax_id, scientific_name, rank, lineage, locked_on = cells
        parents = tuple(map(int, lineage.split()))
        node = TaxonNode(int(tax_id), scientific_name, sys.intern(rank), self._lineages.setdefault(parents, parents))
        self.taxa[taxon] = LockedTaxon(node, sys.intern(locked_on))  # many lines share few dates, ranks and lineages

    def check(self, name: str, cell: str) -> None:
        match name:
            case "taxon":
                parse_taxon(cell)
                if cell in self.taxa:
                    raise ValueError(f"{cell!r} stands here twice; remove one of the lines")
            case "tax_id":
                _check_tax_id(cell)
            case "lineage":
                for one in cell.split(" ") if cell else ():
                    _check_tax_id(one)
            case "locked_on":
                if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", cell):  # fromisoformat() would take 2025-W03-3 too
                    raise ValueError(f"{cell!r} is no date; write it as 2025-01-15")
                date.fromisoformat(cell)

    def report(self, line: int, column: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, column, message))


def _check_tax_id(text: str) -> None:
    if not _TAX_ID.fullmatch(text) or int(text) >= 2**31:
        raise ValueError(f"{text[:40]!r} is no Taxonomy ID")
