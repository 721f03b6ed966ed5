"""The command line: parses, calls, prints, and turns every error into one line and its exit code.

Nothing heavy is imported before a command needs it: `--version` and `--help` answer at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from batchsum import __version__, options
from batchsum.errors import BatchsumError, JobFileError

_USAGE = 2
_BUG = 1


def entry() -> None:
    """What the `batchsum` command calls."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does: no reason to complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code of the contract."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else _USAGE
    try:
        code: int = arguments.command(arguments)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return 130
    except JobFileError as error:
        # Each line begins with file:line:column, as editors and people jump to it.
        print(error, file=sys.stderr)
        return error.exit_code
    except BatchsumError as error:
        print(f"batchsum: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        return _report_bug(error)
    return code


def _report_bug(error: Exception) -> int:
    import logging

    logging.getLogger("batchsum").critical("a bug in batchsum", exc_info=error)
    print(
        f"batchsum: a bug: {type(error).__name__} (the log has the traceback; BATCHSUM_DEBUG=1 shows it)",
        file=sys.stderr,
    )
    if os.environ.get("BATCHSUM_DEBUG"):
        raise error
    return _BUG


def _parser() -> argparse.ArgumentParser:
    # Prefixes stay unknown: `--api-key X` must not come to mean `--api-key-file X`.
    parser = argparse.ArgumentParser(
        prog="batchsum",
        description="Ask NCBI how many virus genomes there are for every taxon and filter set of a list.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"batchsum {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, about, add_options, command in _COMMANDS:
        sub = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        add_options(sub)
        sub.set_defaults(command=command)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from batchsum.commands import run

    return run(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from batchsum.commands import check

    return check(arguments)


def _demo(arguments: argparse.Namespace) -> int:
    from batchsum.demo import demo

    return demo(arguments.out)


def _serve(arguments: argparse.Namespace) -> int:
    from batchsum.commands import serve

    return serve(arguments)


def _history(arguments: argparse.Namespace) -> int:
    from batchsum.lookback import history

    for piece in history(arguments.out, nights=arguments.nights, form=arguments.format):
        sys.stdout.write(piece)
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from batchsum.lookback import explain

    sys.stdout.write(explain(arguments.out, arguments.taxon, arguments.filter_set, nights=arguments.nights))
    return 0


_COMMANDS = (
    ("run", "one night: plan, ask, judge, publish the table", options.run, _run),
    ("check", "everything that can be known of a job before asking", options.check, _check),
    ("explain", "everything known of one row", options.explain, _explain),
    ("history", "counts of the last nights", options.history, _history),
    ("demo", "the sample job, two nights, against the embedded server; needs no network", options.demo, _demo),
    ("serve", "the embedded NCBI-compatible server, in the foreground", options.serve, _serve),
)
