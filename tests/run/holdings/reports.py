"""Data reports as NCBI's `datasets` leaves them, made of a few taxa."""

import gzip
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchsum.model.filters import FilterSet
from batchsum.run.holdings.sums import Wanted

VIRUSES, CORONAVIRIDAE, SPECIES, SARS2, SARS1 = 10239, 11118, 694009, 2697049, 227984
CELLULAR, MAMMALS, HUMAN, CATTLE, CHICKEN = 131567, 40674, 9606, 9913, 9031
NAMES = {
    VIRUSES: "Viruses", CORONAVIRIDAE: "Coronaviridae", SPECIES: "Betacoronavirus pandemicum",
    SARS2: "Severe acute respiratory syndrome coronavirus 2", SARS1: "SARS coronavirus Tor2",
    CELLULAR: "cellular organisms", MAMMALS: "Mammalia", HUMAN: "Homo sapiens", CATTLE: "Bos taurus",
    CHICKEN: "Gallus gallus",
}  # fmt: skip
ABOVE = {
    CORONAVIRIDAE: (VIRUSES,), SPECIES: (VIRUSES, CORONAVIRIDAE), SARS2: (VIRUSES, CORONAVIRIDAE, SPECIES),
    SARS1: (VIRUSES, CORONAVIRIDAE, SPECIES), MAMMALS: (CELLULAR,), HUMAN: (CELLULAR, MAMMALS),
    CATTLE: (CELLULAR, MAMMALS), CHICKEN: (CELLULAR,),
}  # fmt: skip


def organism(tax_id: int, **more: str) -> dict[str, Any]:
    lineage = [{"taxId": each, "name": NAMES[each]} for each in (*ABOVE[tax_id], tax_id)]
    return {"taxId": tax_id, "organismName": NAMES[tax_id], "lineage": lineage, **more}


def record(number: int = 1, tax_id: int = SARS2, **more: Any) -> dict[str, Any]:
    """One record in camel case; what is None is left out."""
    fields = {
        "accession": f"PP{number:06}.1",
        "virus": organism(tax_id),
        "host": organism(HUMAN),
        "releaseDate": "2025-04-01T00:00:00Z",
        **more,
    }
    return {name: value for name, value in fields.items() if value is not None}


def snake_cased(value: Any) -> Any:
    """As `datasets summary ... --as-json-lines` spells it."""
    if isinstance(value, dict):
        return {
            "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name): snake_cased(item)
            for name, item in value.items()
        }
    return [snake_cased(item) for item in value] if isinstance(value, list) else value


def lines(records: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


def write(path: Path, content: bytes | Sequence[Any], form: str = "plain") -> Path:
    """`form` is plain, gzip or zip, which is as of 2026-11-03."""
    content = content if isinstance(content, bytes) else lines(content)
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            package.writestr(zipfile.ZipInfo("README.md", (1980, 1, 1, 0, 0, 0)), "x")
            package.writestr(zipfile.ZipInfo("ncbi_dataset/data/data_report.jsonl", (2026, 11, 3, 9, 0, 0)), content)
    else:
        path.write_bytes(gzip.compress(content) if form == "gzip" else content)
    return path


def want(tax_id: int | None = SARS2, name: str = "", **filters: Any) -> Wanted:
    return Wanted(tax_id, name or str(tax_id), FilterSet(**filters))
