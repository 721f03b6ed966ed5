"""Somebody's own records, from the `data_report.jsonl` that NCBI's `datasets` downloads or prints.

Plain, gzip, or inside NCBI's zip package; one record a line, in the camel case of the download or the snake case of
`summary ... --as-json-lines`. A line that cannot be used is counted and named, and the others are served.

Lineages of the records, from the top down, win over the package's tree: trees move, and NCBI counts by today's. Where
two contradict each other, the later one holds for both records.
"""

import gzip
import json
import logging
import lzma
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

from batchsum.local_ncbi.catalogue import CELLULAR_ORGANISMS, ROOT, VIRUSES, Catalogue, Taxon, build, package_taxa
from batchsum.local_ncbi.question import is_unicode
from batchsum.local_ncbi.records import CONTINENT_OF, GenomeRecord

log = logging.getLogger(__name__)

_REPORT_NAME = "data_report.jsonl"
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
"""What a file raises that is cut off, damaged, or packed in a way that Python does not know."""
_MOST_NAMED_PROBLEMS = 20
_LONGEST_LINE = 4_000_000
Kind = TypeVar("Kind")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def open_reports(paths: Sequence[Path]) -> Catalogue:
    """A catalogue of these files' records alone. What cannot be used is logged, in sentences to show.

    Raises ValueError, with a message to show, for a file that is none, or that there is no room for.
    """
    reports = _Reports()
    try:
        catalogue = Catalogue(build(reports.taxa, reports.records(paths)))
    except sqlite3.OperationalError as exc:
        raise ValueError(f"catalogue: {exc}; SQLite keeps the records in a temporary file: set TMPDIR") from None
    if reports.bad_lines:
        served = catalogue.database.execute("SELECT count(*) FROM record").fetchone()[0]
        log.warning("%d lines of the catalogue could not be used; %d records are served", reports.bad_lines, served)
    return catalogue


class _Reports:
    """Reads records from files, and adds to `taxa` what their lineages know and the package does not."""

    def __init__(self) -> None:
        self.taxa = package_taxa()
        self.bad_lines = 0
        self._seen: set[tuple[int, ...]] = set()
        """Lineages as they were given; each is looked at once: a million records have some thousands."""

    def records(self, paths: Sequence[Path]) -> Iterator[GenomeRecord]:
        """Every record that can be used, file by file. Raises ValueError for a file that cannot be read."""
        for path in paths:
            try:
                with path.open("rb") as file:
                    yield from self._records_of(path, _unpacked(path, file))
            except _UNREADABLE as exc:
                raise ValueError(f"catalogue {path}: {getattr(exc, 'strerror', None) or exc}") from None

    def _records_of(self, path: Path, lines: IO[bytes] | gzip.GzipFile) -> Iterator[GenomeRecord]:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), start=1):
            if not line.strip():
                continue
            try:
                record = self._record(line)
            except ValueError as exc:
                self.bad_lines += 1
                if self.bad_lines <= _MOST_NAMED_PROBLEMS:
                    log.warning("%s:%d: %s", path, number, exc)
            else:
                yield record

    def _record(self, line: bytes) -> GenomeRecord:
        """The record of one line. Raises ValueError that says why it cannot be used."""
        text, report = _parse_line(line)
        accession, virus = report.get("accession"), _field(report, "virus", dict)
        if not isinstance(accession, str) or not accession.strip():
            raise ValueError("no accession")
        tax_id = _tax_id(virus)
        if not tax_id:
            raise ValueError(f"{accession}: no virus.tax_id")
        host = _field(report, "host", dict)
        host_id = _tax_id(host)
        location = _field(report, "location", dict)
        country = _text(location, "geographic_location").partition(":")[0].strip()
        self._learn(virus, tax_id, VIRUSES)
        if host_id:
            self._learn(host, host_id, CELLULAR_ORGANISMS)
        released = _day(report, "release_date")
        completeness = _text(report, "completeness") or _text(report, "nucleotide_completeness")
        return GenomeRecord(
            accession=accession,
            tax_id=tax_id,
            length=_number(report, "length"),
            refseq=_text(report, "source_database").casefold() == "refseq",
            annotated=_field(report, "is_annotated", bool),
            complete=_field(report, "is_complete", bool) or completeness.casefold() == "complete",
            proteins=_number(report, "protein_count"),
            released=released,
            revised=_day(report, "update_date") or released,
            host_id=host_id or None,
            continent=_text(location, "geographic_region") or CONTINENT_OF.get(country, ""),
            country=country,
            usa_state=_text(location, "usa_state"),
            pango_lineage=_text(virus, "pangolin_classification"),
            report=text,
        )

    def _learn(self, organism: Mapping[str, Any], tax_id: int, top: int) -> None:
        """Give an organism, and the taxa of its lineage, their places in the tree."""
        spelled = "taxId" if "taxId" in organism else "tax_id"
        try:
            given = (top, tax_id, *[step[spelled] for step in organism.get("lineage", ())])
            if given in self._seen:
                return
            self._seen.add(given)
        except (KeyError, TypeError):
            pass  # not as it should be
        steps = [step for step in _field(organism, "lineage", list) if isinstance(step, dict)]
        names = {_tax_id(step): _text(step, "name") for step in steps}
        above = [each for each in names if each not in (0, ROOT, tax_id)]
        names[tax_id] = _text(organism, "organism_name") or _text(organism, "sci_name")
        parent = top
        for each in (*above, tax_id):
            known = self.taxa.get(each)
            if known is None:
                common = _text(organism, "common_name") if each == tax_id else ""
                self.taxa[each] = Taxon(each, parent, "no rank", names[each] or str(each), common)
            # A lineage that begins at the top moves taxa that stand elsewhere; any other could close a circle.
            elif above[:1] == [top] and each not in (ROOT, VIRUSES, CELLULAR_ORGANISMS):
                self.taxa[each] = known._replace(parent_id=parent)
            parent = each


def _unpacked(path: Path, file: BinaryIO) -> IO[bytes] | gzip.GzipFile:
    start = file.read(4)
    file.seek(0)
    if start[:2] == b"\x1f\x8b":
        return gzip.open(file)
    if start != b"PK\x03\x04":
        return file
    package = zipfile.ZipFile(file)
    # NCBI's package has it at ncbi_dataset/data/, others at the top.
    names = [name for name in package.namelist() if name.rpartition("/")[2] == _REPORT_NAME]
    if len(names) != 1:
        raise ValueError(f"catalogue {path}: the package has {len(names)} files {_REPORT_NAME}, not one")
    return package.open(names[0])


def _parse_line(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        text = line.decode("utf-8-sig").strip()
        report = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(report, dict):
        raise ValueError("not a JSON object")
    # Only an escape can bring half a surrogate pair, and few reports have one.
    if "\\u" in text and not is_unicode(json.dumps(report, ensure_ascii=False)):
        raise ValueError("text that is not Unicode")
    return text, report


def read_report(line: str) -> dict[str, Any]:
    """A report that was given, as the server gives it: `releaseDate` becomes `release_date`, at every depth."""
    report: dict[str, Any] = json.loads(
        line, object_hook=lambda value: {_snake(name): item for name, item in value.items()}
    )
    return report


@lru_cache(maxsize=1000)
def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


@cache
def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def _field(report: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    """A field by its name in snake case, however the report spells it; an empty one where it is of another kind."""
    # Both spellings are looked up: to rename the keys of every report took most of the time of loading.
    value = report.get(name)
    if value is None:
        value = report.get(_camel(name))
    # No isinstance: True is no number.
    return value if type(value) is kind else kind()


def _tax_id(organism: Mapping[str, Any]) -> int:
    """Its id, or 0."""
    return _number(organism, "tax_id", 2**31)


def _text(report: Mapping[str, Any], name: str) -> str:
    return _field(report, name, str)


def _number(report: Mapping[str, Any], name: str, end: int = 2**40) -> int:
    value = _field(report, name, int)
    return value if 0 <= value < end else 0


def _day(report: Mapping[str, Any], name: str) -> str:
    text = _text(report, name)[:10]
    return text if _DAY.fullmatch(text) else ""
