"""What the server knows, in one SQLite file: taxa with their names, and records.

The file is built once, from the package's data, and kept in the user's cache directory under a name made of a
hash of that data and of the code that writes it; a catalogue of somebody's own records is built in memory
each time. It holds every record up to the end of a year, and a question says as of which day it asks: records
released later do not exist yet.
"""

import gzip
import hashlib
import json
import logging
import os
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, cast

from batchsum.local_ncbi.records import CONTINENT_OF, PLACES_FILE, Record, known_records
from batchsum.local_ncbi.taxonomy import ROOT, VIRUSES, Node, Taxon, extra_names, number_tree, package_nodes

log = logging.getLogger(__name__)

# Raise it whenever the tables, or what is put into them, change.
_SCHEMA_VERSION = 1
_DIGEST_END = len("catalogue-") + 16

_SCHEMA = """
CREATE TABLE taxon (tax_id INTEGER PRIMARY KEY, parent_id INTEGER, rank TEXT, name TEXT, common_name TEXT,
                    first INTEGER, last INTEGER);
CREATE TABLE name (folded TEXT, tax_id INTEGER, PRIMARY KEY (folded, tax_id)) WITHOUT ROWID;
CREATE TABLE record (
    id INTEGER PRIMARY KEY, accession TEXT, tax_id INTEGER, length INTEGER, refseq INTEGER, annotated INTEGER,
    complete INTEGER, proteins INTEGER, released TEXT, revised TEXT, collected TEXT, host_id INTEGER,
    continent TEXT COLLATE NOCASE, country TEXT COLLATE NOCASE, usa_state TEXT COLLATE NOCASE,
    lineage TEXT COLLATE NOCASE, report TEXT, unversioned TEXT, taxon INTEGER, host INTEGER);
"""
_INDEXES = """
CREATE INDEX taxon_parent ON taxon (parent_id);
CREATE INDEX record_taxon ON record (taxon);
CREATE INDEX record_accession ON record (accession);
CREATE INDEX record_unversioned ON record (unversioned);
"""


class Catalogue:
    """An open catalogue. Not for more than one thread at a time."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self._lineages: dict[int, tuple[Taxon, ...]] = {}

    def close(self) -> None:
        self.database.close()

    def taxon(self, tax_id: int) -> Taxon | None:
        row = self.database.execute("SELECT * FROM taxon WHERE tax_id = ?", (tax_id,)).fetchone()
        return Taxon(*row) if row else None

    def matches(self, text: str) -> list[Taxon]:
        """The taxa that `text` is the id or, in any case of letters, a name of."""
        text = text.strip()
        if text.isascii() and text.isdigit():
            # NCBI's ids have no leading zeros and fit in 32 bits.
            known = self.taxon(int(text)) if len(text) <= 10 and not text.startswith("0") else None
            return [known] if known else []
        return self._taxa("tax_id IN (SELECT tax_id FROM name WHERE folded = ?) ORDER BY tax_id", text.casefold())

    def suggestions(self, text: str, limit: int) -> list[Taxon]:
        """Taxa with a name that begins with `text`, or else contains it."""
        folded = text.strip().casefold()
        # The text after every text that begins with `folded`: U+10FFFF is no character of a name.
        found = self._taxa(
            "tax_id IN (SELECT tax_id FROM name WHERE folded >= ? AND folded < ?) ORDER BY name LIMIT ?",
            folded,
            folded + "\U0010ffff",
            limit,
        )
        if found or len(folded) < 3:
            return found
        return self._taxa(
            "tax_id IN (SELECT tax_id FROM name WHERE instr(folded, ?) > 0) ORDER BY name LIMIT ?", folded, limit
        )

    def children(self, taxon: Taxon) -> list[Taxon]:
        return self._taxa("parent_id = ? ORDER BY tax_id", taxon.tax_id)

    def lineage(self, taxon: Taxon) -> tuple[Taxon, ...]:
        """The taxa above, from the root down."""
        above = self._lineages.get(taxon.parent_id)
        if above is None:
            parent = self.taxon(taxon.parent_id)
            above = (*self.lineage(parent), parent) if parent else ()
            self._lineages[taxon.parent_id] = above
        return above

    def count_genomes(self, taxon: Taxon) -> int:
        """RefSeq genomes of the taxon and of everything below it."""
        row = self.database.execute(
            "SELECT count(*) FROM record WHERE taxon BETWEEN ? AND ? AND refseq", (taxon.first, taxon.last)
        ).fetchone()
        return int(row[0])

    def _taxa(self, condition: str, *values: object) -> list[Taxon]:
        rows = self.database.execute(f"SELECT * FROM taxon WHERE {condition}", values)
        return [Taxon(*row) for row in rows]


def open_catalogue(last_year: int) -> Catalogue:
    """The package's catalogue with everything released until the end of `last_year`; built if need be."""
    path = _cache_file(last_year)
    if path is None:
        return Catalogue(_built(last_year))
    for attempt in "kept", "rebuilt":
        try:
            if attempt == "rebuilt" or not path.exists():
                _build_file(path, last_year)
            return Catalogue(_opened(path))
        except OSError as exc:
            log.info("the catalogue cannot be kept in %s: %s", path.parent, exc.strerror)
            break
        except sqlite3.DatabaseError:
            log.warning("%s is damaged; building it again", path)
    return Catalogue(_built(last_year))


def _cache_file(last_year: int) -> Path | None:
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The standard says to ignore a relative path here.
    if not Path(home).is_absolute():
        try:
            home = str(Path.home() / ".cache")
        except RuntimeError:
            return None
    digest = hashlib.sha256(f"{_SCHEMA_VERSION}".encode())
    package = files("batchsum.local_ncbi")
    for name in ("records.py", "taxonomy.py", "catalogue.py"):
        digest.update(package.joinpath(name).read_bytes())
    for entry in sorted(package.joinpath("data").iterdir(), key=lambda entry: entry.name):
        digest.update(entry.name.encode() + entry.read_bytes())
    digest.update(PLACES_FILE.read_bytes())
    name = f"catalogue-{digest.hexdigest()}"[:_DIGEST_END]
    return Path(home) / "batchsum" / f"{name}-{last_year}.sqlite3"


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        database.execute("SELECT count(*) FROM taxon").fetchone()
        database.execute("SELECT max(id) FROM record").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _build_file(path: Path, last_year: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    os.close(handle)
    try:
        with closing(_built(last_year)) as memory, closing(sqlite3.connect(name)) as file:
            memory.backup(file)
        Path(name).replace(path)
        # What another version of the package kept; a server that still has it open is not disturbed.
        for other in path.parent.glob("catalogue-*.sqlite3"):
            if other.name[:_DIGEST_END] != path.name[:_DIGEST_END]:
                other.unlink(missing_ok=True)
    finally:
        Path(name).unlink(missing_ok=True)


def _built(last_year: int) -> sqlite3.Connection:
    nodes, host_groups = package_nodes()
    return build(nodes, known_records(host_groups, last_year))


def build(nodes: Mapping[int, Node], records: Iterable[Record]) -> sqlite3.Connection:
    """A catalogue in memory. A record whose host is no known taxon keeps it, but no host filter finds it."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        database.executescript(_SCHEMA)
        taxa = list(number_tree(nodes.values()))
        database.executemany("INSERT INTO taxon VALUES (?, ?, ?, ?, ?, ?, ?)", map(astuple, taxa))
        names = {(taxon.name.casefold(), taxon.tax_id) for taxon in taxa}
        names |= {(taxon.common_name.casefold(), taxon.tax_id) for taxon in taxa if taxon.common_name}
        names |= {(name.casefold(), tax_id) for tax_id, name in extra_names()}
        database.executemany("INSERT INTO name VALUES (?, ?)", sorted(names))
        number = {taxon.tax_id: taxon.first for taxon in taxa}
        database.executemany(
            f"INSERT INTO record VALUES (NULL{', ?' * 19})", (_row(record, number) for record in records)
        )
        database.executescript(_INDEXES)
    except BaseException:
        database.close()
        raise
    return database


_RECORD_FIELDS = tuple(Record.__slots__)


def _row(record: Record, number: Mapping[int, int]) -> tuple[object, ...]:
    values = tuple(getattr(record, name) for name in _RECORD_FIELDS)
    host = number.get(record.host_id) if record.host_id is not None else None
    return (*values, record.accession.partition(".")[0], number[record.tax_id], host)


# Somebody's own records, from the `data_report.jsonl` that NCBI's `datasets` downloads or prints. Plain,
# gzip, or inside NCBI's zip package; one record a line, in the camel case of the download or the snake case
# of `summary ... --as-json-lines`. A line that cannot be used is counted and named, and the others are
# served. A taxon that the package's taxonomy does not know is hung where the record's own lineage has it,
# else below "Viruses".


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
        with _open_report(path) as lines:
            for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), start=1):
                if line.strip():
                    try:
                        _add(line, holdings)
                    except ValueError as exc:
                        holdings.complain(f"{path}:{number}", str(exc))
    except (OSError, EOFError, zipfile.BadZipFile) as exc:
        raise ValueError(f"catalogue {path}: {getattr(exc, 'strerror', None) or exc}") from None


@contextmanager
def _open_report(path: Path) -> Iterator[BinaryIO]:
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
