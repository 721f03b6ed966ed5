"""What is installed, and how others package it: wheel and sdist, citation, bioconda recipe, container."""

import email
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from datetime import date
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml

import batchsum

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist, built from this tree without a network."""
    for name in ("build", "hatchling"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    folder = tmp_path_factory.mktemp("dist")
    env = {**os.environ, "PIP_NO_INDEX": "1", "SOURCE_DATE_EPOCH": "1795392000"}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def wheel_names(built: Path) -> set[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        return {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_whole_package_and_nothing_else(built: Path) -> None:
    here = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "batchsum").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wheel_names(built) == here
    assert {"batchsum/py.typed", "batchsum/cli/data/starter.yaml", "batchsum/cli/data/taxa.csv"} <= here
    assert any(name.endswith(".j2") for name in here)


def metadata(built: Path) -> Message:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
        return email.message_from_bytes(wheel.read(name))


def test_the_wheel_says_what_it_is(built: Path) -> None:
    found = metadata(built)
    assert (found["Name"], found["Version"]) == ("batchsum", batchsum.__version__)
    assert found["License-Expression"] == "MIT"
    assert found["Requires-Python"] == ">=3.11"
    assert set(found.get_all("Provides-Extra", [])) == PROJECT["optional-dependencies"].keys()
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        entries = next(wheel.read(name) for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"batchsum = batchsum.cli:entry" in entries


def test_the_program_runs_from_the_wheel(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for words in (["--version"], ["init", "watch"], ["check", "watch/job.yaml"]):
        done = subprocess.run(
            [sys.executable, "-m", "batchsum", *words],
            capture_output=True, text=True, timeout=60, check=False, env=env, cwd=tmp_path,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "watch" / "batchsum.schema.json").is_file()


def test_the_sdist_holds_what_the_tests_and_the_docs_need(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "PKG-INFO"} <= names
    assert {"configs/nightly.yaml", "sample_inputs/taxa.csv", "tests/conftest.py"} <= names
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|\.hypothesis|\.sqlite3|/out/", name)]


def test_the_citation_is_complete_and_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": "The batchsum authors"}]
    assert citation["version"] == batchsum.__version__
    assert citation["license"] == PROJECT["license"]
    assert isinstance(citation["date-released"], date)
    known = {
        "cff-version", "message", "title", "abstract", "type", "authors", "version", "date-released", "license",
        "keywords", "url", "repository-code", "doi", "identifiers", "references", "preferred-citation", "contact",
    }  # fmt: skip
    assert citation.keys() <= known


# The recipe


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    from jinja2 import StrictUndefined, Template

    text = (ROOT / "configs/bioconda/meta.yaml").read_text(encoding="utf-8")
    filled = Template(text, undefined=StrictUndefined).render(
        PYTHON="$PYTHON", pin_subpackage=lambda name, max_pin: f"{name} pinned to {max_pin}"
    )
    loaded: dict[str, Any] = yaml.safe_load(filled)
    return loaded


def conda_name(requirement: str) -> str:
    """`PyYAML>=6.0.1` as conda writes it."""
    name, bound = re.fullmatch(r"([\w.-]+)(>=[\d.]+)", requirement).groups()  # type: ignore[union-attr]
    return f"{name.lower()} {bound}"


def test_the_recipe_keeps_biocondas_rules(recipe: dict[str, Any]) -> None:
    build, about = recipe["build"], recipe["about"]
    assert build["noarch"] == "python"
    assert build["number"] == 0
    assert build["run_exports"] == ["batchsum pinned to x.x"]
    assert "--no-deps" in build["script"]
    assert "--no-build-isolation" in build["script"]
    # Until a release is published the recipe builds the checkout it lies in.
    assert (ROOT / "configs" / "bioconda" / recipe["source"]["path"]).resolve() == ROOT.resolve()
    assert recipe["package"]["version"] == batchsum.__version__
    assert about["license"] == PROJECT["license"]
    assert (ROOT / about["license_file"]).is_file()
    assert 0 < len(about["summary"]) <= 120
    assert recipe["test"]["commands"]
    assert not {"setuptools", "compilers"} & {name.split()[0] for name in recipe["requirements"]["run"]}


def test_the_recipe_needs_what_the_project_needs(recipe: dict[str, Any]) -> None:
    assert recipe["package"] == {"name": "batchsum", "version": batchsum.__version__}
    python = f"python {PROJECT['requires-python']}"
    assert set(recipe["requirements"]["run"]) == {python, *map(conda_name, PROJECT["dependencies"])}
    assert set(recipe["requirements"]["host"]) == {
        python,
        "pip",
        *map(conda_name, PYPROJECT["build-system"]["requires"]),
    }
    extras = {conda_name(PROJECT["optional-dependencies"][name][0]) for name in ("parquet", "xlsx", "holdings")}
    extras.add(
        conda_name(PROJECT["optional-dependencies"]["redis"][0]).replace("redis >", "redis-py >")
    )  # its name there
    assert set(recipe["requirements"]["run_constrained"]) == extras
    assert recipe["build"]["entry_points"] == [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]


def test_the_recipe_claims_no_digest_of_a_file_that_does_not_exist(recipe: dict[str, Any]) -> None:
    digest = recipe["source"].get("sha256")
    assert digest is None or re.fullmatch(r"[0-9a-f]{64}", digest)
    if digest is None:
        assert "sha256   of the published" in (ROOT / "configs/bioconda/meta.yaml").read_text(encoding="utf-8")


def test_the_recipes_commands_need_no_network(recipe: dict[str, Any], tmp_path: Path) -> None:
    for line in recipe["test"]["commands"]:
        program, *words = line.split()
        assert program == "batchsum"
        done = subprocess.run(
            [sys.executable, "-m", "batchsum", *words], cwd=tmp_path, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, line


# The container


def test_the_container_is_pinned_and_nobody_in_particular() -> None:
    text = (ROOT / "configs/container/Containerfile").read_text(encoding="utf-8")
    steps = [line for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    images = [line.split()[1] for line in steps if line.startswith("FROM ")]
    assert images
    assert all(re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+", image) for image in images)
    assert "latest" not in text
    last = steps[max(number for number, line in enumerate(steps) if line.startswith("FROM ")) :]
    user = next(line.split()[1] for line in last if line.startswith("USER "))
    assert user not in ("0", "root")
    assert last.index(f"USER {user}") < next(i for i, line in enumerate(last) if line.startswith("ENTRYPOINT "))
    for line in steps:
        if line.startswith("COPY ") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1])
    assert f"batchsum:{batchsum.__version__}" in text
    assert not re.search(r"(ARG|ENV) .*(KEY|TOKEN|PASSWORD)", text)
