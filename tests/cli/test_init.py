"""`batchsum init`: a job that runs as it is, a schema that knows every job that loads, and nothing written over."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchsum.cli import main
from batchsum.cli.init import starter_job
from batchsum.config.load import load_job
from batchsum.config.schema import JOB as JOB_KEYS
from batchsum.config.schema import job_schema
from tests.builders.jobs import rows
from tests.fakes.local_ncbi_server import serving

ROOT = Path(__file__).parents[2]


class _Core(yaml.SafeLoader):
    """YAML as editors read it (1.2): a date is text, and so is `no`."""


_Core.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Core.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), ["t", "f"])


def as_an_editor_reads(text: str) -> Any:
    return yaml.load(text, _Core)


def complaints(text: str) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    validator = jsonschema.Draft7Validator(job_schema())
    return [error.json_path for error in validator.iter_errors(as_an_editor_reads(text))]


def sample_jobs() -> list[Path]:
    found = [path for path in sorted(ROOT.glob("configs/**/*.yaml")) if path.name not in ("meta.yaml", "config.yaml")]
    return [*found, ROOT / "batchsum/cli/data/demo.yaml", ROOT / "batchsum/cli/data/starter.yaml"]


def with_every_key(text: str) -> str:
    """The job with the keys that a bare # switches off."""
    return re.sub(r"^( *)#(?=[a-z_]+:)", r"\1", text, flags=re.MULTILINE)


def test_init_leaves_a_job_that_loads_and_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "new" / "watch"
    assert main(["init", str(directory)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == [f"{directory}/job.yaml", f"{directory}/batchsum.schema.json"]
    assert told[2] == f"next: batchsum check {directory}/job.yaml"
    assert sorted(path.name for path in directory.iterdir()) == ["batchsum.schema.json", "job.yaml"]
    assert json.loads((directory / "batchsum.schema.json").read_text()) == job_schema()
    first = (directory / "job.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./batchsum.schema.json"
    assert main(["check", str(directory / "job.yaml")]) == 0


def test_the_job_runs_as_it_is(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    with serving() as server:
        assert main(["run", str(tmp_path / "job.yaml"), "--base-url", server.base_url, "--rps", "unlimited"]) == 0
    job = tmp_path / "job.yaml"
    assert len(rows(job)) == 9


def test_init_without_a_directory_means_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert (tmp_path / "job.yaml").is_file()


@pytest.mark.parametrize("name", ["job.yaml", "batchsum.schema.json"])
def test_nothing_is_written_over(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert f"{tmp_path / name}: there already, and left alone" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_a_link_that_leads_nowhere_is_left_alone_too(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert main(["init", str(tmp_path)]) == 2
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_a_directory_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "watch")]) == 6
    assert "Not a directory" in capsys.readouterr().err


def test_what_is_switched_off_in_the_job_is_right_when_switched_on(tmp_path: Path) -> None:
    (tmp_path / "taxa.csv").write_text("taxon\n11250\n")
    path = tmp_path / "job.yaml"
    path.write_text(with_every_key(starter_job()))
    job = load_job(path)
    assert len(job.filter_sets) == 6
    assert job.output.formats == ("csv", "xlsx")
    assert job.notify.webhook_env == "SLACK_WEBHOOK"


@pytest.mark.parametrize("path", sample_jobs(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_schema_takes_every_sample_job(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert complaints(text) == []
    assert complaints(with_every_key(text)) == []


def test_the_schema_is_valid_itself() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    jsonschema.Draft7Validator.check_schema(job_schema())


JOB = "version: 1\ntaxa: [11320]\n"


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\ntaxa: [11320, Influenza A virus, {taxon: 11250, label: RSV, guards: {max_drop: 5 %}}]\n",
        "version: 1\ntaxa_files: [a.csv]\n",
        f"{JOB}filter_sets:\n  all:\n  one: {{accessions: NC_038294.1, aux_report: ANNOTATION}}\n",
        f"{JOB}filter_sets: {{m: {{matrix: {{include_sequence: [[GENOME, CDS], PROTEIN], complete_only: [no]}}}}}}\n",
        f"{JOB}filter_sets: {{w: {{windows: {{every: 2w, last: 3}}}}, b: {{released_between: [2025-01-01, 7d]}}}}\n",
        f"{JOB}api: {{requests_per_second: 2.5, timeout: 90s, base_url: https://e.org/v2}}\n",
        f"{JOB}api:\noutput:\nguards:\nnotify: {{on_change: [hook, 3]}}\n",
    ],
)
def test_the_schema_takes_what_loads(text: str) -> None:
    assert complaints(text) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("version: 2\ntaxa: [1]\n", "$.version"),
        ("version: 1\n", "$"),
        (f"{JOB}filter_set: {{}}\n", "$"),
        ("version: 1\ntaxa: [{label: RSV}]\n", "$.taxa[0]"),
        ("version: 1\ntaxa: [[1]]\n", "$.taxa[0]"),
        (f"{JOB}api: {{workers: 0}}\n", "$.api"),
        (f"{JOB}api: {{timeout: 60}}\n", "$.api"),
        (f"{JOB}output: {{formats: [pdf]}}\n", "$.output"),
        (f"{JOB}guards: {{max_drop: 0.2}}\n", "$.guards"),
        (f"{JOB}filter_sets: {{a: {{hots: human}}}}\n", "$.filter_sets.a"),
        (f"{JOB}filter_sets: {{a: {{released_between: [2025-01-01]}}}}\n", "$.filter_sets.a"),
        (f"{JOB}filter_sets: {{a: {{complete_only: maybe}}}}\n", "$.filter_sets.a"),
        (f"{JOB}notify: {{on_change: hook}}\n", "$.notify"),
    ],
)
def test_the_schema_shows_what_does_not_load(text: str, where: str) -> None:
    found = complaints(text)
    assert found
    assert all(path.startswith(where) for path in found)


def test_every_key_has_words_for_the_editor() -> None:
    def keys(value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            yield from value.get("properties", {}).items()
            for inner in value.values():
                yield from keys(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from keys(inner)

    described = {name: property_["description"] for name, property_ in keys(job_schema())}
    assert JOB_KEYS.keys.keys() <= described.keys()
    assert all(text.endswith(".") for text in described.values())
    assert '"title": "' not in json.dumps(job_schema()).replace('"title": "A batchsum job"', "")
