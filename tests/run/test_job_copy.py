"""A job that was copied asks the same rows and is judged alike; what is no copy is refused."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.config.load import load_job
from batchsum.run.job_copy import pack_job, unpack_job
from batchsum.run.plan import Plan

ROOT = Path(__file__).parents[2]
JOBS = [*sorted((ROOT / "configs").glob("*.yaml")), ROOT / "sample_inputs" / "taxa.csv", ROOT / "sample_inputs/job.csv"]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_a_copied_job_is_the_job(path: Path) -> None:
    job, day = load_job(path), date(2026, 11, 23)
    copy = unpack_job(pack_job(job))
    assert list(Plan(copy, day).queries()) == list(Plan(job, day).queries())
    assert Plan(copy, day).job_hash() == Plan(job, day).job_hash()
    assert (copy.name, copy.output, copy.api, copy.guards, copy.notify) == (
        job.name, job.output, job.api, job.guards, job.notify,
    )  # fmt: skip


@given(st.binary(max_size=200))
def test_garbage_is_no_copy_of_a_job(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack_job(garbage)
