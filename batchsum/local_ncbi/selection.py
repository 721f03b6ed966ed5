"""Which records a question means: its taxa and filters turned into one condition, and what that finds.

A host or a taxon means itself and everything below it. A Pango lineage means that lineage alone, as NCBI documents it.
A place is a continent or a country. A lineage, place or state that no record has finds nothing; a taxon or host that is
not known is refused. RefSeq's genomes are a snapshot: they are there as of any day.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from batchsum.local_ncbi.catalogue import RECORD_COLUMNS, Catalogue, Taxon
from batchsum.local_ncbi.question import Filters, Refusal, ambiguous_name, not_a_virus, unknown_id, unknown_name
from batchsum.local_ncbi.records import GenomeRecord

# As of a day, a record whose revision lies ahead was last updated when it was released.
_UPDATED = "CASE WHEN revised <= :as_of THEN revised ELSE released END"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the records found. Lengths are nucleotides."""

    count: int
    length: int
    proteins: int


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record, its row number in the catalogue, by which pages are cut, and the day of its last update."""

    row: int
    record: GenomeRecord
    updated: str


class Selection:
    """The records that match `filters` as of a day (`YYYY-MM-DD`). Raises Refusal for a name it cannot resolve."""

    def __init__(self, catalogue: Catalogue, filters: Filters, as_of: str) -> None:
        self._database = catalogue.database
        self._values: dict[str, object] = {"as_of": as_of}
        self._condition = " AND ".join(self._terms(catalogue, filters))

    def _terms(self, catalogue: Catalogue, filters: Filters) -> list[str]:
        if not filters.taxa and not filters.accessions:
            raise Refusal("No valid taxons or accessions were passed.")
        # RefSeq's release dates are estimates; its genomes are there as of any day.
        terms = ["(refseq OR released <= :as_of)"]
        if filters.taxa:
            terms.append(self._within("virus_lineage", [resolve_virus(catalogue, text) for text in filters.taxa]))
        if filters.accessions:
            given = self._bind("accessions", json.dumps(filters.accessions))
            listed = f"(SELECT value FROM json_each({given}))"
            terms.append(f"(accession IN {listed} OR unversioned IN {listed})")
        if filters.host:
            terms.append(self._within("host_lineage", [resolve_host(catalogue, filters.host)]))
        terms += [name for name in ("refseq", "annotated", "complete") if getattr(filters, f"{name}_only")]
        if filters.released_since:
            terms.append(f"released >= {self._bind('released_since', filters.released_since)}")
        if filters.updated_since:
            terms.append(f"{_UPDATED} >= {self._bind('updated_since', filters.updated_since)}")
        if filters.pangolin_classification:
            terms.append(f"pango_lineage = {self._bind('pango_lineage', filters.pangolin_classification.strip())}")
        if filters.geo_location:
            place = self._bind("place", filters.geo_location.strip())
            terms.append(f"(continent = {place} OR country = {place})")
        if filters.usa_state:
            terms.append(f"usa_state = {self._bind('usa_state', filters.usa_state.strip())}")
        return terms

    def _bind(self, name: str, value: object) -> str:
        self._values[name] = value
        return f":{name}"

    def _within(self, column: str, taxa: list[Taxon]) -> str:
        # Numbers of the catalogue, never text of the asker.
        ids = ", ".join(str(taxon.tax_id) for taxon in dict.fromkeys(taxa))
        return f"{column} IN (SELECT number FROM lineage WHERE tax_id IN ({ids}))"

    def totals(self) -> Totals:
        row = self._database.execute(
            f"SELECT count(*), total(length), total(proteins) FROM record WHERE {self._condition}",
            self._values,
        ).fetchone()
        return Totals(row[0], int(row[1]), int(row[2]))

    def page(self, size: int, after: int) -> list[FoundRecord]:
        """Up to `size` records in the catalogue's order, from behind the row `after` (0 for the first page)."""
        rows = self._database.execute(
            f"SELECT id, {_UPDATED}, line, {', '.join(RECORD_COLUMNS)} FROM record LEFT JOIN report USING (id)"
            f" WHERE id > :after AND {self._condition} ORDER BY id LIMIT :size",
            {**self._values, "after": after, "size": size},
        )
        return [FoundRecord(row[0], GenomeRecord(*row[3:])._replace(report=row[2] or ""), row[1]) for row in rows]


def resolve_virus(catalogue: Catalogue, text: str) -> Taxon:
    taxon = _resolve(catalogue, text, "virus", catalogue.is_virus)
    if not catalogue.is_virus(taxon):
        raise not_a_virus(text.strip(), taxon.tax_id, taxon.name)
    return taxon


def resolve_host(catalogue: Catalogue, text: str) -> Taxon:
    return _resolve(catalogue, text, "viral host", lambda taxon: True)


def _resolve(catalogue: Catalogue, text: str, kind: str, suits: Callable[[Taxon], bool]) -> Taxon:
    text = text.strip()
    matches = catalogue.matches(text)
    if len(matches) > 1:
        raise ambiguous_name(text, [described(taxon) for taxon in matches])
    if matches:
        return matches[0]
    # No id is near another; of names that are not known, the near ones are told as NCBI does.
    if text.isascii() and text.isdigit():
        raise unknown_id(text, kind)
    near = [described(taxon) for taxon in catalogue.suggestions(text, 10) if suits(taxon)] if text else []
    raise unknown_name(text, kind, near)


def described(taxon: Taxon) -> str:
    """As NCBI's program lists a taxon to choose from."""
    common = f", {taxon.common_name}" if taxon.common_name else ""
    return f"{taxon.name} ({taxon.rank.replace(' ', '_')}, taxid: {taxon.tax_id}{common})"
