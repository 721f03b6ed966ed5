"""Which records a question means: its taxa and filters turned into one condition, and what that finds.

A host or a taxon means itself and everything below it. A Pango lineage means that lineage alone, as NCBI documents it.
A place is a continent or a country. A lineage, place or state that no record has finds nothing; a taxon or host that is
not known is refused. RefSeq's genomes are a snapshot: they are there as of any day.
"""

import json
from dataclasses import dataclass

from batchsum.local_ncbi.catalogue import RECORD_COLUMNS, VIRUSES, Catalogue, Taxon
from batchsum.local_ncbi.question import Refusal, Values, named_taxa, unknown_taxon
from batchsum.local_ncbi.records import GenomeRecord

# As of a day, a record whose revision lies ahead was last updated when it was released.
_UPDATED = "CASE WHEN revised <= :as_of THEN revised ELSE released END"


# These taxa and everything below them. UNION, since it takes no row twice, ends in any tree.
_BELOW = (
    "WITH RECURSIVE below (tax_id) AS (SELECT tax_id FROM taxon WHERE tax_id IN ({})"
    " UNION SELECT taxon.tax_id FROM below JOIN taxon ON taxon.parent_id = below.tax_id) SELECT tax_id FROM below"
)
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


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the records found. Lengths are nucleotides."""

    count: int
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
        viruses = {_resolve_virus(catalogue, text).tax_id for text in taxa}
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
            f"SELECT id, line, {columns} FROM record LEFT JOIN report USING (id)"
            f" WHERE id > :after AND {self._condition} ORDER BY id LIMIT :size",
            {**self._values, "after": after, "size": size},
        )
        return [(row, GenomeRecord(*values)._replace(report=line or "")) for row, line, *values in rows]


def _within(column: str, tax_ids: set[int]) -> str:
    # Numbers of the catalogue, never text of the asker.
    return f"{column} IN ({_BELOW.format(', '.join(map(str, tax_ids)))})"


def _resolve_virus(catalogue: Catalogue, text: str) -> Taxon:
    taxon, text = _resolve(catalogue, text, "virus"), text.strip()
    if catalogue.is_virus(taxon):
        return taxon
    if text.isdigit():
        raise Refusal(f"The taxonomy ID '{text}' is valid for '{taxon.name}', but it is not a virus taxon.")
    raise Refusal(f"The taxonomy name '{text}' (taxid: '{taxon.tax_id}') is valid, but it is not a virus taxon.")


def _resolve(catalogue: Catalogue, text: str, kind: str) -> Taxon:
    """The one taxon that `text` names. `kind` is what it is asked for as: "virus" or "viral host"."""
    text = text.strip()
    matches = catalogue.matches(text)
    if len(matches) > 1:
        raise Refusal(
            f"The taxonomy name '{text}' is an exact match for more than one taxid. "
            f"Please select one of these taxids:\n{_listed(matches)}"
        )
    if matches:
        return matches[0]
    near = catalogue.suggestions(text, 10) if text else []
    if kind == "virus":
        near = [taxon for taxon in near if catalogue.is_virus(taxon)]
    raise unknown_taxon(text, kind, _listed(near))


def _listed(taxa: list[Taxon]) -> str:
    """As NCBI's program lists taxa to choose from, one a line."""
    lines = []
    for taxon in taxa:
        common = f", {taxon.common_name}" if taxon.common_name else ""
        lines.append(f"{taxon.name} ({taxon.rank.replace(' ', '_')}, taxid: {taxon.tax_id}{common})")
    return "\n".join(lines)
