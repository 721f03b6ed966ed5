"""A CSV of many rows: loaded and planned in a fresh process, against a bare `csv.reader` over the same file.

    python tests/benchmarks/job_scale.py [ROWS]

Prints seconds and peak resident memory of both, and their ratio. Memory is that of the whole process.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HOSTS = ("", "human", "9606", "Mammalia", "chicken")
PLACES = ("", "Africa", "Asia", "Europe", "NO")

LOAD = """
from datetime import date
from batchsum.config.load import load_job
from batchsum.run.plan import Plan
job = load_job(sys.argv[1])
loaded = time.perf_counter() - start
plan = Plan(job, date(2025, 1, 15))
facts = {"rows": len(job.taxa), "load_s": round(loaded, 1), "requests": plan.request_count}
"""

BARE = """
import csv
with open(sys.argv[1], newline="") as stream:
    facts = {"rows": sum(1 for row in csv.reader(stream)) - 1}
"""

MEASURE = """
import json, resource, sys, time
start = time.perf_counter()
{body}
facts["seconds"] = round(time.perf_counter() - start, 2)
facts["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(facts))
"""


def write_list(path: Path, rows: int) -> None:
    """Taxa by id and by name, a label each, and a few hundred different combinations of filters."""
    chance = random.Random(1)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("taxon", "label", "host", "geo_location", "complete_only", "released_since"))
        for number in range(rows):
            taxon = f"Imaginary virus {number}" if number % 3 == 0 else str(10_000 + number)
            since = chance.choice(("", "7d", "2025-01-01"))
            complete = chance.choice(("", "true", "FALSE"))
            writer.writerow((taxon, f"Label {number}", chance.choice(HOSTS), chance.choice(PLACES), complete, since))


def measure(body: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-c", MEASURE.format(body=body), str(path)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "taxa.csv")
        write_list(path, rows)
        bare, job = measure(BARE, path), measure(LOAD, path)
    print(f"csv.reader      {bare['rows']:>10,} rows  {bare['seconds']:>6.2f} s  {bare['peak_mb']:>4} MB")
    print(f"load and plan   {job['rows']:>10,} rows  {job['seconds']:>6.2f} s  {job['peak_mb']:>4} MB", end="")
    print(f"  ({job['load_s']} s to load; {job['requests']:,} requests)")
    print(f"ratio           {job['seconds'] / bare['seconds']:.1f}")


if __name__ == "__main__":
    main()
