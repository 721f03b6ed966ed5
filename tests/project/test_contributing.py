"""CONTRIBUTING.md is true: what it names exists, and where it says a thing is added is where such things stand."""

import ast
import re
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from batchsum.cli import COMMANDS
from batchsum.config.schema import FILTER_SET
from batchsum.local_ncbi import question
from batchsum.local_ncbi.records import read_table
from batchsum.model.filters import FILTER_COLUMNS, FILTER_NAMES, FILTER_PARSERS, FilterSet
from batchsum.model.job import FORMATS
from batchsum.model.queries import Request
from batchsum.ncbi.refusals import error_in_words
from batchsum.output.published import READABLE
from batchsum.output.report.digest import REASONS
from batchsum.output.table import SUMMARY
from batchsum.run.guards import includes
from tests.project.test_docs import guards_that_speak

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PARAMETERS = "local_ncbi/data/parameters.tsv"
FOUNDATION = {"atomic", "errors", "text", "version"}
"""Files that every room may import: the page says so once."""


def found(place: str) -> Path | None:
    """The file or folder of this name, from the top of the project or of the package."""
    return next((path for path in (ROOT / place, ROOT / "batchsum" / place) if path.exists()), None)


def names_in(path: Path) -> set[str]:
    """What a file defines: its functions and classes, methods with their class in front, and names in capitals."""
    names = set[str]()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{one.name}" for one in inner}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def lines_with_names() -> list[str]:
    return [line for line in PAGE.splitlines() if any(re.search(r"\.py\b", word) for word in quoted(line))]


def test_every_path_exists() -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    named = [
        word for word in quoted(PAGE) if re.fullmatch(r"[\w.\-/]+\.(py|md|yaml|toml|tsv|sql|txt)|[\w.\-/]+/", word)
    ]
    assert len(named) > 50
    assert [word for word in (*linked, *named) if found(word) is None] == []


@pytest.mark.parametrize("line", lines_with_names())
def test_every_name_is_in_a_file_of_its_line(line: str) -> None:
    """`name()`, `Class.name()`, `Class` and `NAME` stand in one of the Python files that are named beside them."""
    words = quoted(line)
    paths = [path for word in words if word.endswith(".py") and (path := found(word)) is not None]
    there = set[str]().union(*map(names_in, paths))
    named = [word.removesuffix("()") for word in words if re.fullmatch(r"[\w.]+\(\)|_?[A-Z]\w{3,}", word)]
    assert [name for name in named if name not in there] == []


def test_no_name_stands_without_its_file() -> None:
    alone = [line for line in PAGE.splitlines() if line not in lines_with_names()]
    assert [word for line in alone for word in quoted(line) if re.fullmatch(r"[\w.]+\(\)", word)] == []


def test_the_rooms_are_those_of_the_import_contract() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = [set(layer.split(" | ")) for layer in contracts[0]["layers"]]
    told = {room: set(quoted(may)) for room, may in re.findall(r"^\| `(\w+)/` \|.*\|([^|]*)\|$", PAGE, re.MULTILINE)}
    rooms = set[str]().union(*layers) - FOUNDATION - {"__main__"}
    assert set(told) == rooms
    for number, layer in enumerate(layers):
        for room in layer & rooms:
            below = set[str]().union(*layers[number + 1 :]) - FOUNDATION
            assert told[room] == below - forbidden(room, contracts), room


def forbidden(room: str, contracts: Iterable[dict[str, Any]]) -> set[str]:
    """What the contracts keep from a room, beyond the floor that it stands on."""
    found = set[str]()
    for one in contracts:
        excused = any(line.startswith(f"batchsum.{room}.") for line in one.get("ignore_imports", ()))
        if {f"batchsum.{room}", "batchsum.*"} & {*one.get("source_modules", ())} and not excused:
            found |= {name.removeprefix("batchsum.") for name in one["forbidden_modules"]}
    return found


def test_the_commands_of_the_page_exist() -> None:
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    setting_up, testing = blocks[:2]
    assert set(re.findall(r"\.\[(\w+)\]", setting_up)) <= PROJECT["project"]["optional-dependencies"].keys()
    assert "-m pytest" in testing
    modules = re.findall(r"python -m ([\w.]+)", PAGE)
    assert {"tests.chaos", "tests.benchmarks", "tests.builders.reference_tables"} <= set(modules)
    assert all(find_spec(module) for module in modules if module.startswith("tests."))


# Where something is added: what is forgotten at one of its places is missed here, and the message names the file.


def test_a_filter_stands_at_each_of_its_places() -> None:
    assert {*FilterSet._fields} == {*FILTER_COLUMNS}
    assert FILTER_PARSERS.keys() == {*FILTER_NAMES}, "model/filters.py, FILTER_PARSERS"
    own_keys = {"matrix", "windows", "guards", "released_between"}
    assert FILTER_SET.keys.keys() - own_keys == {*FILTER_NAMES}, "config/data/job_keys.tsv, section filters"
    columns = [(one.name, one.kind) for one in SUMMARY if one.name in FILTER_COLUMNS]
    kinds = {bool: "boolean", type(None): "date"}
    told = [(name, kinds.get(type(absent), "string")) for name, absent in FilterSet._field_defaults.items()]
    assert columns == told, "output/columns.tsv, table summary"
    assert question.parameters("accessions", "filters", "package").keys() == {*FILTER_NAMES}, PARAMETERS
    without = [
        row["parameter"] for row in read_table("parameters.tsv") if row["group"] == "filters" and not row["option"]
    ]
    assert without == [], f"{PARAMETERS}, column option"


@pytest.mark.parametrize("name", FILTER_NAMES)
def test_a_refusal_that_names_a_filter_is_about_the_query(name: str) -> None:
    asked = Request("11320", FilterSet(host="unicorn"))
    assert error_in_words(400, f"{name} is wrong: unicorn", asked=asked).reason == "bad_request"


@pytest.mark.parametrize("name", [one for one in FILTER_COLUMNS if one not in ("include_sequence", "aux_report")])
def test_a_row_without_a_filter_is_wider_than_the_row_with_it(name: str) -> None:
    by_kind: dict[type, Any] = {bool: True, type(None): "2025-01-15", tuple: ("MN908947.3",), str: "CA"}
    narrow = FilterSet(**{name: by_kind[type(FilterSet._field_defaults[name])]})
    assert includes(FilterSet(), narrow), "run/guards.py, _covers()"
    assert not includes(narrow, FilterSet()), "run/guards.py, _covers()"


def test_the_page_of_a_night_has_advice_about_every_guard() -> None:
    assert guards_that_speak() <= REASONS.keys(), "output/report/reasons.tsv"


def test_a_command_is_a_line_its_options_and_a_function() -> None:
    table = (ROOT / "batchsum/cli/data/options.tsv").read_text(encoding="utf-8").splitlines()[1:]
    with_options = {name for line in table for name in line.split("\t")[0].split()}
    assert with_options == {name for name, *_ in COMMANDS}, "cli/data/options.tsv"
    for _, _, place in COMMANDS:
        module, _, function = place.partition(":")
        assert function in names_in(ROOT / f"batchsum/cli/{module}.py")


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_stands_at_each_of_its_places(name: str) -> None:
    assert f".{name}" in READABLE, "output/published.py, _READERS"
    lists = {
        "batchsum/cli/data/starter.yaml": rf"^# Formats of the table.*\b{name}\b",
        "configs/nightly.yaml": rf"^  formats: .*#.*\b{name}\b",
        "batchsum/cli/data/help/files.txt": rf"^  summary\.csv .*\.{name}\b|^  summary\.{name}\b",
        "configs/README.md": rf"^\| `summary\.csv` .*\.{name}\b|^\| `summary\.{name}\b",
    }
    texts = {place: (ROOT / place).read_text(encoding="utf-8") for place in lists}
    missing = [place for place, line in lists.items() if not re.search(line, texts[place], re.MULTILINE)]
    assert not missing, ", ".join(missing)
