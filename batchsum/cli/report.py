"""`batchsum report`: the page of the last published night again, from the store alone."""

import argparse

from batchsum.errors import UsageError
from batchsum.output.files import PAGE
from batchsum.run.publish import publish_page_again
from batchsum.store.directory import held, output_errors, state_of


def report_command(arguments: argparse.Namespace) -> int:
    """`batchsum report OUT`; prints where the page is. UsageError where no night was published."""
    directory = arguments.out
    with output_errors(directory):
        state_of(directory)  # before the lock, which would make a state where there is none
        with held(directory) as store:
            if not publish_page_again(store, directory):
                raise UsageError(f"{directory}: no night was published here, or run.json is not of the last one")
    print(directory / PAGE)
    return 0
