"""What is checked before a commit, on a push and by hand is the same."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RUN = (ROOT / ".ci/run").read_text(encoding="utf-8")


def loaded(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_a_commit_is_asked_what_the_first_step_of_ci_asks() -> None:
    (step,) = re.findall(r'^  PATH="\$work/dev/bin:\$PATH"\n(.*?)^\)', RUN, re.MULTILINE | re.DOTALL)
    asked = [line.strip() for line in step.splitlines()]
    (local,) = loaded(".pre-commit-config.yaml")["repos"]
    assert asked == [hook["entry"] for hook in local["hooks"]]
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in local["hooks"])


def test_a_push_runs_ci_and_the_readmes_command_on_every_other_python() -> None:
    jobs = loaded(".github/workflows/tests.yml")["jobs"]
    assert jobs["everything"]["steps"][-1] == {"run": ".ci/run"}
    command = jobs["tests"]["steps"][-1]["run"]
    assert f"\n{command}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert shlex.split(command)[-2:] == ["-m", "pytest"]
    first = jobs["everything"]["steps"][1]["with"]["python-version"]
    pythons = [first, *jobs["tests"]["strategy"]["matrix"]["python"]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={first}"
    named = [word for word in project["classifiers"] if re.fullmatch(r".* :: 3\.\d+", word)]
    assert [name.rpartition(" ")[2] for name in named] == pythons


def test_ci_tests_files_that_exist() -> None:
    named = re.findall(r"tests/\S+\.py", RUN)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
