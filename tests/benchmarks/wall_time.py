"""Wall time of 300 questions at 10 a second: against NCBI's generated client, in threads and one after the other.

    python -m tests.benchmarks.wall_time [--quick]

All ask the same kind of server: an exact window of ten a second, 0.2 to 0.5 s an answer (one known probe of the
endpoint took 0.34 s), 429 with `Retry-After: 1` to whoever is too fast. The generated client retries as urllib3 does
when told to (ten times, 429 and 5xx), in a pool of 32 threads; alone, it asks the next question when it has the
answer. The physical limit is the last question's turn, and one answer. The bar is on the thread pool: no slower than
5 % more, and without its refusals.
"""

import argparse
import asyncio
import importlib.util
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from batchsum.model.queries import Request, Summary
from batchsum.ncbi.client import DatasetsClient
from batchsum.run.ask import run_requests
from tests.benchmarks.limit_use import Question, Window, serve
from tests.benchmarks.measure import ROOT, Result, tell

LIMIT, THREADS, LATENCY = 10, 32, (0.2, 0.5)


async def ask_ours(base_url: str, count: int) -> int:
    answered = 0

    def keep(_request: Request, reply: object) -> None:
        nonlocal answered
        answered += isinstance(reply.answer, Summary)  # type: ignore[attr-defined]

    async with DatasetsClient(base_url, requests_per_second=LIMIT) as client:
        await run_requests((Request(str(n)) for n in range(1, count + 1)), client.ask, workers=64, on_answer=keep)
    return answered


def ask_generated(base_url: str, count: int, threads: int) -> int:
    import urllib3
    from ncbi.datasets.openapi import ApiClient, Configuration, VirusApi
    from ncbi.datasets.openapi.exceptions import ApiException

    retry = urllib3.Retry(total=10, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    configuration = Configuration(host=base_url, retries=retry, connection_pool_maxsize=threads)
    with ApiClient(configuration) as client, ThreadPoolExecutor(threads) as pool:
        api = VirusApi(client)

        def ask(taxon: int) -> bool:
            try:
                return api.virus_genome_summary(str(taxon)).record_count is not None
            except (ApiException, urllib3.exceptions.HTTPError):
                return False

        return sum(pool.map(ask, range(1, count + 1)))


def ask_and_tell(how: str, base_url: str, count: int) -> None:
    """In a process of its own: seconds and answers, on stdout."""
    began = time.perf_counter()
    if how == "ours":
        answered = asyncio.run(ask_ours(base_url, count))
    else:
        answered = ask_generated(base_url, count, THREADS if how == "threads" else 1)
    print(time.perf_counter() - began, answered)


async def measure_one(how: str, count: int) -> tuple[float, str]:
    """Seconds, and all figures in words."""
    window = Window(Question(how, LIMIT, count, 0, latency=LATENCY), LIMIT)
    server, base_url = await serve(window)
    command = [sys.executable, "-m", "tests.benchmarks.wall_time", "--ask", how, base_url, str(count)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    server.close()
    seconds, answered = output.split()
    return float(seconds), f"{float(seconds):.1f} s with {window.refused} 429s and {int(answered)} answers"


async def measure(count: int) -> Result:
    limit = (count - 1) / LIMIT + sum(LATENCY) / 2
    ours, told = await measure_one("ours", count)
    question = f"wall time of {count} questions, against NCBI's client in {THREADS} threads"
    if importlib.util.find_spec("ncbi") is None:
        figures = f"no ncbi-datasets-pyclient here, so against the physical limit of {limit:.1f} s: {told}"
        return Result(question, ours / limit, 1.05, figures, at_most=True)
    threads, threads_told = await measure_one("threads", count)
    few = max(10, count // 10)
    alone, _ = await measure_one("alone", few)
    figures = (
        f"{told}; threads {threads_told}; one after the other {alone / few * count:.0f} s"
        f" (from {few} questions); physical limit {limit:.1f} s"
    )
    return Result(question, ours / threads, 1.05, figures, at_most=True, also=" with 0 429s" in told)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="60 questions")
    parser.add_argument("--ask", nargs=3, metavar=("HOW", "URL", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        how, base_url, count = options.ask
        ask_and_tell(how, base_url, int(count))
        return 0
    return tell(asyncio.run(measure(60 if options.quick else 300)))


if __name__ == "__main__":
    sys.exit(main())
