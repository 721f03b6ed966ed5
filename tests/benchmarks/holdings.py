"""Time and memory that it takes to count the rows of a job in a data report that the user holds.

    python -m tests.benchmarks.holdings [--quick] [--million]

A fresh process each, which tells its own time: the rows of a job are there before any is counted. The peer, measured
beside it, is DuckDB's `read_json`: it reads the same gzip file with both cores, has the columns it needs named, and
counts the same rows, an accession once: both must find the same records. The rows are one taxon by places, weeks and
lineages. How little a filter set costs is a ratio of two jobs on the same file. The records are made up:
`own_records.py` has their fields.
"""

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.benchmarks.measure import Result, medians, run_process, tell
from tests.benchmarks.own_records import records

PANGO = [
    f"{stem}.{first}.{last}" for stem in ("BA", "XBB", "JN", "KP", "LP") for first in range(8) for last in range(5)
]
PLACES = ("Asia", "Europe", "Africa", "USA", "Germany")
COUNT = """
import sys
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter
from batchsum.model.filters import FilterSet
from batchsum.run.holdings.count import count_held
from batchsum.run.holdings.sums import Wanted

file, places, weeks, lineages = Path(sys.argv[1]), sys.argv[2].split(), int(sys.argv[3]), sys.argv[4].split()
mondays = [date(2020, 1, 6) + timedelta(weeks=number) for number in range(weeks + 1)]
wanted = [
    Wanted(10239, "10239", FilterSet(
        geo_location=place, released_since=since, released_before=before, pangolin_classification=lineage
    ))
    for place in places for since, before in zip(mondays, mondays[1:]) for lineage in lineages
]
began = perf_counter()
held = count_held(file, 10239, wanted)
print(perf_counter() - began, sum(held.counts))
assert held.total and len(held.counts) == len(wanted)
"""
PEER = """
import sys
from datetime import date, timedelta
from time import perf_counter
import duckdb

mondays = [date(2020, 1, 6) + timedelta(weeks=number) for number in range(int(sys.argv[3]))]
began = perf_counter()
query = '''
    WITH counted AS (
        SELECT split_part(location.geographicLocation, ':', 1) AS country, location.geographicRegion AS region,
               date_trunc('week', left(releaseDate, 10)::DATE) AS week, virus.pangolinClassification AS lineage,
               count(DISTINCT accession) AS number
        FROM read_json($file, format = 'newline_delimited', columns = {
            accession: 'VARCHAR', releaseDate: 'VARCHAR',
            location: 'STRUCT(geographicLocation VARCHAR, geographicRegion VARCHAR)',
            virus: 'STRUCT(lineage STRUCT(taxId BIGINT)[], pangolinClassification VARCHAR)'})
        WHERE list_contains(list_transform(virus.lineage, lambda step: step.taxId), 10239)
        GROUP BY ALL
    ), placed AS (
        SELECT country AS place, week, lineage, number FROM counted
        UNION ALL SELECT region, week, lineage, number FROM counted WHERE region != country
    )
    SELECT place, week, lineage, coalesce(sum(number), 0)
    FROM (SELECT unnest($places) AS place) CROSS JOIN (SELECT unnest($weeks) AS week)
         CROSS JOIN (SELECT unnest($lineages) AS lineage) LEFT JOIN placed USING (place, week, lineage)
    GROUP BY ALL
'''
connection = duckdb.connect()
connection.execute('SET enable_progress_bar = false')
wanted = {"file": sys.argv[1], "places": sys.argv[2].split(), "weeks": mondays, "lineages": sys.argv[4].split()}
found = connection.execute(query, wanted).fetchall()
print(perf_counter() - began, int(sum(row[3] for row in found)))
assert len(found) == len(wanted["places"]) * len(mondays) * len(wanted["lineages"])
"""


def write(path: Path, count: int) -> None:
    """Some lineages are common and most are rare, as those of SARS-CoV-2 are."""
    random = Random(count)
    weights = [1 / (place + 1) for place in range(len(PANGO))]
    with gzip.open(path, "wb", compresslevel=6) as file:
        for record in records(count):
            record["virus"]["pangolinClassification"] = random.choices(PANGO, weights)[0]
            file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")


def measure(count: int, turns: int) -> list[Result]:
    weeks = max(1, 300 * count // 1_000_000)
    peaks: list[float] = []

    sums = set[str]()

    def held(filter_sets: Sequence[str], weeks: int, script: str = COUNT) -> float:
        finished = run_process(["-c", script, str(path), " ".join(PLACES), str(weeks), " ".join(filter_sets)])
        seconds, total = finished.output.split()
        if script == COUNT:
            peaks.append(finished.peak_mb)
        if filter_sets is PANGO:
            sums.add(total)
        return float(seconds)

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "data_report.jsonl.gz")
        write(path, count)
        all_rows, peer, many, few = medians(
            turns,
            lambda: held(PANGO, weeks),
            lambda: held(PANGO, weeks, PEER),
            lambda: held(PANGO[:78], 1),
            lambda: held(PANGO[:4], 1),
        )
    assert len(sums) == 1, f"they found different numbers of records: {sums}"
    times = f"{all_rows:.1f} s, DuckDB {peer:.1f} s"
    rows = f"{count:,} records, {len(PLACES) * weeks * len(PANGO):,} rows"
    return [
        Result(
            "counting held records against DuckDB",
            all_rows / peer,
            2,
            f"{rows}: {times}",
            at_most=True,
            why="DuckDB reads with both cores; here one core unpacks, reads and counts",
        ),
        Result("memory of counting held records", max(peaks), 300, f"MB; {rows}", at_most=True),
        Result("390 filter sets against 20", many / few, 1.1, f"{many:.2f} s and {few:.2f} s", at_most=True),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="ten thousand records instead of a hundred thousand")
    parser.add_argument("--million", action="store_true", help="a million: about 90 MB in the temporary folder")
    options = parser.parse_args()
    count = 1_000_000 if options.million else 10_000 if options.quick else 100_000
    return tell(*measure(count, 3))


if __name__ == "__main__":
    sys.exit(main())
