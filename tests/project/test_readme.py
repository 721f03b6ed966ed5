"""The README is true: its commands exist, its example runs, its tables are those of the code."""

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from batchsum import errors
from batchsum.cli import _parser, main
from batchsum.config.load import load_job
from batchsum.model.queries import STATUSES
from batchsum.output.table import CHANGES
from tests.builders import page_picture
from tests.fakes.local_ncbi_server import serving
from tests.project.test_docs import anchors

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "configs/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def subcommand(name: str) -> argparse.ArgumentParser:
    actions = _parser([name])._actions
    return next(action.choices[name] for action in actions if isinstance(action, argparse._SubParsersAction))


def command_lines() -> list[str]:
    inline = re.findall(r"`(batchsum [^`]+)`", README)
    fenced = [line for _, block in BLOCKS for line in block.splitlines() if line.startswith("batchsum ")]
    return [line.split("  #")[0] for line in inline + fenced]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_that_is_shown_exists(line: str) -> None:
    _, name, *words = shlex.split(line.replace("[", "").replace("]", ""))
    parser = subcommand(name)
    known = {option for action in parser._actions for option in action.option_strings}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_the_two_commands_stand_on_the_first_screen() -> None:
    first = "\n".join(README.splitlines()[:45])
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/batchsum demo\n" in first
    assert "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest\n" in first


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = next(block for _, block in BLOCKS if block.startswith("night of")).splitlines()
    pattern = re.compile(r"night of \d{4}-\d\d-\d\d: 141 rows, \d+ changed, \d+ s")
    assert all(pattern.fullmatch(line) for line in (*lines[:2], *shown[:2]))
    assert lines[2].split() == shown[2].split()
    assert [line.split()[:3] for line in lines[3:9]] == [line.split()[:3] for line in shown[3:9]]


def test_the_demo_asks_the_sample_list() -> None:
    assert (ROOT / "batchsum/cli/data/taxa.csv").read_bytes() == (ROOT / "sample_inputs/taxa.csv").read_bytes()


def block(language: str) -> str:
    return next(text for name, text in BLOCKS if name == language)


def test_the_job_that_is_shown_loads(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("".join(text for name, text in BLOCKS if name == "yaml"), encoding="utf-8")
    job = load_job(path)
    assert job.notify.on_change == ("python3", "tell_drops.py")
    assert [one.file for one in job.holdings.files] == ["ncbi/sars-cov-2.zip"]
    assert [one.taxon for one in job.taxa] == ["2697049", "Influenza A virus", "1335626"]
    assert [one.name for one in job.filter_sets] == ["all", "human", "this_week"]
    assert job.output.dir == tmp_path / "out" / "job"


def test_the_lists_that_are_shown_load(tmp_path: Path) -> None:
    sheet, plain = tmp_path / "list.csv", tmp_path / "taxa.txt"
    sheet.write_text(block("csv"), encoding="utf-8")
    plain.write_text("2697049\nInfluenza A virus\n", encoding="utf-8")
    first, second = load_job(sheet).taxa
    assert (first.taxon, first.label, first.sets and first.sets[0].filters.host) == ("2697049", "SARS-CoV-2", "human")
    assert (second.taxon, second.label, second.sets) == ("11320", "Influenza A", None)
    assert [one.taxon for one in load_job(plain).taxa] == ["2697049", "Influenza A virus"]


def test_the_python_that_is_shown_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)
    with serving() as server:
        job = f"{block('yaml')}api: {{base_url: '{server.base_url}', requests_per_second: unlimited}}\n"
        (tmp_path / "job.yaml").write_text(job, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path, env={**os.environ, "BATCHSUM_BASE_URL": server.base_url},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stderr == ""
    counts, answer = done.stdout.splitlines()
    assert ast.literal_eval(counts)["ok"] > 0
    assert answer.startswith("Summary(record_count=")


def test_the_exit_codes_are_those_of_the_errors() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+)", README, re.MULTILINE)}
    raised = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    assert raised <= told


def test_every_status_and_every_change_is_explained() -> None:
    told = set(re.findall(r"`(\w+)`", README))
    assert {*STATUSES, *CHANGES} <= told


def test_links_lead_somewhere() -> None:
    for target, _, anchor in (found.partition("#") for found in re.findall(r"\]\((?!https?:)([^)]+)", README)):
        assert (ROOT / target).exists(), target
        assert not anchor or anchor in anchors((ROOT / target).read_text(encoding="utf-8")), anchor


def test_the_picture_is_there_and_small() -> None:
    assert f"]({page_picture.PICTURE.relative_to(ROOT)})" in README
    data = page_picture.PICTURE.read_bytes()
    again = "python -m tests.builders.page_picture makes it anew"
    assert data.startswith(b"\x89PNG"), again
    assert len(data) <= page_picture.LARGEST, again


def test_it_is_read_in_one_go() -> None:
    assert len(README.splitlines()) <= 180
