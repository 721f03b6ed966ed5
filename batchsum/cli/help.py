"""What `--help` says below the options: examples, exit codes, files. Enough to do without any other page.

The words are plain text in `data/help`, and nothing is imported: `--help` answers at once.
"""

_WORDS = __file__.removesuffix("help.py") + "data/help/"


def _text(name: str) -> str:
    with open(_WORDS + name, encoding="utf-8") as file:  # noqa: PTH123  the import of pathlib takes longer than this
        return file.read()


EXIT_CODES = dict(line.split("\t") for line in _text("exit_codes.tsv").splitlines())
FILES = dict(line.split("\t") for line in _text("files.tsv").splitlines())
"""What a run leaves in its output directory."""


def epilog(command: str) -> str:
    """What stands below the options of a command; of the program itself where `command` is empty."""
    codes = _table("exit codes", EXIT_CODES)
    match command:
        case "":
            return f"{_text('batchsum.txt')}\n{codes}"
        case "run":
            return "\n".join([_text("run.txt"), _table("files in the output directory", FILES), codes])
        case "check" | "init" | "completion":
            return _text(f"{command}.txt")
    return ""


def _table(title: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join([f"{title}:", *(f"  {name.ljust(width)}{about}" for name, about in rows.items()), ""])
