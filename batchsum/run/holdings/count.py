"""Count what a data report holds, for every taxon and filter set that is wanted, in one pass over the file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path

from batchsum.config.taxa_lock import NO_LOCK, TaxaLock
from batchsum.run.holdings.package import HoldingError, open_report
from batchsum.run.holdings.sums import Wanted
from batchsum.text import install_extra, one_line


@dataclass(frozen=True, slots=True)
class Held:
    """What a file told of the records of the holding's taxon and all below. An accession counts once."""

    taxon: int
    """The id of the holding's taxon."""
    counts: tuple[int | None, ...]
    """For each Wanted, in order. None where the file cannot say: the taxon is not known to be at or below the
    holding's, or no record tells which host is meant."""
    total: int
    newest: date | None
    """The last release day."""
    day: date
    """The day of the file, UTC: the latest inside a zip, else when it was last written."""
    released: Mapping[date, int]
    """Records by release day; one that does not tell it is in `total` only."""
    covers: frozenset[int]
    """The ids of the taxa at or below the holding's that its records are of."""
    unreadable: tuple[int, int]
    """How many lines are no record, and the number of the first; zeros where there is none."""


def count_held(
    file: Path,
    taxon: int | str,
    wanted: Sequence[Wanted],
    *,
    lock: TaxaLock = NO_LOCK,
    progress: Callable[[int], None] | None = None,
) -> Held:
    """Count `wanted` in the data report that was downloaded for `taxon`. Raises HoldingError, a sentence to show.

    `taxon` is an id, or a name of which the first record that has it in its lineage tells the id. `lock` tells of taxa
    that no record has: where they are below `taxon`, they count 0. `progress` is told the lines read, every thousand;
    what it raises ends the reading.
    """
    try:
        from batchsum.run.holdings.record import UNREADABLE  # imported here, since msgspec may not be installed
        from batchsum.run.holdings.tally import Tally
    except ImportError as error:
        raise HoldingError(f"{file}: to read it, {install_extra('holdings')} ({error})") from None
    tally = Tally(taxon, wanted)
    bad_lines, first_bad, first_line = 0, 0, b""
    with open_report(file) as report:
        read = told = position = 0
        for block in report.blocks:
            try:
                read += tally.add(block)
            except UNREADABLE:
                for line in BytesIO(block):
                    try:
                        read += tally.add(line)
                    except UNREADABLE:
                        if not bad_lines:
                            first_bad, first_line = position, line
                        bad_lines += 1
                    position += len(line)
            else:
                position += len(block)
            if progress is not None and read // 1000 > told:
                told = read // 1000
                progress(told * 1000)
    line_number = _line_at(file, first_bad) if bad_lines else 0
    if tally.taxon is None or not tally.total:
        raise HoldingError(f"{file}: {_why_nothing(taxon, tally.other, line_number, first_line)}")
    released = tally.released()
    return Held(
        taxon=tally.taxon,
        counts=tuple(tally.counts(lock)),
        total=tally.total,
        newest=max(released, default=None),
        day=report.day,
        released=released,
        covers=frozenset(tally.covers),
        unreadable=(bad_lines, line_number),
    )


def _line_at(file: Path, position: int) -> int:
    """The number of the line at a position of the unpacked text: counted only where it is asked for."""
    before = 0
    with open_report(file) as report:
        for block in report.blocks:
            before += bytes(block[:position]).count(b"\n")
            position -= len(block)
            if position <= 0:
                break
    return before + 1


def _why_nothing(taxon: int | str, other: str, line_number: int, line: bytes) -> str:
    """Why a file that could be read to its end has no record of the taxon, and what to do."""
    if other:
        correct = (
            "correct the taxon of the holding" if isinstance(taxon, int) else "write the id of the holding's taxon"
        )
        return f"no record of {taxon} or below, but of {other}; {correct}, or correct the file"
    if not line_number:
        return "no record in it; download it again"
    if b'"assemblyInfo"' in line or b'"assembly_info"' in line:
        what = "a report of genome assemblies"
    elif b'"reports"' in line:
        what = "one JSON document, as --as-json prints it, and not one record a line (--as-json-lines)"
    else:
        text = one_line(line[:60].decode(errors="replace"))
        what = f"no report of virus genomes (line {line_number}: {text or 'no text'})"
    return f"{what}; download it with `datasets download virus genome taxon {taxon!r} --include none`"
