"""The answer to `virus_genome_summary`, as `v2DownloadSummary`.

Sizes are estimated from lengths, for the files that were asked for: a package always holds its data report,
genomes unless `include_sequence` says otherwise, and no dehydrated form, which viruses do not have. Nothing
found has no files: it is `record_count: 0` alone, or, as protobuf's JSON leaves out zeros, an empty object.
"""

import json
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from batchsum.local_ncbi.catalogue import RECORD_COLUMNS, Catalogue
from batchsum.local_ncbi.question import Filters, Refusal, ambiguous_name, not_a_virus, unknown_id, unknown_name
from batchsum.local_ncbi.records import GenomeRecord
from batchsum.local_ncbi.taxonomy import VIRUSES, Taxon

# Which records a question means: all thirteen parameters turned into one condition, and what it finds. A host
# or a taxon means itself and everything below it. A Pango lineage means that lineage alone, as NCBI documents
# it. A place is a continent or a country. A lineage, place or state that no record has finds nothing; a taxon
# or host that is not known is refused. RefSeq's genomes are a snapshot: they are there as of any day.


# As of a day, a record whose revision lies ahead was last updated when it was released.
_UPDATED = "CASE WHEN revised <= :as_of THEN revised ELSE released END"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the records found. Lengths are nucleotides; `updated` is the latest day, or empty."""

    count: int
    length: int
    proteins: int
    updated: str


@dataclass(frozen=True, slots=True)
class Found:
    """A record and its row number in the catalogue, by which pages are cut."""

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
            f"SELECT count(*), total(length), total(proteins), max({_UPDATED}) FROM record WHERE {self._condition}",
            self._values,
        ).fetchone()
        return Totals(row[0], int(row[1]), int(row[2]), row[3] or "")

    def page(self, size: int, after: int) -> list[Found]:
        """Up to `size` records in the catalogue's order, from behind the row `after` (0 for the first page)."""
        rows = self._database.execute(
            f"SELECT id, {_UPDATED}, line, {', '.join(RECORD_COLUMNS)} FROM record LEFT JOIN report USING (id)"
            f" WHERE id > :after AND {self._condition} ORDER BY id LIMIT :size",
            {**self._values, "after": after, "size": size},
        )
        return [Found(row[0], GenomeRecord(*row[3:])._replace(report=row[2] or ""), row[1]) for row in rows]


def resolve_virus(catalogue: Catalogue, text: str) -> Taxon:
    taxon = _resolve(catalogue, text, "virus", lambda taxon: _is_virus(catalogue, taxon))
    if not _is_virus(catalogue, taxon):
        raise not_a_virus(text.strip(), taxon.tax_id, taxon.name)
    return taxon


def resolve_host(catalogue: Catalogue, text: str) -> Taxon:
    return _resolve(catalogue, text, "viral host", lambda taxon: True)


def _is_virus(catalogue: Catalogue, taxon: Taxon) -> bool:
    return any(each.tax_id == VIRUSES for each in (*catalogue.lineage(taxon), taxon))


def _resolve(catalogue: Catalogue, text: str, kind: str, suits: Callable[[Taxon], bool]) -> Taxon:
    text = text.strip()
    matches = catalogue.matches(text)
    if len(matches) > 1:
        raise ambiguous_name(text, [described(taxon) for taxon in matches])
    if matches:
        return matches[0]
    if text.isascii() and text.isdigit():
        raise unknown_id(text, kind)
    near = [described(taxon) for taxon in catalogue.suggestions(text, 10) if suits(taxon)] if text else []
    raise unknown_name(text, kind, near)


def described(taxon: Taxon) -> str:
    """As NCBI's program lists a taxon to choose from."""
    common = f", {taxon.common_name}" if taxon.common_name else ""
    return f"{taxon.name} ({taxon.rank.replace(' ', '_')}, taxid: {taxon.tax_id}{common})"


# Bytes a record needs in each file beside its letters, or altogether.
_HEADER, _DATA_REPORT, _ANNOTATION, _BIOSAMPLE = 90, 1900, 1200, 2600
_AMINO_ACIDS_A_PROTEIN = 310
# A nucleotide takes about two bits once the package is zipped; text a sixth of its bytes.
_ZIPPED_SEQUENCE, _ZIPPED_TEXT = 0.27, 0.16

_CLI_FLAGS = {"refseq_only": "--refseq", "annotated_only": "--annotated", "complete_only": "--complete-only"}
_CLI_OPTIONS = {
    "released_since": "--released-after",
    "updated_since": "--updated-after",
    "host": "--host",
    "pangolin_classification": "--lineage",
    "geo_location": "--geo-location",
    "usa_state": "--usa-state",
}
_CLI_INCLUDES = {
    "GENOME": "genome",
    "CDS": "cds",
    "PROTEIN": "protein",
    "ANNOTATION": "annotation",
    "BIOSAMPLE_REPORT": "biosample",
}


def summary_document(totals: Totals, filters: Filters, base_url: str, *, zero: str = "count") -> dict[str, object]:
    if not totals.count:
        return {"record_count": 0} if zero == "count" else {}
    sizes = _sizes(totals, filters)
    reports = totals.count * (_DATA_REPORT + _BIOSAMPLE * ("BIOSAMPLE_REPORT" in filters.aux_report))
    zipped = sum(size * _zip_ratio(name) for name, size in sizes.items()) + reports * _ZIPPED_TEXT
    document: dict[str, object] = {"record_count": totals.count, "assembly_count": totals.count}
    if totals.updated:
        document["resource_updated_on"] = f"{totals.updated}T00:00:00Z"
    document["hydrated"] = {
        "estimated_file_size_mb": max(1, math.ceil(zipped / 1e6)),
        "url": _download_url(filters, base_url),
        "cli_download_command_line": _command_line(filters),
    }
    document["available_files"] = {
        name: {"file_count": 1, "size_mb": round(size / 1e6, 3)} for name, size in sizes.items()
    }
    return document


def _zip_ratio(name: str) -> float:
    return _ZIPPED_TEXT if name == "annotation_report" else _ZIPPED_SEQUENCE


def _sizes(totals: Totals, filters: Filters) -> dict[str, int]:
    """Bytes of each file of the package, before it is zipped."""
    wanted = set(filters.include_sequence or ("GENOME",))
    protein = totals.proteins * (_AMINO_ACIDS_A_PROTEIN + _HEADER)
    every = {
        "all_genomic_fasta": ("GENOME" in wanted, totals.length + totals.count * _HEADER),
        "prot_fasta": ("PROTEIN" in wanted, protein),
        "cds_fasta": ("CDS" in wanted, totals.proteins * (3 * _AMINO_ACIDS_A_PROTEIN + _HEADER)),
        "annotation_report": ("ANNOTATION" in filters.aux_report, totals.count * _ANNOTATION),
    }
    return {name: size for name, (asked, size) in every.items() if asked}


def _download_url(filters: Filters, base_url: str) -> str:
    query: list[tuple[str, str]] = [("accessions", accession) for accession in filters.accessions]
    query += [(name, "true") for name in _CLI_FLAGS if getattr(filters, name)]
    for name in _CLI_OPTIONS:
        value = getattr(filters, name)
        if value:
            query.append((name, f"{value}T00:00:00Z" if name.endswith("_since") else value))
    query += [("include_sequence", name) for name in filters.include_sequence]
    query += [("aux_report", name) for name in filters.aux_report]
    taxon = quote(",".join(filters.taxa), safe="")
    path = f"{base_url}/virus/taxon/{taxon}/genome/download" if taxon else f"{base_url}/virus/genome/download"
    return f"{path}?{urlencode(query)}" if query else path


def _command_line(filters: Filters) -> str:
    if filters.taxa:
        words = ["datasets", "download", "virus", "genome", "taxon", ",".join(filters.taxa)]
    else:
        words = ["datasets", "download", "virus", "genome", "accession", *filters.accessions]
    words += [flag for name, flag in _CLI_FLAGS.items() if getattr(filters, name)]
    for name, option in _CLI_OPTIONS.items():
        if value := getattr(filters, name):
            words += [option, value]
    includes = [
        _CLI_INCLUDES[name] for name in (*filters.include_sequence, *filters.aux_report) if name in _CLI_INCLUDES
    ]
    if includes:
        words += ["--include", ",".join(includes)]
    elif "NONE" in filters.include_sequence:
        words += ["--include", "none"]
    return shlex.join(words)
