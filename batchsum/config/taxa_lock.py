"""taxa.lock: which taxon each name of a job stood for when it was checked. It lies beside the job file.

A locked name keeps its id until somebody removes its line: names move, and nobody should find out by eye. Names
of other jobs in the same directory stay in the file.
"""

import re
import sys
from collections.abc import Iterable
from datetime import date
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from batchsum.atomic import replace_file
from batchsum.config.problems import decode, unreadable
from batchsum.errors import JobFileError, OutputError, Problem
from batchsum.model.filters import HIGHEST_TAX_ID, parse_date, parse_taxon
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
        """The id as it is known, else as it is written."""
        if taxon in self:
            return self[taxon].node.tax_id
        return int(taxon) if taxon.isascii() and taxon.isdigit() else None

    def ancestors(self, taxon: str) -> tuple[int, ...]:
        """The ids of the taxa above it, from the root down; empty where they are not known."""
        return self[taxon].node.parents if taxon in self else ()

    def ancestors_among(self, taxa: Iterable[str]) -> set[int]:
        """The ids of those of `taxa` that stand above another of them."""
        nodes = [self[taxon].node for taxon in taxa if taxon in self] if self else []
        lineages = {node.parents for node in nodes}
        return {node.tax_id for node in nodes} & set(chain.from_iterable(lineages))

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
    lines = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]  # splitlines() knows more line ends
    if lines[0] != _FIRST:
        raise JobFileError([Problem(file, 1, 1, f"no lock of this batchsum; the first line must be {_FIRST!r}")])
    start = next((number for number, line in enumerate(lines, start=1) if not line.startswith("#")), len(lines))
    if lines[start - 1] != _HEAD[-1]:
        message = f"here the header must stand: {', '.join(COLUMNS)}, separated by tabs"
        raise JobFileError([Problem(file, start, 1, message)])
    taxa, problems, lineages = TaxaLock(), list[Problem](), Lineages()
    for number, line in enumerate(lines[start:], start=start + 1):
        try:
            if line:
                taxon, locked = _read_line(line, lineages)
                if taxon in taxa:
                    raise ValueError(f"{taxon!r} stands here twice; remove one of the lines")
                taxa[taxon] = locked
        except ValueError as error:
            problems.append(Problem(file, number, 1, str(error)))
    if problems:
        raise JobFileError(problems[:_MOST_PROBLEMS])
    return taxa


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


def _read_line(line: str, lineages: Lineages) -> tuple[str, LockedTaxon]:
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        raise ValueError(f"this is no line of {len(COLUMNS)} cells; remove the mark of a merge, or check anew --online")
    taxon, tax_id, name, rank, lineage, locked_on = cells
    parents = tuple(map(_tax_id, lineage.split(" "))) if lineage else ()
    # Many lines share few lineages, ranks and dates.
    node = TaxonNode(_tax_id(tax_id), name, sys.intern(rank), lineages.setdefault(parents, parents))
    return parse_taxon(taxon), LockedTaxon(node, sys.intern(parse_date(locked_on).isoformat()))


def _tax_id(cell: str) -> int:
    if not _TAX_ID.fullmatch(cell) or int(cell) > HIGHEST_TAX_ID:
        raise ValueError(f"{cell[:40]!r} is no Taxonomy ID")
    return int(cell)
