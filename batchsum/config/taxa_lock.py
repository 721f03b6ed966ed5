"""taxa.lock: which taxon each name of a job stood for when it was checked. It lies beside the job file.

A locked name keeps its id until somebody removes its line: names move, and nobody should find out by eye. Names
of other jobs in the same directory stay in the file.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from batchsum.atomic import replace_file
from batchsum.config.problems import decode, unreadable
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


class TaxaLock(dict[str, LockedTaxon]):
    """The taxa of a lock by their names as written. Empty where there is no lock. Nobody changes one in place."""

    def asked_as(self, taxon: str) -> str:
        """What to ask NCBI for: the locked id, or the taxon as written."""
        return str(self[taxon].node.tax_id) if taxon in self else taxon

    def tax_id(self, taxon: str) -> int | None:
        return self[taxon].node.tax_id if taxon in self else None

    def ancestors(self, taxon: str) -> tuple[int, ...]:
        """The ids of the taxa above it, from the root down; empty where they are not known."""
        return self[taxon].node.parents if taxon in self else ()

    def ancestors_among(self, taxa: Iterable[str]) -> set[int]:
        """The ids of those of `taxa` that stand above another of them."""
        nodes = [self[taxon].node for taxon in taxa if taxon in self] if self else []
        lineages = {node.parents for node in nodes}
        return {node.tax_id for node in nodes} & set(chain.from_iterable(lineages))

    def beside(self, others: Mapping[str, LockedTaxon]) -> "TaxaLock":
        """The lock, and of `others` the taxa that it does not know."""
        return TaxaLock({**others, **self})

    def with_names(self, names: Iterable[Name], today: date) -> "TaxaLock":
        """The lock with what was just learnt. A name keeps its id; what is said of that id is brought up to date."""
        taxa = TaxaLock(self)
        for name in names:
            if name.taxon is None or not name.taxon.is_virus:  # a doubtful name is not to be kept for good
                continue
            kept = taxa.get(name.text)
            if kept is None or (kept.node.tax_id == name.taxon.tax_id and kept.node != name.taxon):
                taxa[name.text] = LockedTaxon(name.taxon, today.isoformat())
        return taxa

    def text(self) -> str:
        """The file: ids by number, then names; a line is a taxon, so that two versions compare line by line."""
        lines = [*_HEAD]
        for taxon in sorted(self, key=_order):
            node, locked_on = self[taxon]
            lineage = " ".join(map(str, node.parents))
            lines.append("\t".join((taxon, str(node.tax_id), node.scientific_name, node.rank, lineage, locked_on)))
        return "\n".join(lines) + "\n"


NO_LOCK = TaxaLock()


def lock_file(job_file: Path) -> Path:
    return job_file.parent / FILE


def read_lock(path: Path) -> TaxaLock:
    """The lock in a file; an empty one where there is none. Raises JobFileError with every problem of it."""
    try:
        text = decode(str(path), path.read_bytes())
    except FileNotFoundError:
        return TaxaLock()
    except OSError as error:
        raise JobFileError([Problem(str(path), 1, 1, unreadable(error))]) from error
    return parse_lock(text, str(path))


def parse_lock(text: str, file: str = FILE) -> TaxaLock:
    """The lock that `TaxaLock.text()` made. Raises as `read_lock`; `file` is what its problems name."""
    reading = _Reading(file)
    reading.read(text)
    if reading.problems:
        raise JobFileError(reading.problems[:_MOST_PROBLEMS])
    return reading.taxa


def write_lock(path: Path, lock: TaxaLock) -> bool:
    """Replace the file as a whole; False where it says this already. Raises OutputError."""
    raw = lock.text().encode()
    try:
        if path.exists() and path.read_bytes() == raw:
            return False
        replace_file(path, raw)
        return True
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error


def _order(taxon: str) -> tuple[int, int, str, str]:
    is_id = _TAX_ID.fullmatch(taxon) is not None
    return (0, int(taxon), "", "") if is_id else (1, 0, taxon.casefold(), taxon)


class _Reading:
    """A lock on its way into memory: every line is read, whatever is wrong with the others."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.taxa = TaxaLock()
        self.problems: list[Problem] = []
        self._lineages: Lineages = {}

    def read(self, text: str) -> None:
        lines = text.removesuffix("\n").split("\n")  # splitlines() would number them as no editor does
        numbered = ((number, line.rstrip("\r")) for number, line in enumerate(lines, start=1))
        if next(numbered)[1] != _FIRST:
            self.report(1, 1, f"this is no lock of this batchsum: the first line must be {_FIRST!r}")
            return
        number, header = next((one for one in numbered if not one[1].startswith("#")), (0, _HEAD[-1]))
        if header != _HEAD[-1]:
            self.report(number, 1, f"here the header must stand: {', '.join(COLUMNS)}, separated by tabs")
            return
        for number, line in numbered:
            if line.startswith(("<<<<<<<", "=======", ">>>>>>>")) and "\t" not in line:
                self.report(number, 1, "an unfinished merge; keep the lines you want, and remove the marks")
            elif line:
                self.read_line(number, line)

    def read_line(self, number: int, line: str) -> None:
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            message = f"{len(cells)} cells where there must be {len(COLUMNS)}; check the job anew --online"
            self.report(number, 1, message)
            return
        readers: tuple[Callable[[str], Any], ...] = (self.new_taxon, _tax_id, str, sys.intern, self.lineage, _day)
        column, values = 1, list[Any]()
        for name, read, cell in zip(COLUMNS, readers, cells, strict=True):
            try:
                values.append(read(cell))
            except ValueError as error:
                self.report(number, column, f"{name}: {error}")
            column += len(cell) + 1
        if len(values) == len(COLUMNS):
            taxon, *node, locked_on = values
            self.taxa[taxon] = LockedTaxon(TaxonNode(*node), locked_on)

    def new_taxon(self, cell: str) -> str:
        if parse_taxon(cell) in self.taxa:
            raise ValueError(f"{cell!r} stands here twice; remove one of the lines")
        return cell

    def lineage(self, cell: str) -> tuple[int, ...]:
        parents = tuple(map(_tax_id, cell.split(" "))) if cell else ()
        return self._lineages.setdefault(parents, parents)  # many lines share few lineages, ranks and dates

    def report(self, line: int, column: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, column, message))


def _tax_id(cell: str) -> int:
    if not _TAX_ID.fullmatch(cell) or int(cell) >= 2**31:
        raise ValueError(f"{cell[:40]!r} is no Taxonomy ID")
    return int(cell)


def _day(cell: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", cell):  # fromisoformat() would take 2025-W03-3 too
        raise ValueError(f"{cell!r} is no date; write it as 2025-01-15")
    return sys.intern(date.fromisoformat(cell).isoformat())
