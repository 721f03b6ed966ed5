"""datapackage.json describes the tables beside it: every column, in order, with its type; valid for frictionless."""

import csv
import json
import re
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from batchsum.model.job import Job, OutputSettings
from batchsum.model.queries import STATUSES, Believed, Past, Summary, Verdict
from batchsum.output.changes import kind_of_change
from batchsum.output.formats import datapackage
from batchsum.output.table import CHANGES
from tests.builders.jobs import JOB, count_by_text, job_text, night, write_job
from tests.fakes.scripted_ncbi import ScriptedNcbi, scripted_ncbi


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights, the second with a fall that is not believed, a refusal, an empty row and a failure."""
    directory = tmp_path_factory.mktemp("package")
    job = write_job(directory, JOB.replace("api: {", "api: {attempts: 1, "))
    with scripted_ncbi(otherwise=count_by_text) as ncbi:
        night(job, ncbi, "--format", "csv,tsv")
        ncbi.answers = {
            "11250": {"record_count": 1},
            "1335626": {"record_count": 0},
            "Potato virus Y": (400, {"code": 3, "message": "The taxonomy name 'Potato virus Y' is not valid"}),
            "2697049?host=human&complete_only=true": {"record_count": None},
        }
        assert night(job, ncbi, "--format", "csv,tsv") == 3
    return directory / "out/night"


def resources(directory: Path) -> dict[str, dict[str, Any]]:
    package = json.loads((directory / "datapackage.json").read_text(encoding="utf-8"))
    return {resource["path"]: resource for resource in package["resources"]}


def test_frictionless_finds_package_and_tables_valid(out: Path) -> None:
    frictionless = pytest.importorskip("frictionless", reason="needs frictionless")
    report = frictionless.validate(str(out / "datapackage.json"))
    assert report.flatten(["rowNumber", "fieldName", "type", "note"]) == []
    assert report.valid
    assert {task.name for task in report.tasks} == {"summary", "summary-tsv", "changes", "counts"}


def test_frictionless_reads_the_values_by_their_types(out: Path) -> None:
    frictionless = pytest.importorskip("frictionless", reason="needs frictionless")
    with frictionless.Package(str(out / "datapackage.json")).get_resource("summary") as summary:
        rows = [row.to_dict() for row in summary.row_stream]
    human = next(row for row in rows if row["filter_set"] == "human" and row["taxon"] == "11250")
    assert (human["complete_only"], human["refseq_only"]) == (True, None)
    assert isinstance(human["record_count"], int)
    assert next(row for row in rows if row["filter_set"] == "parts")["released_since"] == date(2025, 1, 15)


def test_every_column_is_described_in_order(out: Path) -> None:
    for path in ("summary.csv", "summary.tsv", "changes.csv"):
        fields = resources(out)[path]["schema"]["fields"]
        with (out / path).open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file, delimiter="\t" if path.endswith("tsv") else ","))
        assert [field["name"] for field in fields] == header
        assert all(field["description"].endswith(".") for field in fields)


def test_a_set_named_like_a_formula_is_none_in_the_header(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = write_job(tmp_path, job_text(11320, filter_sets={"=1+1": {}, "@human": {"host": "human"}, "all -": {}}))
    assert night(job, ncbi) == 0
    fields = resources(tmp_path / "out/night")["counts.csv"]["schema"]["fields"]
    with (tmp_path / "out/night/counts.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert [field["name"] for field in fields] == header
    assert header[4:] == ["'=1+1", "'@human", "all -"]


PATTERNS = {
    "string": r"(?s).*",
    "integer": r"-?\d+",
    "number": r"-?\d+(\.\d+)?(e[+-]\d+)?",
    "boolean": "true",
    "date": r"\d{4}-\d\d-\d\d",
}


@pytest.mark.parametrize("path", ["summary.csv", "summary.tsv", "changes.csv"])
def test_every_cell_is_of_its_columns_type(path: str, out: Path) -> None:
    resource = resources(out)[path]
    seen = set()
    with (out / path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter=resource["dialect"]["delimiter"]):
            for field in resource["schema"]["fields"]:
                value, constraints = row[field["name"]], field.get("constraints", {})
                assert value or not constraints.get("required"), field["name"]
                if value:
                    seen.add(field["type"])
                    assert re.fullmatch(PATTERNS[field["type"]], value), (field["name"], value)
                    assert value in constraints.get("enum", [value])
    assert seen == ({"string", "integer", "number"} if path == "changes.csv" else set(PATTERNS))


def test_it_is_one_of_the_nights_files_and_holds_nothing_of_the_night(out: Path) -> None:
    manifest = json.loads((out / "run.json").read_text())
    assert "datapackage.json" in manifest["files"]
    text = (out / "datapackage.json").read_text()
    assert manifest["run_id"] not in text
    assert manifest["today"] not in text


def a_job(*names: str, name: str = "Watch") -> Job:
    return Job(Path("j.yaml"), name, [], (), OutputSettings(Path("out"), names))


def test_only_delimited_files_are_described() -> None:
    described = [one["path"] for one in datapackage(a_job("xlsx", "tsv", "parquet"))["resources"]]
    assert described == ["summary.tsv", "changes.csv"]
    assert [one["path"] for one in datapackage(a_job("jsonl"))["resources"]] == ["changes.csv"]


def test_names_are_what_the_specification_allows() -> None:
    package = datapackage(a_job("csv", "tsv", name="My.Job_1-X"))
    assert all(re.fullmatch(r"[a-z0-9._/-]+", one["name"]) for one in (package, *package["resources"]))


def test_words_of_change_are_those_of_the_code() -> None:
    counts, days = (None, 0, 7, 8), ("2026-11-01", "2026-11-02")
    found = {"removed"}  # of rows that are not in the job, and have no verdict
    found |= {
        kind_of_change(Verdict("ok", 7), Past(is_next_window=True)),
        kind_of_change(Verdict("ok", 7), Past(is_refiltered=True)),
        kind_of_change(Verdict("ok", 7, "", None, 9), Past(last_status="suspect"), is_accepted=True),
    }
    before = (None, *STATUSES)
    for status, count, day, last_status, last in product(STATUSES, counts, days, before, counts):
        summary = None if count is None else Summary(count, resource_updated_on=day)
        past = Past(None if last is None else Believed("2026-11-01", "", last, days[0], last), last_status)
        found.add(kind_of_change(Verdict(status, count, "", summary, last), past))
    assert found == {"", *CHANGES}
