"""Data reports as NCBI's `datasets` leaves them, and a job of what they hold, asked of a server that has the same."""

import gzip
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

TODAY = date(2025, 12, 1)
"""The night of the tests."""

_VIRUS = [{"name": name, "taxId": tax_id} for name, tax_id in (("Viruses", 10239), ("Betacoronavirus", 694002))]
_PLACES = (("Germany", "Europe"), ("Kenya", "Africa"), ("Japan", "Asia"))
_HOSTS = (("Homo sapiens", 9606), ("Neovison vison", 452646))


def records(count: int, *, tax_id: int = 2697049, last: date = TODAY - timedelta(days=2)) -> list[dict[str, Any]]:
    """`count` records of one taxon, one released each day before the next one, the newest on `last`."""
    return [
        {
            "accession": f"X{tax_id}_{number:05d}.1",
            "completeness": "COMPLETE" if number % 2 else "PARTIAL",
            "host": {"organismName": _HOSTS[number % 5 == 0][0], "taxId": _HOSTS[number % 5 == 0][1], "lineage": []},
            "location": dict(zip(("geographicLocation", "geographicRegion"), _PLACES[number % 3], strict=True)),
            "releaseDate": f"{last - timedelta(days=number)}T00:00:00Z",
            "sourceDatabase": "GenBank",
            "virus": {"lineage": [*_VIRUS, {"name": f"T{tax_id}", "taxId": tax_id}], "taxId": tax_id},
        }
        for number in range(count)
    ]


def write_report(path: Path, reports: Iterable[Mapping[str, Any]], *, day: date = TODAY) -> Path:
    """The reports as a file of that day, as its suffix says: plain, gzipped or in NCBI's package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(one)}\n" for one in reports).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            name = zipfile.ZipInfo("ncbi_dataset/data/data_report.jsonl", (day.year, day.month, day.day, 3, 0, 0))
            package.writestr(name, text)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    os.utime(path, (noon, noon))
    return path
