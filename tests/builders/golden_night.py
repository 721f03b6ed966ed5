"""The golden tables, made anew: `python -m tests.builders.golden_night`. Read what it changed before you commit it."""

import shutil
import tempfile
from pathlib import Path

from tests.builders.jobs import count_by_text, night, write_job
from tests.fakes.scripted_ncbi import scripted_ncbi

GOLDEN = Path(__file__).parents[1] / "golden/night"


def write_golden_night() -> None:
    """One night of the job with every kind of taxon and filter; each count follows from its question alone."""
    with tempfile.TemporaryDirectory() as directory, scripted_ncbi(otherwise=count_by_text) as ncbi:
        job = write_job(Path(directory))
        assert night(job, ncbi, "--format", "csv,tsv,jsonl") == 0
        for path in GOLDEN.iterdir():
            shutil.copyfile(job.parent / "out/night" / path.name, path)


if __name__ == "__main__":
    write_golden_night()
