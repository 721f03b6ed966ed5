"""The records the server knows: real RefSeq genomes, and made-up GenBank-like ones for a list of surveillance taxa.

Accession, taxon and length of a RefSeq genome are real (September 2024). What else data/virus_refseq.tsv.gz says of it
was derived once: the host from the group of organisms that RefSeq names for the taxon (human first), the release date
from the accession number, which NCBI counts up, and proteins from the length.

A made-up record (`DEMO000001.1`) comes from a seed made of its taxon and year alone, so it is the same as of any later
day; only its update date may move, once.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from io import StringIO
from itertools import count
from random import Random
from typing import NamedTuple

# The days that can be asked for. Records are made up from a taxon's first year on, RefSeq's are a snapshot.
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2035, 12, 31)
# Each made-up taxon has its own range of accession numbers, so that a new one moves no other's.
_NUMBERS_A_TAXON = 20_000


class GenomeRecord(NamedTuple):
    """One nucleotide record. Dates are `YYYY-MM-DD`; `collected` may be shorter; empty means unknown."""

    accession: str
    tax_id: int
    length: int
    refseq: bool = False
    annotated: bool = True
    complete: bool = True
    proteins: int = 0
    released: str = ""
    revised: str = ""
    """The day of the one revision, or `released`."""
    collected: str = ""
    host_id: int | None = None
    continent: str = ""
    country: str = ""
    usa_state: str = ""
    pango_lineage: str = ""
    report: str = ""
    """The record as it was given, one line of JSON; empty for records made here."""


def read_table(name: str, room: str = "local_ncbi") -> Iterator[dict[str, str]]:
    """The rows of one data file, this package's unless another `room` is named, by column name."""
    content = files("batchsum").joinpath(room, "data", name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    return csv.DictReader(StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)


# INSDC's list stands outside: `batchsum check` reads the same file. It is data, so that nothing is imported for it.
CONTINENT_OF = {row["name"]: row["continent"] for row in read_table("places.tsv", "model")}

_LINEAGES_OF_YEAR = {int(row["year"]): row["pango_lineages"].split() for row in read_table("demo_lineages.tsv")}


def refseq_records() -> Iterator[GenomeRecord]:
    for row in read_table("virus_refseq.tsv.gz"):
        yield GenomeRecord(
            accession=row["accession"],
            tax_id=int(row["tax_id"]),
            length=int(row["length"]),
            refseq=True,
            proteins=int(row["proteins"]),
            released=row["released"],
            revised=row["revised"],
            host_id=int(row["host_id"]) if row["host_id"] else None,
        )


def made_up_records(last_year: int) -> Iterator[GenomeRecord]:
    """Every made-up record released until the end of `last_year`, taxon by taxon in the order of release."""
    for slot, row in enumerate(read_table("demo_taxa.tsv")):
        numbers = count(slot * _NUMBERS_A_TAXON + 1)
        hosts, places = _weighted(row["hosts"]), _weighted(row["places"])
        for year in range(int(row["first_year"]), last_year + 1):
            random = Random(f"{row['tax_id']}/{year}")
            wanted = int(row["records_a_year"]) * random.uniform(0.8, 1.2)
            # The fraction decides by lot, so that two records a year are sometimes three.
            days = [random.randrange(365) for _ in range(int(wanted) + (random.random() < wanted % 1))]
            for day in sorted(days):
                accession, released = f"DEMO{next(numbers):06d}.1", date(year, 1, 1) + timedelta(days=day)
                yield _made_up(accession, row, released, hosts, places, random)


@cache
def us_states() -> dict[str, str]:
    """The name of each state that made-up records come from, by its code."""
    return {row["usa_state"]: row["state_name"] for row in read_table("demo_places.tsv") if row["usa_state"]}


@cache
def _countries_of(continent: str) -> list[str]:
    countries = dict.fromkeys(row["country"] for row in read_table("demo_places.tsv"))
    return [country for country in countries if CONTINENT_OF[country] == continent]


def _pick_place(name: str, random: Random) -> tuple[str, str, str]:
    """(continent, country, US state or "") for a country, or for any country of a continent."""
    countries = _countries_of(name)
    country = random.choice(countries) if countries else name
    # One US record in five has no state, as in GenBank.
    state = random.choice(list(us_states())) if country == "USA" and random.random() < 0.8 else ""
    return CONTINENT_OF[country], country, state


_Weighted = tuple[list[str], list[int]]


def _weighted(cell: str) -> _Weighted:
    """`9606*9 9031*1` as its names and weights."""
    pairs = [word.split("*") for word in cell.split()]
    return [name.replace("_", " ") for name, _ in pairs], [int(weight) for _, weight in pairs]


def _made_up(
    accession: str, row: Mapping[str, str], released: date, hosts: _Weighted, places: _Weighted, random: Random
) -> GenomeRecord:
    full = int(row["length"])
    complete = random.random() < 0.8
    length = int(full * (random.uniform(0.98, 1.01) if complete else random.uniform(0.1, 0.9)))
    annotated = random.random() < 0.9
    revision = released + timedelta(days=random.randrange(20, 400)) if random.random() < 0.15 else released
    (host,) = random.choices(*hosts)
    continent, country, state = _pick_place(random.choices(*places)[0], random)
    lineages = _LINEAGES_OF_YEAR[min(released.year, max(_LINEAGES_OF_YEAR))] if row["tax_id"] == "2697049" else [""]
    return GenomeRecord(
        accession=accession,
        tax_id=int(row["tax_id"]),
        length=length,
        annotated=annotated,
        complete=complete,
        proteins=int(row["proteins"]) if annotated else 0,
        released=released.isoformat(),
        revised=revision.isoformat(),
        collected=(released - timedelta(days=random.randrange(7, 400))).isoformat(),
        host_id=int(host),
        continent=continent,
        country=country,
        usa_state=state,
        pango_lineage=random.choice(lineages),
    )
