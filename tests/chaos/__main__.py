"""`python -m tests.chaos`: the long form. Every step is killed, stopped and failed, then kills at random moments."""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path

from tests.chaos.disturbance import Night, strike_at_random, strike_each_step
from tests.chaos.stage import set_up

WORDS = {
    "kill": "killed (SIGKILL) at each step",
    "stop": "stopped (SIGTERM) at each step",
    "fail": "one step failing",
    "full": "every step failing from one on",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="kills at random moments (200)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the random moments")
    options = parser.parse_args()
    if not __debug__:
        parser.error("nothing is proven without assertions; run it without -O")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, set_up(Path(directory)) as stage:
        queries, requests = stage.new["summary.csv"].count(b"\n") - 1, len(stage.ncbi.server.arrivals)
        print(f"one night: {queries} queries, {requests} requests, the night before kept", flush=True)
        for kind, words in WORDS.items():
            struck = Counter(strike_each_step(stage, kind))
            print(f"{words}: {sum(struck.values())} nights; {dict(struck)}", flush=True)
        stage.ncbi.delay = 0.02
        print(f"seed {options.seed}", flush=True)
        nights, killed = strike_at_random(stage, options.seed, 0.5), list[Night]()
        while len(killed) < options.kills:
            killed += [night for night in islice(nights, 1) if night.killed]
        oldest = max(night.unkept for night in killed)
        print(f"killed at random moments: {len(killed)} nights; oldest answer not kept: {1000 * oldest:.0f} ms")
    print("answers lost or asked again: 0; files seen half: 0; tables that differ: 0")
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
