"""Somebody's own records, from the `data_report.jsonl` that NCBI's `datasets` downloads or prints.

Plain, gzip, or inside NCBI's zip package; one record a line, in the camel case of the download or the snake
case of `summary ... --as-json-lines`. A line that cannot be used is counted and named, and the others are
served. A taxon that the package's taxonomy does not know is hung where the record's own lineage has it, else
below "Viruses".
"""

import gzip
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from batchsum.local_ncbi.catalogue import Catalogue, build
from batchsum.local_ncbi.places import CONTINENT_OF
from batchsum.local_ncbi.records import Record
from batchsum.local_ncbi.taxonomy import ROOT, VIRUSES, Node, package_nodes

_REPORT_NAME = "data_report.jsonl"
_MOST_NAMED_PROBLEMS = 20
_LONGEST_LINE = 4_000_000
_HOSTS_ROOT = 131567


@dataclass(slots=True)
class Holdings:
    """Records read from files, the taxa they bring along, and what could not be used (`FILE:LINE: why`)."""

    records: dict[str, Record] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    bad_lines: int = 0

    def complain(self, where: str, why: str) -> None:
        self.bad_lines += 1
        if len(self.problems) < _MOST_NAMED_PROBLEMS:
            self.problems.append(f"{where}: {why}")


def open_holdings(paths: Sequence[Path]) -> tuple[Catalogue, Holdings]:
    """A catalogue of these files' records alone. Raises ValueError, with a message to show, for a file that is none."""
    nodes, _ = package_nodes()
    holdings = Holdings(nodes=nodes)
    for path in paths:
        _read_file(path, holdings)
    return Catalogue(build(holdings.nodes, holdings.records.values())), holdings


def _read_file(path: Path, holdings: Holdings) -> None:
    try:
        with _opened(path) as lines:
            for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), start=1):
                if line.strip():
                    try:
                        _add(line, holdings)
                    except ValueError as exc:
                        holdings.complain(f"{path}:{number}", str(exc))
    except (OSError, EOFError, zipfile.BadZipFile) as exc:
        raise ValueError(f"catalogue {path}: {getattr(exc, 'strerror', None) or exc}") from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(file) as unzipped:
                yield cast(BinaryIO, unzipped)
        elif start == b"PK\x03\x04":
            with zipfile.ZipFile(file) as package:
                names = [name for name in package.namelist() if name.rpartition("/")[2] == _REPORT_NAME]
                if len(names) != 1:
                    raise ValueError(f"catalogue {path}: the package has {len(names)} files {_REPORT_NAME}, not one")
                with package.open(names[0]) as member:
                    yield cast(BinaryIO, member)
        else:
            yield file


def _add(line: bytes, holdings: Holdings) -> None:
    """Take one line. Raises ValueError that says why it cannot be used."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(given, dict):
        raise ValueError("not a JSON object")
    report = _snake_cased(given)
    text = json.dumps(report, ensure_ascii=False)
    if not _is_unicode(text):
        raise ValueError("text that is not Unicode")
    accession, virus = report.get("accession"), _object(report.get("virus"))
    if not isinstance(accession, str) or not accession.strip():
        raise ValueError("no accession")
    tax_id = virus.get("tax_id")
    if not isinstance(tax_id, int) or isinstance(tax_id, bool) or not 0 < tax_id < 2**31:
        raise ValueError(f"{accession}: no virus.tax_id")
    _hang(tax_id, virus, VIRUSES, holdings.nodes)
    host = _object(report.get("host"))
    host_id = host.get("tax_id") if isinstance(host.get("tax_id"), int) else None
    if host_id is not None:
        _hang(host_id, host, _HOSTS_ROOT, holdings.nodes)
    # The same accession in a later line or file replaces the earlier one.
    holdings.records[accession] = _record(report, text, accession, tax_id, host_id)


def _record(report: Mapping[str, Any], text: str, accession: str, tax_id: int, host_id: int | None) -> Record:
    location = _object(report.get("location"))
    country = _text(location.get("geographic_location")).partition(":")[0].strip()
    released = _day(report.get("release_date"))
    completeness = _text(report.get("completeness")) or _text(report.get("nucleotide_completeness"))
    return Record(
        accession=accession,
        tax_id=tax_id,
        length=_number(report.get("length")),
        refseq=_text(report.get("source_database")).casefold() == "refseq",
        annotated=report.get("is_annotated") is True,
        complete=report.get("is_complete") is True or completeness.casefold() == "complete",
        proteins=_number(report.get("protein_count")),
        released=released,
        revised=_day(report.get("update_date")) or released,
        collected=_text(_object(report.get("isolate")).get("collection_date")),
        host_id=host_id,
        continent=_text(location.get("geographic_region")) or CONTINENT_OF.get(country, ""),
        country=country,
        usa_state=_text(location.get("usa_state")),
        lineage=_text(_object(report.get("virus")).get("pangolin_classification")),
        report=text,
    )


def _hang(tax_id: int, organism: Mapping[str, Any], top: int, nodes: dict[int, Node]) -> None:
    """Make sure that `tax_id` is in the tree, below what its lineage says, or else below `top`."""
    if tax_id in nodes:
        return
    parent = top
    lineage = organism.get("lineage")
    for step in lineage if isinstance(lineage, list) else ():
        above = _object(step).get("tax_id")
        if isinstance(above, int) and 0 < above < 2**31 and above not in (ROOT, tax_id):
            if above not in nodes:
                nodes[above] = Node(above, parent, "no rank", _text(_object(step).get("name")) or str(above))
            parent = above
    name = _text(organism.get("organism_name")) or _text(organism.get("sci_name")) or str(tax_id)
    nodes[tax_id] = Node(tax_id, parent, "no rank", name, _text(organism.get("common_name")))


def _snake_cased(value: Any) -> Any:
    """`releaseDate` becomes `release_date`, at every depth."""
    if isinstance(value, dict):
        return {
            re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower(): _snake_cased(item) for name, item in value.items()
        }
    return [_snake_cased(item) for item in value] if isinstance(value, list) else value


def _is_unicode(text: str) -> bool:
    """Half a surrogate pair passes JSON, and can be written nowhere."""
    return text.encode(errors="ignore").decode() == text


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**40 else 0


def _day(value: Any) -> str:
    text = _text(value)[:10]
    return text if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else ""
