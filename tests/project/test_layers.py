"""The house: imports run downward only, and each layer keeps to what it may know."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "batchsum"

ASYNC = {
    *("cli.check", "cli.demo", "cli.probe", "cli.serve", "ncbi.client", "ncbi.connector", "ncbi.http", "ncbi.outage"),
    *("ncbi.pacing", "ncbi.pacing_redis", "notify.channels", "notify.notifier", "run.ask", "run.signals"),
}


def test_imports_point_down() -> None:
    """What each room may import stands in pyproject.toml, under [tool.importlinter]."""
    # In a process of its own: it silences every log that there is.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
