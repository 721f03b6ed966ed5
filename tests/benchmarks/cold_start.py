"""How long until `--version`, `--help` and a small `check` have answered, against the bare interpreter?

    python -m tests.benchmarks.cold_start [--quick]

The package is copied beside compiled bytecode, as an installed one has it, and started as its command starts it.
`check` is a job of ten taxa; the libraries that it loads are told.
"""

import argparse
import compileall
import shutil
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import ROOT, Result, medians, run_process, tell

COMMAND = "from batchsum.cli import entry; entry()"
LOADED = """
import sys
from batchsum.cli import main
code = main(sys.argv[1:])
NETWORK = {"aiohttp", "aiolimiter", "asyncio", "http.client", "ssl", "urllib.request"}
print("LOADED", *sorted(NETWORK & set(sys.modules)))
sys.exit(code)
"""
WHY = ""


def measure(turns: int) -> list[Result]:
    with tempfile.TemporaryDirectory() as directory:
        package = Path(directory)
        shutil.copytree(ROOT / "batchsum", package / "batchsum", ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(package, quiet=2)
        job = package / "taxa.csv"
        job.write_text("taxon\n" + "".join(f"{10_000 + number}\n" for number in range(10)))

        def milliseconds(*arguments: str) -> float:
            return 1000 * run_process(arguments, package=package).seconds

        milliseconds("-c", COMMAND, "check", str(job))  # the first one also fills the caches of the disk
        bare, version, help_, check = medians(
            turns,
            lambda: milliseconds("-c", "pass"),
            lambda: milliseconds("-c", COMMAND, "--version"),
            lambda: milliseconds("-c", COMMAND, "--help"),
            lambda: milliseconds("-c", COMMAND, "check", str(job)),
        )
        loaded = run_process(["-c", LOADED, "check", str(job)], package=package).output.partition("LOADED")[2].split()
    against = f"bare interpreter {bare:.0f} ms"
    network = f"network libraries loaded: {', '.join(loaded) or 'none'}"
    return [
        Result("cold start of --version", version / bare, 2, f"{version:.0f} ms, {against}", at_most=True, why=WHY),
        Result("cold start of --help", help_ / bare, 3, f"{help_:.0f} ms, {against}", at_most=True, why=WHY),
        Result(
            "HTTP libraries in a small check", len(loaded), 0,
            f"{network}; {check:.0f} ms, {against}", at_most=True,
        ),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    return tell(*measure(7 if parser.parse_args().quick else 25))


if __name__ == "__main__":
    sys.exit(main())
