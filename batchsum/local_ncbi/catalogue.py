"""What the server knows, in one SQLite database: taxa with their names, and records; and what of it a question means.

The package's own catalogue holds every record up to the end of a year, and a question says as of which day it asks:
records released later do not exist yet.

A host or a taxon means itself and everything below it in the tree. A Pango lineage means that lineage alone, as NCBI
documents it. A place is a continent or a country. A lineage, place or state that no record has finds nothing; a taxon
or host that is not known is refused. RefSeq's genomes are a snapshot: they are there as of any day.
"""

import atexit
import json
import sqlite3
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import NamedTuple

from batchsum.local_ncbi.question import Refusal, Values, named_taxa, unknown_taxon
from batchsum.local_ncbi.records import GenomeRecord, made_up_records, read_table, refseq_records

ROOT, VIRUSES, CELLULAR_ORGANISMS = 1, 10239, 131567
"""The taxon above all, and the two below it: what is found, and what it is found in."""

RECORD_COLUMNS = GenomeRecord._fields[:-1]
"""The columns of a record that a GenomeRecord has, too; its report has a table of its own."""


class Taxon(NamedTuple):
    """One node of the tree. The root's parent is 0, which is no taxon."""

    tax_id: int
    parent_id: int
    rank: str
    name: str
    common_name: str = ""


class Catalogue:
    """An open catalogue. Not for more than one thread at a time."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.base_url = ""
        """That of its server, once it listens: answers hold links to it."""
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
            return self._taxa("tax_id = ?", int(text)) if len(text) <= 10 and not text.startswith("0") else []
        return self._taxa("tax_id IN (SELECT tax_id FROM name WHERE folded = ?) ORDER BY tax_id", text.casefold())

    def suggestions(self, text: str, limit: int) -> list[Taxon]:
        """Taxa with a name that begins with `text`, or else contains it."""
        folded = text.strip().casefold()
        named = "tax_id IN (SELECT tax_id FROM name WHERE {}) ORDER BY name LIMIT ?"
        # The text after every text that begins with `folded`: U+10FFFF is no character of a name.
        found = self._taxa(named.format("folded >= ? AND folded < ?"), folded, folded + "\U0010ffff", limit)
        if found or len(folded) < 3:
            return found
        return self._taxa(named.format("instr(folded, ?) > 0"), folded, limit)

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

    def is_virus(self, taxon: Taxon) -> bool:
        return any(each.tax_id == VIRUSES for each in (*self.lineage(taxon), taxon))

    def _taxa(self, condition: str, *values: object) -> list[Taxon]:
        rows = self.database.execute(f"SELECT * FROM taxon WHERE {condition}", values)
        return [Taxon(*row) for row in rows]


def open_catalogue(last_year: int) -> Catalogue:
    """The package's catalogue with everything released until the end of `last_year`: a copy for one server."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    _package_catalogue(last_year).backup(database)
    return Catalogue(database)


@cache
def _package_catalogue(last_year: int) -> sqlite3.Connection:
    """Built in a second, and kept while the process lives: who plays several nights opens one for each."""
    database = build(package_taxa(), chain(refseq_records(), made_up_records(last_year)))
    atexit.register(database.close)
    return database


def build(taxa: Mapping[int, Taxon], records: Iterable[GenomeRecord]) -> sqlite3.Connection:
    """A catalogue in a file that SQLite makes, once memory is too small for it, and removes by itself.

    `records` may add taxa while it is read. A later record of an accession replaces the earlier one. A record whose
    host is no known taxon keeps it, but no host filter finds it.
    """
    database = sqlite3.connect("", check_same_thread=False)
    try:
        # Pages that hold several reports of two kilobytes, and some memory for those that are in use.
        database.executescript("PRAGMA page_size = 16384; PRAGMA cache_size = -64000;")
        database.executescript(files("batchsum.local_ncbi").joinpath("data", "catalogue.sql").read_text())
        _insert_records(database, records)
        _insert_taxa(database, taxa)
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def _insert_records(database: sqlite3.Connection, records: Iterable[GenomeRecord]) -> None:
    insert = f"INSERT OR REPLACE INTO record VALUES (?{', ?' * (len(RECORD_COLUMNS) + 1)})"
    for number, record in enumerate(records, start=1):
        database.execute(insert, (number, *record[:-1], record.accession.partition(".")[0]))
        if record.report:
            database.execute("INSERT INTO report VALUES (?, ?)", (number, record.report))


def _insert_taxa(database: sqlite3.Connection, taxa: Mapping[int, Taxon]) -> None:
    database.executemany("INSERT INTO taxon VALUES (?, ?, ?, ?, ?)", taxa.values())
    names = [(name.casefold(), each.tax_id) for each in taxa.values() for name in (each.name, each.common_name) if name]
    # Names by which everybody calls some viruses, beside the scientific one.
    names += [(row["common_name"].casefold(), int(row["tax_id"])) for row in read_table("common_names.tsv")]
    database.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", names)


def package_taxa() -> dict[int, Taxon]:
    """All taxa of the package by id."""
    taxa = {}
    for row in (*read_table("host_taxa.tsv"), *read_table("virus_taxonomy.tsv.gz")):
        tax_id = int(row["tax_id"])
        # The files' tops have no parent; they hang from the root.
        parent_id = int(row["parent_tax_id"] or ROOT)
        taxa[tax_id] = Taxon(tax_id, parent_id, row["rank"], row["scientific_name"], row["common_name"] or "")
    return taxa


# As of a day, a record whose revision lies ahead was last updated when it was released.
_UPDATED = "CASE WHEN revised <= :as_of THEN revised ELSE released END"

# What a filter that is set asks of a record. Taxa and hosts are looked up first.
_GIVEN = "(SELECT value FROM json_each(:accessions))"
_TERMS = {
    "accessions": f"(accession IN {_GIVEN} OR unversioned IN {_GIVEN})",
    "refseq_only": "refseq",
    "annotated_only": "annotated",
    "complete_only": "complete",
    "released_since": "released >= :released_since",
    "updated_since": f"{_UPDATED} >= :updated_since",
    "pangolin_classification": "pango_lineage = :pangolin_classification",
    "geo_location": "(continent = :geo_location OR country = :geo_location)",
    "usa_state": "usa_state = :usa_state",
}


class Totals(NamedTuple):
    """Sums over the records found. Lengths are nucleotides."""

    records: int
    length: int
    proteins: int


class Selection:
    """The records that a question means as of a day (`YYYY-MM-DD`). Raises Refusal for a name it cannot resolve."""

    def __init__(self, catalogue: Catalogue, values: Values, as_of: str) -> None:
        self._database = catalogue.database
        taxa = named_taxa(values)
        if not taxa and not values.get("accessions"):
            raise Refusal("No valid taxons or accessions were passed.")
        # RefSeq's release dates are estimates; its genomes are there as of any day.
        terms = ["(refseq OR released <= :as_of)"]
        viruses = {_resolve(catalogue, text, "virus").tax_id for text in taxa}
        if viruses and VIRUSES not in viruses:  # every record is one of a virus
            terms.append(_within("tax_id", viruses))
        if host := values.get("host"):
            terms.append(_within("host_id", {_resolve(catalogue, host, "viral host").tax_id}))
        given = {name: value for name in _TERMS if (value := values.get(name))}
        self._condition = " AND ".join([*terms, *(_TERMS[name] for name in given)])
        self._values: dict[str, object] = {"as_of": as_of}
        for name, value in given.items():
            self._values[name] = value.strip() if isinstance(value, str) else json.dumps(value)

    def totals(self) -> Totals:
        sums = "count(*), ifnull(sum(length), 0), ifnull(sum(proteins), 0)"
        query = f"SELECT {sums} FROM record WHERE {self._condition}"
        return Totals(*self._database.execute(query, self._values).fetchone())

    def page(self, size: int, after: int) -> list[tuple[int, GenomeRecord]]:
        """Up to `size` records in the catalogue's order, from behind the row `after` (0 for the first page).

        Each with its row, and revised as of the day.
        """
        columns = ", ".join(_UPDATED if name == "revised" else name for name in RECORD_COLUMNS)
        rows = self._database.execute(
            f"SELECT id, {columns}, ifnull(line, '') FROM record LEFT JOIN report USING (id)"
            f" WHERE id > :after AND {self._condition} ORDER BY id LIMIT :size",
            {**self._values, "after": after, "size": size},
        )
        return [(row, GenomeRecord(*values)) for row, *values in rows]


def _within(column: str, tax_ids: set[int]) -> str:
    """It is one of these taxa, or below one. They are numbers of the catalogue, never text of the asker."""
    # UNION, since it takes no row twice, ends in any tree.
    return (
        f"{column} IN (WITH RECURSIVE below (tax_id) AS (SELECT tax_id FROM taxon WHERE tax_id IN"
        f" ({', '.join(map(str, tax_ids))}) UNION SELECT taxon.tax_id FROM below JOIN taxon"
        " ON taxon.parent_id = below.tax_id) SELECT tax_id FROM below)"
    )


def _resolve(catalogue: Catalogue, text: str, kind: str) -> Taxon:
    """The one taxon that `text` names. `kind` is what it is asked for as: "virus" or "viral host"."""
    text = text.strip()
    matches = catalogue.matches(text)
    if len(matches) > 1:
        raise Refusal(
            f"The taxonomy name '{text}' is an exact match for more than one taxid. "
            f"Please select one of these taxids:\n{_listed(matches)}"
        )
    if not matches:
        near = catalogue.suggestions(text, 10) if text else []
        if kind == "virus":
            near = [taxon for taxon in near if catalogue.is_virus(taxon)]
        raise unknown_taxon(text, kind, _listed(near))
    (taxon,) = matches
    if kind == "virus" and not catalogue.is_virus(taxon):
        if text.isdigit():
            raise Refusal(f"The taxonomy ID '{text}' is valid for '{taxon.name}', but it is not a virus taxon.")
        raise Refusal(f"The taxonomy name '{text}' (taxid: '{taxon.tax_id}') is valid, but it is not a virus taxon.")
    return taxon


def _listed(taxa: list[Taxon]) -> str:
    """As NCBI's program lists taxa to choose from, one a line."""
    lines = []
    for taxon in taxa:
        common = f", {taxon.common_name}" if taxon.common_name else ""
        lines.append(f"{taxon.name} ({taxon.rank.replace(' ', '_')}, taxid: {taxon.tax_id}{common})")
    return "\n".join(lines)
