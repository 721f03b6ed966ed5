"""How many requests a second do one, two and four shards make, their limit off, on a server of one's own?

    python -m tests.benchmarks.shards [--quick]

Each shard is a `batchsum run --shard I/N` of its own, all at once, timed from the first start to the last end; the
merge behind them is timed by itself. The peer is the same against a server that looks at nothing: where the
embedded server gives less than that one, it is the bottleneck.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.lean_server import lean_server
from tests.benchmarks.measure import ROOT, Result, medians, tell

COUNTS = (1, 2, 4)
TAXONOMY = ROOT / "batchsum" / "local_ncbi" / "data" / "virus_taxonomy.tsv.gz"
WHY = "client and server share the cores: a second shard needs a core that the server has not, a fourth one has none"


def write_list(path: Path, rows: int) -> None:
    """`rows` different questions about taxa that the embedded server knows."""
    with gzip.open(TAXONOMY, "rt", encoding="utf-8") as file:
        taxa = [line.partition("\t")[0] for line in file if line[0].isdigit()]
    lines = (f"{taxa[number % len(taxa)]},{2000 + number // len(taxa)}-01-01\n" for number in range(rows))
    path.write_text("taxon,released_since\n" + "".join(lines), encoding="utf-8")


@contextmanager
def embedded_server() -> Iterator[str]:
    command = [sys.executable, "-m", "batchsum", "serve", "--port", "0", "--rps", "unlimited"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.terminate()


def ask(base_url: str, job: Path, count: int, directory: Path) -> float:
    """Seconds until all of `count` shards are finished."""
    common = [sys.executable, "-m", "batchsum", "run", str(job), "--base-url", base_url, "--rps", "unlimited"]
    began = time.perf_counter()
    shards = [
        subprocess.Popen([*common, "--shard", f"{part}/{count}", "--out", str(directory / f"{part}-of-{count}")])
        for part in range(1, count + 1)
    ]
    codes = [shard.wait() for shard in shards]
    if any(codes):
        raise RuntimeError(f"shards ended with exit codes {codes}")
    return time.perf_counter() - began


def merge(count: int, directory: Path) -> float:
    shards = [str(directory / f"{part}-of-{count}") for part in range(1, count + 1)]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "batchsum", "merge", str(directory / "merged"), *shards], check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"the merge ended with exit code {done.returncode}")
    return time.perf_counter() - began


def rates(base_url: str, job: Path, rows: int, turns: int, directory: Path) -> list[float]:
    """Requests a second with each number of shards, in turns."""
    measures = [lambda count=count: rows / ask(base_url, job, count, directory) for count in COUNTS]
    return medians(turns, *measures)


def measure(rows: int, turns: int) -> Result:
    with tempfile.TemporaryDirectory() as directory:
        job = Path(directory, "taxa.csv")
        write_list(job, rows)
        with embedded_server() as base_url:
            ours = rates(base_url, job, rows, turns, Path(directory))
        merged = merge(COUNTS[-1], Path(directory))
        with lean_server() as base_url:
            lean = rates(base_url, job, rows, turns, Path(directory))
    told = ", ".join(f"{count}: {rate:,.0f}/s" for count, rate in zip(COUNTS, ours, strict=True))
    peer = ", ".join(f"{count}: {rate:,.0f}/s" for count, rate in zip(COUNTS, lean, strict=True))
    figures = (
        f"{rows:,} requests, whole processes; embedded server {told}; bare server {peer};"
        f" {COUNTS[-1]} shards merged in {merged:.1f} s"
    )
    return Result("two shards against one, limit off", ours[1] / ours[0], 0.8, figures, why=WHY)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    options = parser.parse_args()
    return tell(measure(6_000, 1) if options.quick else measure(20_000, 2))


if __name__ == "__main__":
    sys.exit(main())
