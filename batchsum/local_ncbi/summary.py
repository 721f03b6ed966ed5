"""The answer to `virus_genome_summary`, as `v2DownloadSummary`.

Sizes are estimated from lengths, for the files that were asked for: a package always holds its data report,
genomes unless `include_sequence` says otherwise, and no dehydrated form, which viruses do not have. Nothing
found has no files: it is `record_count: 0` alone.

`resource_updated_on` is the moment of NCBI's last update of its whole resource, the same for every question: real
answers show it so. It moves once a day, with the day that is asked for.
"""

import math
import shlex
from datetime import date, datetime, time, timedelta
from urllib.parse import quote, urlencode

from batchsum.local_ncbi.catalogue import Catalogue, Selection, Totals
from batchsum.local_ncbi.question import Values, named_taxa
from batchsum.local_ncbi.records import read_table

UPDATE_TIME = time(14, 33)
"""When the data of a day are published, in UTC."""

# Bytes a record needs in each file beside its letters, or altogether.
_HEADER, _DATA_REPORT, _ANNOTATION, _BIOSAMPLE = 90, 1900, 1200, 2600
_AMINO_ACIDS_A_PROTEIN = 310
# A nucleotide takes about two bits once the package is zipped; text a sixth of its bytes.
_ZIPPED_SEQUENCE, _ZIPPED_TEXT = 0.27, 0.16

_OPTIONS = {row["parameter"]: row["option"] for row in read_table("parameters.tsv") if row["option"]}
"""What NCBI's own program calls the filters of the endpoint."""
_PARTS = ("include_sequence", "aux_report")
# What `--include` can name; its words are NCBI's enum's in small letters.
_CLI_INCLUDES = ("GENOME", "CDS", "PROTEIN", "ANNOTATION", "BIOSAMPLE_REPORT")


def last_update(now: datetime) -> date:
    """The day whose data are the newest at `now` (UTC): no server dates its data in the future."""
    return (now - timedelta(hours=UPDATE_TIME.hour, minutes=UPDATE_TIME.minute)).date()


def summary_document(catalogue: Catalogue, values: Values, as_of: str) -> dict[str, object]:
    """The summary of what is found as of a day."""
    totals = Selection(catalogue, values, as_of).totals()
    if not totals.records:
        return {"record_count": 0}
    sizes = _sizes(totals, values)
    reports = totals.records * (_DATA_REPORT + _BIOSAMPLE * ("BIOSAMPLE_REPORT" in values.get("aux_report", ())))
    zipped = (reports + sizes.get("annotation_report", 0)) * _ZIPPED_TEXT
    zipped += sum(size for name, size in sizes.items() if name.endswith("_fasta")) * _ZIPPED_SEQUENCE
    return {
        "record_count": totals.records,
        "assembly_count": totals.records,
        "resource_updated_on": f"{as_of}T{UPDATE_TIME.isoformat()}Z",
        "hydrated": {
            "estimated_file_size_mb": max(1, math.ceil(zipped / 1e6)),
            "url": _download_url(values, catalogue.base_url),
            "cli_download_command_line": _command_line(values),
        },
        "available_files": {name: {"file_count": 1, "size_mb": round(size / 1e6, 3)} for name, size in sizes.items()},
    }


def _sizes(totals: Totals, values: Values) -> dict[str, int]:
    """Bytes of each file of the package, before it is zipped."""
    wanted = {*(values.get("include_sequence") or ("GENOME",)), *values.get("aux_report", ())}
    every = {
        "all_genomic_fasta": ("GENOME", totals.length + totals.records * _HEADER),
        "prot_fasta": ("PROTEIN", totals.proteins * (_AMINO_ACIDS_A_PROTEIN + _HEADER)),
        # A coding sequence has three nucleotides for an amino acid.
        "cds_fasta": ("CDS", totals.proteins * (3 * _AMINO_ACIDS_A_PROTEIN + _HEADER)),
        "annotation_report": ("ANNOTATION", totals.records * _ANNOTATION),
    }
    return {name: size for name, (part, size) in every.items() if part in wanted}


def _download_url(values: Values, base_url: str) -> str:
    query: list[tuple[str, str]] = [("accessions", accession) for accession in values.get("accessions", ())]
    for name in _OPTIONS:
        if value := values.get(name):
            text = f"{value}T00:00:00Z" if name.endswith("_since") else value
            query.append((name, "true" if value is True else text))
    query += [(name, item) for name in _PARTS for item in values.get(name, ())]
    taxon = quote(",".join(named_taxa(values)), safe="")
    path = f"{base_url}/virus/taxon/{taxon}/genome/download" if taxon else f"{base_url}/virus/genome/download"
    return f"{path}?{urlencode(query)}" if query else path


def _command_line(values: Values) -> str:
    taxa = named_taxa(values)
    named = ["taxon", ",".join(taxa)] if taxa else ["accession", *values.get("accessions", ())]
    words = ["datasets", "download", "virus", "genome", *named]
    for name, option in _OPTIONS.items():
        if value := values.get(name):
            words += [option] if value is True else [option, value]
    parts = [item for name in _PARTS for item in values.get(name, ())]
    includes = [item.removesuffix("_REPORT").lower() for item in parts if item in _CLI_INCLUDES]
    if includes or "NONE" in parts:
        words += ["--include", ",".join(includes) or "none"]
    return shlex.join(words)
