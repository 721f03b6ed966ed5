"""A job that was copied asks the same rows and is judged alike; what is no copy is refused."""

import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.config.load import load_job
from batchsum.errors import UsageError
from batchsum.run.job_copy import job_digest, read_copy, write_copy
from batchsum.run.plan import build_plan

ROOT = Path(__file__).parents[2]
JOBS = [*sorted((ROOT / "configs").glob("*.yaml")), ROOT / "sample_inputs" / "taxa.csv", ROOT / "sample_inputs/job.csv"]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_a_copied_job_is_the_job(path: Path, tmp_path: Path) -> None:
    job, day = load_job(path), date(2026, 11, 23)
    write_copy(tmp_path / "copy", job)
    copy = read_copy(tmp_path / "copy")
    assert list(build_plan(copy, day).queries()) == list(build_plan(job, day).queries())
    assert build_plan(copy, day).job_hash() == build_plan(job, day).job_hash()
    assert job_digest(copy) == job_digest(job)
    assert (copy.name, copy.output, copy.api, copy.guards, copy.notify) == (
        job.name, job.output, job.api, job.guards, job.notify,
    )  # fmt: skip


@given(st.binary(max_size=200))
def test_garbage_is_no_copy_of_a_job(garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "copy"
        path.write_bytes(garbage)
        with pytest.raises(UsageError, match="cannot be read"):
            read_copy(path)
