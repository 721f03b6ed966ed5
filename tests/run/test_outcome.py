"""What a night came to, as the store tells it: which changes are shown first, and what stands beside them."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from batchsum import load_job, run_job
from batchsum.model.job import Job, OutputSettings
from batchsum.run.outcome import Outcome, outcome_of
from batchsum.store.history import History
from batchsum.store.rows import KeptRow
from batchsum.store.store import Run, Store
from tests.fakes.scripted_ncbi import scripted_ncbi


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.sqlite3") as store:
        yield store


def begin(store: Store, run_id: str, day: int = 23) -> Run:
    return store.begin_run(
        run_id, started_at="2026-11-23T03:00:00Z", today=date(2026, 11, day), base_url="http://127.0.0.1/v2",
        job_hash="hash", generation=0,
    )  # fmt: skip


def row(position: int, change: str = "", count: int | None = 100, previous: int | None = 100) -> KeptRow:
    status, error = ("failed", "timeout: 60 s") if count is None else ("ok", "")
    return KeptRow(
        position, f"{position}", "", "all", "", status, count, None, previous, error, "", change, query=position
    )  # fmt: skip


def night(store: Store, tmp_path: Path, *tonight: KeptRow) -> Outcome:
    """Tonight's outcome, the last night having had taxa 0 to 11."""
    with store.transaction():
        last = begin(store, "last", 22)
        History(store, last).keep(row(number) for number in range(12))
        store.move(last, "open", "published")
        run = begin(store, "tonight")
        history = History(store, run)
        history.keep(tonight)
    manifest = {
        "run_id": "tonight", "today": "2026-11-23", "generation": 2, "warnings": ["one"],
        "statuses": history.counts(), "changes": sum(history.changes_by_kind().values()),
    }  # fmt: skip
    return outcome_of(store, run, Job(tmp_path, "job", (), (), OutputSettings(tmp_path)), manifest)


def test_changes_are_ranked_by_what_is_lost_then_by_size(store: Store, tmp_path: Path) -> None:
    told = [("new", 9_999_999, None), ("grew", 105, 100), ("failed", None, 100), ("vanished", 0, 1), ("fell", 30, 100)]
    told += [("grew", 100 + more, 100) for more in range(10, 14)]
    told += [("", 100, 100)] * 2
    found = night(store, tmp_path, *(row(number, *one) for number, one in enumerate(told)))
    assert found.changes_by_kind == {"new": 1, "grew": 5, "failed": 1, "vanished": 1, "fell": 1, "removed": 1}
    assert found.changes == 10
    assert [(one["change"], one["record_count_change"]) for one in found.largest_changes] == [
        ("vanished", -1), ("fell", -70), ("new", None), ("removed", None), ("grew", 13), ("grew", 12),
    ]  # fmt: skip


def test_failures_stand_beside_the_changes(store: Store, tmp_path: Path) -> None:
    found = night(store, tmp_path, *(row(number, "failed", None) for number in range(12)))
    assert [str(one) for one in found.failures] == ["12 failed: timeout"]
    assert [str(one) for one in found.failures[0].examples] == [f"{taxon} / all: timeout: 60 s" for taxon in range(3)]
    assert found.largest_changes == ()
    assert (found.counts["failed"], found.changes, found.exit_code, found.warnings) == (12, 12, 3, ("one",))


def test_equal_changes_come_in_job_order(store: Store, tmp_path: Path) -> None:
    found = night(store, tmp_path, *(row(number, "grew", 101) for number in range(12)))
    assert [one["taxon"] for one in found.largest_changes] == ["0", "1", "2", "3", "4", "5"]
    assert found.news.changes[11]["taxon"] == "11"


def test_a_night_that_keeps_no_other_still_tells_what_is_gone(tmp_path: Path) -> None:
    """Publishing forgets the rows of the night before; what is told of it was read until then."""
    path = tmp_path / "job.yaml"
    with scripted_ncbi(rate_limit=None) as ncbi:
        for day, taxa in ((22, "[1, 2]"), (23, "[1]")):
            path.write_text(f"version: 1\ntaxa: {taxa}\noutput: {{keep_nights: 1}}\n")
            outcome = run_job(load_job(path), base_url=ncbi.base_url, today=date(2026, 11, day))
    assert (outcome.changes, outcome.changes_by_kind) == (1, {"removed": 1})
    assert [(one["taxon"], one["change"]) for one in outcome.news.changes] == [("2", "removed")]
    assert [one["taxon"] for one in outcome.largest_changes] == ["2"]
    assert (outcome.directory / "changes.csv").read_text().splitlines()[1].startswith("2,,all,removed,7,")
