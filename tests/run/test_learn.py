"""Names, ids and lineages that a job without a lock learns by itself, night by night."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchsum.cli import main
from batchsum.config.taxa_lock import LockedTaxon, TaxaLock, write_lock
from batchsum.ncbi.taxonomy import TaxonNode
from batchsum.run import ask
from tests.builders.jobs import job_text, manifest, night, rows, write_job
from tests.fakes.scripted_taxonomy import ScriptedTaxonomy, node, scripted_taxonomy

GENUS, SPECIES = 9001, 9002
MONDAY, TUESDAY, WEDNESDAY = "2026-03-02", "2026-03-03", "2026-03-04"
Run = Callable[[str], int]


@pytest.fixture
def ncbi() -> Iterator[ScriptedTaxonomy]:
    with scripted_taxonomy(otherwise=lambda question: {"record_count": 30}, rate_limit=None) as server:
        server.names = {
            "old pox": [node(SPECIES, "Poxvirus novum", 1, 10239, GENUS)],
            str(GENUS): [node(GENUS, "Poxgenus")],
        }
        yield server


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(tmp_path, job_text(GENUS, "old pox", api={"attempts": 1}))


@pytest.fixture
def on(ncbi: ScriptedTaxonomy, job: Path) -> Run:
    """Runs the job on a day; gives the exit code."""

    def run(day: str) -> int:
        ncbi.looked_up.clear()
        return night(job, ncbi, day=day)

    return run


def warnings(job: Path) -> list[str]:
    return list(manifest(job)["warnings"])


def test_a_part_above_its_whole_is_found_without_a_lock(ncbi: ScriptedTaxonomy, job: Path, on: Run) -> None:
    assert on(MONDAY) == 0
    assert ncbi.looked_up == [[str(GENUS), "old pox"]]
    assert [(row["tax_id"], row["scientific_name"]) for row in rows(job)] == [
        (str(GENUS), "Poxgenus"), (str(SPECIES), "Poxvirus novum"),
    ]  # fmt: skip
    ncbi.answers = {"old pox": {"record_count": 44}}
    assert on(TUESDAY) == 3
    assert [row["error"] for row in rows(job)] == [
        "",
        f"exceeds_wider: 44 here, but 30 in {GENUS} all, which includes it",
    ]
    assert ncbi.counts == {str(GENUS): 2, "old pox": 2}  # asked as it is written, and both again


def test_where_nothing_can_be_learnt_what_was_learnt_is_used(ncbi: ScriptedTaxonomy, job: Path, on: Run) -> None:
    assert on(MONDAY) == 0
    ncbi.fault = (500, "down")
    ncbi.answers = {"old pox": {"record_count": 44}}
    assert on(TUESDAY) == 3
    assert rows(job)[1]["error"].startswith("exceeds_wider:")
    assert rows(job)[1]["scientific_name"] == "Poxvirus novum"
    assert warnings(job) == []
    told = (job.parent / "out" / "night" / "batchsum.log").read_text()
    assert told.count("names and lineages could not be learnt tonight") == 1


def test_where_nothing_was_ever_learnt_the_rows_are_what_they_are(ncbi: ScriptedTaxonomy, job: Path, on: Run) -> None:
    ncbi.fault = (404, {"code": 5, "message": "no such service"})
    ncbi.answers = {"old pox": {"record_count": 44}}
    assert on(MONDAY) == 0
    assert [(row["record_count"], row["scientific_name"]) for row in rows(job)] == [("30", ""), ("44", "")]
    assert warnings(job) == []


def test_a_name_that_moved_is_told_on_the_first_night_and_keeps_its_past(
    ncbi: ScriptedTaxonomy, job: Path, on: Run
) -> None:
    assert on(MONDAY) == 0
    assert warnings(job) == []
    ncbi.names["old pox"] = [node(9055, "Poxvirus alterum")]
    ncbi.answers = {"old pox": {"record_count": 31}}
    for _ in range(2):  # also where that night is replaced
        assert on(TUESDAY) == 0
        assert warnings(job) == [
            "taxon 'old pox' stands for 9055 (Poxvirus alterum) now, and stood for 9002 (Poxvirus novum) before; "
            "its rows go on with their past"
        ]
        assert [(row["tax_id"], row["previous_record_count"]) for row in rows(job)][1] == ("9055", "30")
    assert on(WEDNESDAY) == 0
    assert warnings(job) == []


def test_a_night_that_is_stopped_while_it_learns_learns_when_it_goes_on(
    ncbi: ScriptedTaxonomy, job: Path, on: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on(MONDAY) == 0
    write_job(job.parent, job_text(GENUS, "new pox", api={"attempts": 1}))
    ncbi.names["new pox"] = ncbi.names["old pox"]
    ncbi.answers = {"new pox": {"record_count": 7}}
    with monkeypatch.context() as patch:
        patch.setattr(ask, "look_up", lambda *arguments: os.kill(os.getpid(), signal.SIGINT))
        assert on(TUESDAY) == 130
    assert on(TUESDAY) == 3
    assert ncbi.looked_up == [["new pox"]]
    assert [(row["tax_id"], row["previous_record_count"], row["status"]) for row in rows(job)][1] == (
        str(SPECIES), "30", "suspect",
    )  # fmt: skip


def test_an_id_that_was_merged_is_told_on_the_first_night(ncbi: ScriptedTaxonomy, job: Path, on: Run) -> None:
    ncbi.names[str(GENUS)] = [node(9300, "Poxgenus maius")]
    assert on(MONDAY) == 0
    assert warnings(job) == [f"taxon {GENUS} was merged into 9300 (Poxgenus maius); write 9300"]
    assert on(TUESDAY) == 0
    assert warnings(job) == []


def test_what_is_no_virus_or_stands_for_several_taxa_is_not_learnt(ncbi: ScriptedTaxonomy, job: Path, on: Run) -> None:
    ncbi.names |= {"old pox": [node(3, "A"), node(4, "B")], str(GENUS): [node(GENUS, "Canis", 1, 131567)]}
    assert on(MONDAY) == 0
    assert [row["scientific_name"] for row in rows(job)] == ["", ""]


def test_a_lock_has_the_last_word_and_the_rest_is_learnt(ncbi: ScriptedTaxonomy, job: Path, on: Run) -> None:
    locked = LockedTaxon(TaxonNode(77, "Poxvirus clausum", "species", (1, 10239)), "2026-01-05")
    write_lock(job.with_name("taxa.lock"), TaxaLock({"old pox": locked}))
    ncbi.answers = {"77": {"record_count": 5}}
    assert on(MONDAY) == 0
    assert [(row["tax_id"], row["scientific_name"], row["record_count"]) for row in rows(job)] == [
        (str(GENUS), "Poxgenus", "30"), ("77", "Poxvirus clausum", "5"),
    ]  # fmt: skip
    (told,) = warnings(job)
    assert told.startswith("taxon 'old pox' was 77 (Poxvirus clausum) when it was locked on 2026-01-05, and is 9002")


def test_shards_learn_nothing_and_their_merge_does(
    ncbi: ScriptedTaxonomy, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHSUM_TODAY", MONDAY)
    shards = [str(job.parent / f"shard{index}") for index in (1, 2)]
    for index, out in enumerate(shards, start=1):
        assert main(["run", str(job), "--base-url", ncbi.base_url, "--shard", f"{index}/2", "--out", out]) == 0
    assert ncbi.looked_up == []
    assert main(["merge", str(job.parent / "out" / "night"), *shards]) == 0
    assert ncbi.looked_up == [[str(GENUS), "old pox"]]
    assert [row["scientific_name"] for row in rows(job)] == ["Poxgenus", "Poxvirus novum"]
