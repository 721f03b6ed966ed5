"""`batchsum accept`: a user believes what NCBI said last of some rows."""

import argparse

from batchsum.cli.log import configure
from batchsum.run.accept import accept_rows
from batchsum.run.signals import Signals
from batchsum.store.directory import state_of


def accept_command(arguments: argparse.Namespace) -> int:
    """`batchsum accept OUT TAXON[/SET]...`: publish the last night again with these rows believed.

    Prints what is believed; the exit code is the night's.
    """
    state_of(arguments.out)  # before a log is begun in somebody's directory
    configure(verbose=False, file=arguments.out / "batchsum.log", json_lines=False)
    with Signals():
        outcome, accepted = accept_rows(arguments.out, arguments.names, arguments.note or "")
    for name, level in accepted.items():
        print(f"{name}: {level}")
    return outcome.exit_code
