"""What `--help` says below the options: examples, exit codes, files. Enough to do without any other page.

The words are plain text in `data/help`, and nothing is imported: `--help` answers at once.
"""

_FOLDER = __file__.removesuffix("help.py") + "data/help/"
_PARTS = {
    "": ("batchsum", "exit_codes"),
    "run": ("run", "files", "exit_codes"),
    "check": ("check",),
    "init": ("init",),
    "completion": ("completion",),
}


def epilog(command: str) -> str:
    """What stands below the options of a command; of the program itself where `command` is empty."""
    return "\n".join(_text(part) for part in _PARTS.get(command, ()))


def _text(name: str) -> str:
    with open(f"{_FOLDER}{name}.txt", encoding="utf-8") as file:  # noqa: PTH123  pathlib takes longer than this
        return file.read()
