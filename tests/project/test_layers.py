"""The house: imports run downward only, and each layer keeps to what it may know."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "batchsum"

# From the ground up: a module may import those of earlier lines, and of its own.
LAYERS = """
errors text version
model
ncbi store
config output
notify
run
cli
__main__
""".strip().splitlines()

ASYNC = {
    *("cli.check", "cli.demo", "cli.probe", "cli.serve", "ncbi.client", "ncbi.connector", "ncbi.http", "ncbi.outage"),
    *("ncbi.pacing", "ncbi.pacing_redis", "notify.channels", "notify.notifier", "run.ask", "run.signals"),
}


def modules() -> dict[str, set[str]]:
    """Each module of the package with the package's modules it imports anywhere; a sub-package is one module."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found.setdefault(name, set()).update(_imported(path) - {name})
    return found


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "batchsum":
            names |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("batchsum."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("batchsum.")}
    return names


def test_every_module_has_its_layer_and_imports_downward() -> None:
    level = {name: number for number, line in enumerate(LAYERS) for name in line.split()}
    upward = [
        f"{name} imports {other}"
        for name, imported in modules().items()
        for other in imported
        if name not in ("__init__", "local_ncbi")
        and level[name] < level.get(other, len(LAYERS) if other != "local_ncbi" else -1)
    ]
    assert upward == []
    assert modules().keys() - level.keys() == {"__init__", "local_ncbi"}


def test_the_embedded_server_knows_nothing_of_the_client() -> None:
    assert modules()["local_ncbi"] <= {"model"}


def test_only_named_modules_know_asyncio() -> None:
    users = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "local_ncbi")
        and any(
            isinstance(node, ast.Import) and any(alias.name == "asyncio" for alias in node.names)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert users == ASYNC


def test_only_the_command_line_exits() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).as_posix() not in ("cli/__init__.py", "run/signals.py"):
            assert "sys.exit" not in path.read_text(encoding="utf-8"), path
