"""The house: files that import each other in no circle, short functions, and each name in one place."""

import ast
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "batchsum"
LONGEST_FUNCTION = 60


@cache
def trees() -> dict[str, ast.Module]:
    """The package's modules by their dotted names."""
    return {
        path.relative_to(PACKAGE.parent).with_suffix("").as_posix().removesuffix("/__init__").replace("/", "."): (
            ast.parse(path.read_text(encoding="utf-8"))
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imported_at_the_top(tree: ast.Module) -> set[str]:
    """The package's modules that this one imports when it is imported itself."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in trees() else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & trees().keys()


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {name: imported_at_the_top(tree) - {name} for name, tree in trees().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


def test_no_public_name_is_defined_in_two_files() -> None:
    defined = Counter(
        node.name
        for tree in trees().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    )
    assert {name for name, times in defined.items() if times > 1} == set()


def test_no_function_is_longer_than_a_screen() -> None:
    lines = {
        f"{name}.{node.name}": node.end_lineno - node.lineno + 1
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name: count for name, count in lines.items() if count > LONGEST_FUNCTION} == {}
