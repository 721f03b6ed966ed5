"""Zeros that prove nothing: a first night of nothing else, and a filter under which no taxon has a record."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.jobs import job_text, manifest, night, rows, write_job
from tests.fakes.scripted_ncbi import ScriptedNcbi, scripted_ncbi


@pytest.fixture
def ncbi() -> Iterator[ScriptedNcbi]:
    with scripted_ncbi(otherwise=lambda question: {}, rate_limit=None) as server:
        yield server


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(tmp_path, job_text(81, 82, 83, api={"attempts": 1}))


def warnings(job: Path) -> list[str]:
    return list(manifest(job)["warnings"])


def test_a_first_night_of_zeros_is_nothing_while_the_canary_is_zero_too(
    ncbi: ScriptedNcbi, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert night(job, ncbi) == 4
    assert ncbi.counts == {"81": 1, "82": 1, "83": 1, "2697049": 1}  # an outage costs few requests
    assert "NCBI has no record of anything, nor of taxon 2697049" in capfd.readouterr().err
    assert not (job.parent / "out" / "night" / "summary.csv").exists()
    # The same command asks anew.
    ncbi.answers = {"81": {"record_count": 3}}
    assert night(job, ncbi) == 0
    assert [row["status"] for row in rows(job)] == ["ok", "empty", "empty"]


def test_a_first_night_of_zeros_is_believed_where_the_canary_is_known(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"2697049": {"record_count": 9_000_000}}
    assert night(job, ncbi) == 0
    assert [row["status"] for row in rows(job)] == ["empty"] * 3
    assert ncbi.counts["2697049"] == 1


def test_a_server_of_ones_own_names_its_canary(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text(job.read_text().replace('"attempts": 1', '"attempts": 1, "canary": "777"'))
    ncbi.answers = {"777": {"record_count": 1}}
    assert night(job, ncbi) == 0
    assert ncbi.counts == {"81": 1, "82": 1, "83": 1, "777": 1}


def test_one_record_is_enough_and_a_later_night_asks_no_canary(ncbi: ScriptedNcbi, job: Path) -> None:
    ncbi.answers = {"82": {"record_count": 1}}
    assert night(job, ncbi, day="2026-05-04") == 0
    assert "2697049" not in ncbi.counts
    ncbi.answers = {}
    assert night(job, ncbi, day="2026-05-05") == 3
    assert [row["status"] for row in rows(job)] == ["empty", "suspect", "empty"]
    assert "2697049" not in ncbi.counts


SETS = """\
filter_sets:
  all: {}
  vietnam: {geo_location: Vietnam}
  lineage: {pangolin_classification: "XY.7*", complete_only: true}
  complete: {complete_only: true}
  lately: {geo_location: Vietnam, released_since: 2026-01-01}
"""


def test_a_filter_under_which_no_taxon_has_a_record_is_told_once(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text(job.read_text() + SETS)
    ncbi.answers = {
        "81": {"record_count": 9}, "82": {"record_count": 4}, "83": {},
        "81?complete_only=true": {"record_count": 2},
        "82?geo_location=Vietnam": (500, "down"),
    }  # fmt: skip
    told = [
        "no taxon has a record under vietnam (geo_location: Vietnam), and 1 taxon has some without it: "
        "is that how NCBI writes it?",
        "no taxon has a record under lineage (pangolin_classification: XY.7*), and 2 taxa have some without it: "
        "is that how NCBI writes it?",
    ]
    for _ in range(2):  # also where the night is replaced
        assert night(job, ncbi, day="2026-05-04") == 3
        assert warnings(job) == told
    assert night(job, ncbi, day="2026-05-05") == 3
    assert warnings(job) == []
    ncbi.answers["81?geo_location=Vietnam"] = {"record_count": 1}
    assert night(job, ncbi, day="2026-05-06") == 3
    assert warnings(job) == []
    ncbi.answers["81?geo_location=Vietnam"] = {}  # it had some: the value is one of NCBI's
    assert night(job, ncbi, day="2026-05-07") == 3
    assert warnings(job) == []


def test_a_filter_is_not_to_blame_where_a_wider_one_has_the_same_value(ncbi: ScriptedNcbi, job: Path) -> None:
    job.write_text(
        job.read_text() + "filter_sets: {all: {}, dogs: {host: dog}, refs: {host: dog, refseq_only: true}}\n"
    )
    ncbi.answers = {"81": {"record_count": 9}, "81?host=dog": {"record_count": 4}}
    assert night(job, ncbi) == 0
    assert warnings(job) == []
