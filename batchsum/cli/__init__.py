"""The command line: parses, calls, prints, and turns every error into one line and its exit code.

Nothing heavy is imported before a command needs it: `--version` and `--help` answer at once.
"""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from batchsum.version import __version__

if TYPE_CHECKING:
    from batchsum.errors import JobFileError

_USAGE = 2
_BUG = 1
_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


def entry() -> NoReturn:
    """What the `batchsum` command calls. From its first line to its last a stop has its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: os._exit(128 + number))
    try:
        code = main()
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Whoever read our output has gone, as `head` does: no reason to complain.
        code = 0 if isinstance(error, BrokenPipeError) else _output_lost(error)
    # What is left is the interpreter's own end, in which a stop would look like a run that was cut off.
    with suppress(OSError, ValueError, AttributeError):  # closed, lost, or never there
        sys.stderr.flush()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code of the contract."""
    argv = sys.argv[1:] if argv is None else argv
    if list(argv) == ["--version"]:  # the parser would take longer than all the rest
        print(f"batchsum {__version__}")
        return 0
    try:
        arguments = _parser(argv).parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else _USAGE
    from batchsum.cli.terminal import failure, is_watched, say
    from batchsum.errors import BatchsumError, JobFileError

    try:
        code: int = arguments.command(arguments)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None and error.errno in _LOST:
            raise  # what was printed could not be written; `entry` knows what to do
        return _report_bug(error)
    except KeyboardInterrupt:
        return 130
    except JobFileError as error:
        # Each problem begins with file:line:column, as editors and people jump to it.
        say(_with_lines(error) if is_watched() else str(error))
        return error.exit_code
    except BatchsumError as error:
        say(failure(error))
        return error.exit_code
    except Exception as error:
        return _report_bug(error)
    return code


def _output_lost(error: OSError) -> int:
    from batchsum.cli.terminal import say
    from batchsum.errors import OutputError

    say(f"batchsum: standard output: {error.strerror}")
    return OutputError.exit_code


def _with_lines(error: "JobFileError") -> str:
    import shutil

    from batchsum.cli.terminal import with_excerpts

    return with_excerpts(error.problems, shutil.get_terminal_size().columns)


def _report_bug(error: Exception) -> int:
    import logging

    from batchsum.cli.terminal import say

    logger = logging.getLogger("batchsum")
    if logger.handlers:
        logger.critical("a bug in batchsum", exc_info=error)
        where = "the log has the traceback"
    elif os.environ.get("BATCHSUM_DEBUG"):
        import traceback

        where = f"this is the traceback\n{''.join(traceback.format_exception(error))}"
    else:
        where = "BATCHSUM_DEBUG=1 shows the traceback"
    say(f"batchsum: a bug: {type(error).__name__}; {where}")
    return _BUG


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    # Prefixes stay unknown: `--api-key X` must not come to mean `--api-key-file X`.
    parser = argparse.ArgumentParser(
        prog="batchsum",
        description="Ask NCBI how many virus genomes there are for every taxon and filter set of a list.",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asks_for_help = "-h" in argv or "--help" in argv
    if asks_for_help:
        from batchsum.cli.help import epilog

        parser.epilog = epilog("")
    parser.add_argument("--version", action="version", version=f"batchsum {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, about, command in _COMMANDS:
        sub = commands.add_parser(
            name, help=about, description=about, allow_abbrev=False, formatter_class=parser.formatter_class
        )
        if name in argv:  # nobody asks for the options of the others
            from batchsum.cli import options

            getattr(options, name)(sub)
            sub.epilog = epilog(name) if asks_for_help else None
        sub.set_defaults(command=command)
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """The parser with the options of every command."""
    return _parser([name for name, *_ in _COMMANDS])


def _run(arguments: argparse.Namespace) -> int:
    from batchsum.cli.run import run

    return run(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from batchsum.cli.check import check

    return check(arguments)


def _merge(arguments: argparse.Namespace) -> int:
    from batchsum.cli.run import merge

    return merge(arguments)


def _demo(arguments: argparse.Namespace) -> int:
    from batchsum.cli.demo import demo

    return demo(arguments.out)


def _serve(arguments: argparse.Namespace) -> int:
    from batchsum.cli.serve import serve

    return serve(arguments)


def _init(arguments: argparse.Namespace) -> int:
    from batchsum.cli.init import told, write_starter

    print("\n".join(told(write_starter(arguments.directory))))
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    from batchsum.cli.completion import completion

    sys.stdout.write(completion(whole_parser(), arguments.shell))
    return 0


def _history(arguments: argparse.Namespace) -> int:
    from batchsum.cli.history import history

    for piece in history(arguments.out, nights=arguments.nights, form=arguments.format):
        sys.stdout.write(piece)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from batchsum.cli.history import report

    print(report(arguments.out))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from batchsum.cli.history import explain

    sys.stdout.write(explain(arguments.out, arguments.taxon, arguments.filter_set, nights=arguments.nights))
    return 0


def _accept(arguments: argparse.Namespace) -> int:
    from batchsum.cli.accept import accept

    return accept(arguments)


def _probe(arguments: argparse.Namespace) -> int:
    from batchsum.cli.probe import probe, server_to_probe
    from batchsum.config.api_key import find_api_key

    base_url = server_to_probe(arguments.base_url)
    api_key = find_api_key(arguments.api_key_file, None)
    return probe(base_url, api_key, arguments.out, show=print, tell=lambda line: print(line, file=sys.stderr))


def _schedule(arguments: argparse.Namespace) -> int:
    from batchsum.cli.schedule import cron_text, entry, systemd_text, write_units
    from batchsum.config.load import load_job
    from batchsum.errors import UsageError

    if arguments.out is not None and arguments.cron:
        raise UsageError("schedule --cron prints a line and writes no files; leave --out away")
    found = entry(load_job(arguments.job), at=arguments.at, key_file=arguments.api_key_file)
    if arguments.out is not None and arguments.systemd:
        write_units(found, arguments.out)
    else:
        sys.stdout.write(cron_text(found) if arguments.cron else systemd_text(found))
    return 0


_COMMANDS = (
    ("run", "one night: plan, ask, judge, publish the table", _run),
    ("check", "everything that can be known of a job before asking", _check),
    ("explain", "everything known of one row", _explain),
    ("accept", "believe what NCBI said last of some rows, and publish the last night again", _accept),
    ("history", "counts of the last nights", _history),
    ("report", "the HTML report again, from the store", _report),
    ("schedule", "text for cron or systemd, ready to install", _schedule),
    ("merge", "one table out of the shards of a job", _merge),
    ("probe", "a dozen questions that settle what is not known of the server", _probe),
    ("init", "a commented job file, and its JSON Schema for editors", _init),
    ("completion", "completion of commands and options, for a shell to read", _completion),
    ("demo", "the sample job, two nights, against the embedded server; needs no network", _demo),
    ("serve", "the embedded NCBI-compatible server, in the foreground", _serve),
)
