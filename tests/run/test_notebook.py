"""A night that is started where an event loop runs already, as in a notebook."""

import asyncio
import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from batchsum import load_job, run_job
from batchsum.errors import Refused
from batchsum.model.job import Job
from batchsum.run.outcome import Outcome
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi

JOB = """\
version: 1
name: notebook
taxa: [1, 2, 3, 4, 5, 6]
api: {requests_per_second: unlimited, workers: 1}
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    path = tmp_path / "notebook.yaml"
    path.write_text(JOB)
    return load_job(path)


def cell(job: Job, ncbi: ScriptedNcbi, **options: Any) -> Outcome:
    """A cell of a notebook: plain code on the main thread, in the loop of the kernel, that Ctrl-C interrupts."""

    async def kernel() -> Outcome:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        outcome = run_job(job, base_url=ncbi.base_url, **options)
        assert asyncio.get_running_loop().is_running()
        return outcome

    ncbi.asked.clear()
    return asyncio.run(kernel())


def rows(outcome: Outcome) -> list[tuple[str, str]]:
    with (outcome.directory / "summary.csv").open(newline="") as file:
        return [(row["taxon"], row["status"]) for row in csv.DictReader(file)]


def test_a_night_runs_inside_a_running_loop(ncbi: ScriptedNcbi, job: Job) -> None:
    outcome = cell(job, ncbi)
    assert outcome.exit_code == 0
    assert rows(outcome) == [(str(taxon), "ok") for taxon in range(1, 7)]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert cell(job, ncbi).changes == 0


def test_the_server_may_be_named_by_the_environment(
    ncbi: ScriptedNcbi, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHSUM_BASE_URL", ncbi.base_url)
    assert run_job(job).exit_code == 0
    assert len(ncbi.asked) > 5


def test_a_cell_that_is_interrupted_goes_on_where_it_was(ncbi: ScriptedNcbi, job: Job) -> None:
    def interrupt(question: Question) -> float:
        if question.taxon != "4":
            return 0.0
        os.kill(os.getpid(), signal.SIGINT)
        return 30.0

    ncbi.delay = interrupt
    with pytest.raises(KeyboardInterrupt) as told:
        cell(job, ncbi)
    assert any(note.startswith("run: ") for note in told.value.__notes__)
    assert not (job.output.dir / "run.json").exists()
    ncbi.delay = lambda question: 0.0
    assert rows(cell(job, ncbi)) == [(str(taxon), "ok") for taxon in range(1, 7)]
    assert [question.taxon for question in ncbi.asked] == ["4", "5", "6"]


def test_an_error_that_ends_the_night_comes_out_of_the_cell(ncbi: ScriptedNcbi, job: Job) -> None:
    ncbi.otherwise = lambda question: (401, "who are you")
    with pytest.raises(Refused):
        cell(job, ncbi)
