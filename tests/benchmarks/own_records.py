"""Time and memory that `serve --catalogue` takes for a large `data_report.jsonl`.

    python -m tests.benchmarks.own_records [--quick] [--million]

A fresh process each. The peer, measured beside it, reads the same file line by line, has each line parsed by `json`
and keeps nothing: no loader that looks into its records can be faster. Memory is counted a record, from the
difference of two sizes. The records are made up here: two kilobytes each, with the fields and the whole lineages that
NCBI's downloads have.
"""

import argparse
import csv
import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

from tests.benchmarks.measure import Finished, Result, run_process, tell

LOAD = """
import asyncio, sys
from pathlib import Path
from batchsum.local_ncbi.server import running

async def main():
    async with running(catalogue=[Path(sys.argv[1])]):
        pass

asyncio.run(main())
"""
PARSE = """
import json, sys
with open(sys.argv[1], "rb") as lines:
    for line in lines:
        json.loads(line)
"""
VIRUSES = ("2697049", "11320", "10244", "208893", "12637", "11676")
HOSTS = ("9606", "9031", "9823", "7159", "9913")
PLACES = (("USA: Boston, MA", "North America", "MA"), ("Viet Nam: Hanoi", "Asia", ""), ("Germany", "Europe", ""),
          ("Brazil: Sao Paulo", "South America", ""), ("Kenya: Nairobi", "Africa", ""))  # fmt: skip
LINEAGES = ("B.1.1.7", "BA.2", "XFG")
# Between cellular organisms and the hosts of the package's short tree, NCBI has some twenty more.
CLADES = """
Eukaryota Opisthokonta Metazoa Eumetazoa Bilateria Deuterostomia Chordata Craniata Vertebrata Gnathostomata
Teleostomi Euteleostomi Sarcopterygii Tetrapoda Amniota Mammalia Theria Boreoeutheria
"""


def organisms(name: str) -> dict[str, dict[str, str]]:
    content = (files("batchsum.local_ncbi") / "data" / name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    return {row["tax_id"]: row for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)}


def organism(tree: dict[str, dict[str, str]], tax_id: str, *between: dict[str, Any]) -> dict[str, Any]:
    """As a data report has it, with its lineage from below the root."""
    lineage: list[dict[str, Any]] = []
    at = tax_id
    while at in tree and at != "1":
        lineage.insert(0, {"name": tree[at]["scientific_name"], "taxId": int(at)})
        at = tree[at]["parent_tax_id"]
    return {
        "lineage": [*lineage[:1], *between, *lineage[1:]],
        "organismName": tree[tax_id]["scientific_name"],
        "taxId": int(tax_id),
    }


def records(count: int) -> Iterator[dict[str, Any]]:
    random = Random(count)
    viruses, hosts = organisms("virus_taxonomy.tsv.gz"), organisms("host_taxa.tsv")
    clades = [{"name": name, "taxId": 900_000_000 + number} for number, name in enumerate(CLADES.split())]
    every_virus = [organism(viruses, tax_id) for tax_id in VIRUSES]
    every_host = [organism(hosts, tax_id, *clades) for tax_id in HOSTS]
    for number in range(count):
        place, region, state = random.choice(PLACES)
        year, month, day = random.randrange(2020, 2026), random.randrange(1, 13), random.randrange(1, 29)
        released = f"{year}-{month:02}-{day:02}"
        location = {"geographicLocation": place, "geographicRegion": region}
        yield {
            "accession": f"LX{number:07}.1",
            "bioprojects": [f"PRJNA{random.randrange(10**6)}"],
            "biosample": f"SAMN{random.randrange(10**8):08}",
            "completeness": random.choice(("COMPLETE", "PARTIAL")),
            "geneCount": 11,
            "host": random.choice(every_host),
            "isAnnotated": random.random() < 0.9,
            "isolate": {"collectionDate": released, "name": f"hCoV/{place.partition(':')[0]}/{number}/{year}"},
            "length": random.randrange(20_000, 30_000),
            "location": {**location, "usaState": state} if state else location,
            "maturePeptideCount": 26,
            "nucleotide": {"sequenceHash": f"{random.randrange(2**32):08X}"},
            "proteinCount": 12,
            "releaseDate": f"{released}T00:00:00Z",
            "sourceDatabase": "GenBank",
            "submitter": {
                "affiliation": f"Laboratory {number % 997}",
                "country": "USA",
                "names": ["Demo,B.", "Demo,C."],
            },
            "updateDate": f"{released}T00:00:00Z",
            "virus": {
                **random.choice(every_virus),
                "pangolinClassification": random.choice(LINEAGES),
            },
        }


def write(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, separators=(",", ":")) + "\n" for record in records(count))


def load(path: Path, count: int) -> Finished:
    write(path, count)
    return run_process(["-c", LOAD, str(path)])


def measure(count: int) -> list[Result]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "data_report.jsonl")
        few = load(path, count // 10)
        many = load(path, count)
        parsed = run_process(["-c", PARSE, str(path)])
        size = path.stat().st_size
    each = (many.peak_mb - few.peak_mb) * 2**20 / (count - count // 10)
    figures = f"{count:,} records of {size // count} bytes in {many.seconds:.1f} s, json alone {parsed.seconds:.1f} s"
    memory = f"bytes; {count // 10:,} records {few.peak_mb:.0f} MB, {count:,} {many.peak_mb:.0f} MB"
    return [
        Result("loading own records against json alone", many.seconds / parsed.seconds, 3.5, figures, at_most=True),
        Result("memory a record loaded", each, 700, memory, at_most=True),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="ten thousand records instead of a hundred thousand")
    parser.add_argument("--million", action="store_true", help="a million: about 2 GB in the temporary folder")
    options = parser.parse_args()
    return tell(*measure(1_000_000 if options.million else 10_000 if options.quick else 100_000))


if __name__ == "__main__":
    sys.exit(main())
