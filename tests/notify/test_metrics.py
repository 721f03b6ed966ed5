"""metrics.prom, read as Prometheus reads it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.cli import main
from batchsum.notify import metrics
from batchsum.notify.news import News
from tests.builders.jobs import next_day
from tests.fakes.scripted_ncbi import ScriptedNcbi

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def night(directory: Path, ncbi: ScriptedNcbi, taxa: str = "[11320, 11520, 12216]") -> int:
    job = directory / "job.yaml"
    api = "{requests_per_second: unlimited, attempts: 1, max_outage: 1s}"
    job.write_text(f"version: 1\nname: tonight\ntaxa: {taxa}\napi: {api}\n")
    with next_day(directory / "tonight.yaml"):
        return main(["run", str(job), "--base-url", ncbi.base_url])


def read(directory: Path) -> Series:
    return parse((directory / "out/tonight/metrics.prom").read_text(encoding="utf-8"))


def parse(text: str) -> Series:
    found: Series = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{key} stands twice"
            found[key] = sample.value
    return found


def of(series: Series, name: str, **labels: str) -> float | None:
    return series.get((f"batchsum_{name}", frozenset({"job": "tonight", **labels}.items())))


def test_a_night_is_told_to_prometheus(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    before = datetime.now(UTC).timestamp()
    ncbi.answers = {"11320": {"record_count": 70}, "11520": {}, "12216": (400, {"message": "no such taxon"})}
    assert night(tmp_path, ncbi) == 3
    series = read(tmp_path)
    assert of(series, "run_exit_code") == 3
    assert {status: of(series, "rows", status=status) for status in ("ok", "empty", "rejected", "failed")} == {
        "ok": 1, "empty": 1, "rejected": 1, "failed": 0,
    }  # fmt: skip
    assert of(series, "changes") == 0
    assert of(series, "record_count", taxon="11320", filter_set="all") == 70
    assert of(series, "record_count", taxon="11520", filter_set="all") == 0
    assert of(series, "record_count", taxon="12216", filter_set="all") is None
    assert of(series, "run_requests", code="200") == 2
    assert of(series, "last_success_timestamp_seconds") is None
    for name in ("run_timestamp_seconds", "last_published_timestamp_seconds"):
        assert int(before) <= (of(series, name) or 0) <= datetime.now(UTC).timestamp()


def test_a_failed_night_keeps_what_the_table_says_and_the_last_success(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    assert night(tmp_path, ncbi) == 0
    good = read(tmp_path)
    ncbi.answers = {"11520": (400, {"message": "no such taxon"})}
    assert night(tmp_path, ncbi) == 3
    ncbi.answers, ncbi.otherwise = {}, lambda question: (500, "oops")
    assert night(tmp_path, ncbi) == 4
    bad = read(tmp_path)
    assert of(bad, "run_exit_code") == 4
    assert of(bad, "last_success_timestamp_seconds") == of(good, "last_success_timestamp_seconds") is not None
    assert of(bad, "record_count", taxon="11320", filter_set="all") == 7
    assert of(bad, "rows", status="suspect") == 1
    ncbi.otherwise = lambda question: {"record_count": 7}
    assert night(tmp_path, ncbi) == 0
    assert (of(read(tmp_path), "last_success_timestamp_seconds") or 0) >= (
        of(good, "last_success_timestamp_seconds") or 0
    )


def test_labels_of_any_name_come_back_as_they_are(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    names = ['a "quoted" virus', "back\\slash n\\n", "Virus é 猫", "brace} {x=1"]
    assert night(tmp_path, ncbi, json.dumps([*names, names[0]])) == 0
    series = read(tmp_path)
    assert [of(series, "record_count", taxon=name, filter_set="all") for name in names] == [7] * 4


@given(st.text(min_size=1), st.text(), st.integers(min_value=0, max_value=2**53))
def test_any_text_makes_one_series(taxon: str, filter_set: str, count: int) -> None:
    news = News("tonight", "", "", "", 0, "", {}, 0, [])
    now = datetime(2026, 11, 23, tzinfo=UTC)
    text = metrics.metrics_text(news, {}, [(taxon, filter_set, count)], seconds=1, now=now, before=None)
    assert of(parse(text), "record_count", taxon=taxon, filter_set=filter_set) == count


def test_a_job_too_large_for_prometheus_has_no_series_a_row(
    ncbi: ScriptedNcbi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_ROWS", 2)
    assert night(tmp_path, ncbi) == 0
    series = read(tmp_path)
    assert not [name for name, _ in series if name == "batchsum_record_count"]
    assert of(series, "rows", status="ok") == 3
    assert night(tmp_path, ncbi, "[11320, 11520, 11320]") == 0
    assert of(read(tmp_path), "record_count", taxon="11320", filter_set="all") == 7


def test_metrics_that_cannot_be_written_fail_no_night(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    (tmp_path / "out/tonight/metrics.prom/x").mkdir(parents=True)
    assert night(tmp_path, ncbi) == 0
    assert "metrics.prom was not written" in (tmp_path / "out/tonight/batchsum.log").read_text()
    assert not list((tmp_path / "out/tonight").glob(".metrics*"))
