"""How much of a limit do processes use that share nothing but a Redis, and is it ever exceeded?

    python -m tests.benchmarks.shared_limit [--quick]

One process alone, then four, each as on a machine of its own, with a limit of 10 a second. The kernel stamps what
they send. A Redis just started gives everybody only a share for some seconds; those are not counted.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Result, tell
from tests.fakes.paced_sender import Arrivals, senders
from tests.fakes.redis_server import RedisServer

LIMIT = 10


def measure(processes: int, sends: int, redis: RedisServer, directory: Path) -> Result:
    arrivals = Arrivals()
    with senders(processes, arrivals, LIMIT, redis.url, directory):
        arrivals.receive_until(parts=1, count=sends)
    times = sorted(one.time for one in arrivals.seen)
    whole = sorted(one.time for one in arrivals.seen if one.parts == 1)[LIMIT:]
    use = (len(whole) - 1) / (LIMIT * (whole[-1] - whole[0]))
    busiest = max(sum(time < first + 1.0 for time in times[at : at + 3 * LIMIT]) for at, first in enumerate(times))
    figures = f"{len(whole)} sends, busiest second {busiest} of {LIMIT}"
    return Result(f"use of a limit shared by Redis, {processes} at work", use, 0.95, figures, also=busiest <= LIMIT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    sends = 100 if parser.parse_args().quick else 300
    with tempfile.TemporaryDirectory() as directory:
        redis = RedisServer(Path(directory))
        redis.start()
        try:
            return tell(*(measure(processes, sends, redis, Path(directory)) for processes in (1, 4)))
        finally:
            redis.kill()


if __name__ == "__main__":
    sys.exit(main())
