"""The command line: parse, call the command, and turn every error into words for people and an exit code.

Nothing heavy is imported before a command needs it: `--version` and `--help` answer at once.
"""

import argparse
import errno
import gc
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from batchsum.version import __version__

COMMANDS = (
    # name, what it does, and the function of batchsum/cli/ that does it; data/options.tsv has its options
    ("run", "ask for all rows of a job, and publish its table", "run:run_command"),
    ("check", "tell what is wrong with a job, what it will ask, and how long that takes", "check:check_command"),
    ("explain", "tell everything known of one row", "history:explain_command"),
    ("accept", "believe NCBI's latest counts of some rows, and publish that night again", "run:accept_command"),
    ("history", "show the counts of the last nights", "history:history_command"),
    ("report", "make report.html again", "run:report_command"),
    ("schedule", "print a crontab line, or a systemd service and timer", "schedule:schedule_command"),
    ("merge", "make one table out of the shards of a job", "run:merge_command"),
    ("probe", "ask a dozen questions, and write down how the server behaves", "probe:probe_command"),
    ("init", "write a commented job file, and its schema: editors complete and check its keys", "init:init_command"),
    ("completion", "print completion of commands and options for your shell", "completion:completion_command"),
    ("demo", "run the sample job for two nights against the embedded server; needs no network", "demo:demo_command"),
    ("serve", "run the embedded NCBI-compatible server", "serve:serve_command"),
)

_EPILOGS = {
    "": ("batchsum", "exit_codes"),
    "run": ("run", "files", "exit_codes"),
    **{name: (name,) for name in ("accept", "check", "init", "completion")},
}
"""What `--help` says below the options of a command, or of the program: texts of `data/help`. Enough to do without any
other page."""

_OUTPUT_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""What writing to standard output fails with; a command's own files have errors of their own."""


def entry() -> NoReturn:
    """What the `batchsum` program calls. From its first line to its last a stop has its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: os._exit(128 + number))
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  open for as long as the process lives
    # Rows stay until the end and hold no circles: to look through them after every 700 new objects is a tenth of a run.
    gc.set_threshold(50_000)
    code = main()
    # What is left is the interpreter's own end, in which a stop would look like a run that was cut off.
    with suppress(OSError, ValueError, AttributeError):  # closed, lost, or never there
        sys.stderr.flush()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command with `argv`, else the arguments of the process; the exit code of the contract."""
    with suppress(AttributeError, ValueError):  # a stream of somebody's own, or a closed one
        # A label, or the name of a directory, may hold what the terminal has no sign for.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _call(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # here, where it still can be told that the disk is full
    except (Exception, KeyboardInterrupt) as error:
        return _tell(error)
    return code


def _call(argv: Sequence[str]) -> int:
    if list(argv) == ["--version"]:  # the parser would take longer than all the rest
        print(f"batchsum {__version__}")
        return 0
    parser = _parser(argv)
    try:
        if argv and not argv[0].startswith("-") and argv[0] not in (names := [name for name, *_ in COMMANDS]):
            near = f"; write batchsum run {argv[0]}" if os.path.isfile(argv[0]) else _near(argv[0], names)  # noqa: PTH113
            parser.error(f"there is no command {argv[0]!r}{near}")
        arguments, unknown = parser.parse_known_args(argv)
        if unknown:
            word = unknown[0].partition("=")[0]  # what follows may be a key
            known = arguments.parser.option_names()
            near = "; write it behind the command" if word in known else _near(word, known)
            arguments.parser.error(f"unknown {word!r}{near}")
    except SystemExit as stop:  # after --help, and after what was said of a usage error
        return int(stop.code or 0)
    from pkgutil import resolve_name

    return int(resolve_name(f"batchsum.cli.{arguments.command}")(arguments))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the words of a command in two lines, and not all that could be written."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n  {self.prog} --help shows what to write\n")

    def option_names(self) -> Iterable[str]:
        return self._option_string_actions


def _near(word: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    # The same letters in another order are a slip too: `rnu`.
    near = [name for name in names if sorted(name) == sorted(word)] or get_close_matches(word, [*names], 1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _tell(error: BaseException) -> int:
    """Every error that ends a command comes here; it is told on stderr, and this is the exit code."""
    from shutil import get_terminal_size

    from batchsum.cli.terminal import failure, is_watched, say, with_excerpts
    from batchsum.errors import BatchsumError, JobFileError, OutputError

    match error:
        case KeyboardInterrupt():
            return 128 + signal.SIGINT
        case BrokenPipeError():
            return 0  # whoever read our output has gone, as `head` does: no reason to complain
        case JobFileError():
            # Each problem begins with file:line:column, as editors and people jump to it.
            say(with_excerpts(error.told, get_terminal_size().columns) if is_watched() else str(error))
        case BatchsumError():
            say(failure(error))
        case OSError() if error.filename is None and error.errno in _OUTPUT_LOST:
            say(f"batchsum: standard output: {error.strerror}")
            return OutputError.exit_code
        case _:
            say(f"batchsum: a bug: {type(error).__name__}; {_traceback(error)}")
            return 1
    return error.exit_code


def _traceback(error: BaseException) -> str:
    """Where the traceback of a bug is, or can be had; a user is not shown it unasked."""
    import logging
    import traceback

    log = logging.getLogger("batchsum")
    if log.handlers:
        log.critical("a bug in batchsum", exc_info=error)
        return "the log has the traceback"
    if os.environ.get("BATCHSUM_DEBUG"):
        return f"this is the traceback\n{''.join(traceback.format_exception(error))}"
    return "BATCHSUM_DEBUG=1 shows the traceback"


def whole_parser() -> argparse.ArgumentParser:
    """The parser with the options of every command."""
    return _parser([name for name, *_ in COMMANDS])


def _parser(argv: Sequence[str]) -> _Parser:
    """The parser for `argv`: of the commands that are not in it at most the names are known, which is faster."""
    # Prefixes stay unknown: `--api-key X` must not come to mean `--api-key-file X`.
    parser = _Parser(
        prog="batchsum",
        description="Ask NCBI how many virus genomes there are for every taxon and filter set of a list.",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asks_for_help = "-h" in argv or "--help" in argv
    parser.epilog = epilog("") if asks_for_help else None
    parser.add_argument("--version", action="version", version=f"batchsum {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = [command for command in COMMANDS if command[0] in argv]
    for name, about, place in COMMANDS if asks_for_help or not named else named:
        command = commands.add_parser(
            name, help=about, description=about, allow_abbrev=False, formatter_class=parser.formatter_class
        )
        command.set_defaults(command=place, parser=command)
        if name in argv:
            from batchsum.cli.options import add_options

            add_options(command, name)
            command.epilog = epilog(name) if asks_for_help else None
    return parser


def epilog(command: str) -> str:
    """What stands below the options of a command; of the program itself where `command` is empty."""
    texts = []
    for name in _EPILOGS.get(command, ()):
        # Not by pathlib, which takes longer to import than this to read.
        with open(f"{__path__[0]}/data/help/{name}.txt", encoding="utf-8") as file:  # noqa: PTH123
            texts.append(file.read())
    return "\n".join(texts)
