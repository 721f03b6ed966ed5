"""`batchsum report`: the page of the last published night again, from the store alone."""

import argparse
from dataclasses import replace

from batchsum.errors import UsageError
from batchsum.output.files import PAGE, prepare, put_in_place, read_manifest
from batchsum.output.report.night import night_from_store
from batchsum.output.report.page import write_report
from batchsum.store.directory import held, output_errors, state_of
from batchsum.store.nights import Nights


def report_command(arguments: argparse.Namespace) -> int:
    """`batchsum report OUT`; prints where the page is. UsageError where no night was published."""
    directory = arguments.out
    with output_errors(directory):
        state_of(directory)  # before the lock, which would make a state where there is none
    with output_errors(directory), held(directory) as store:
        kept, manifest = Nights(store, 1), read_manifest(directory)
        if not kept.runs or manifest.get("run_id") != kept.runs[-1].run_id:
            raise UsageError(f"{directory}: no night was published here, or run.json is not of the last one")
        night = night_from_store(store, kept.runs[-1], manifest)
        publication = prepare(
            directory,
            "report",
            {PAGE: lambda path: write_report(path, night)},
            lambda files: {**manifest, "files": {**manifest["files"], **files}},
        )
        put_in_place(directory, replace(publication, stale=[]))  # the tables that lie there stay as they are
    print(directory / PAGE)
    return 0
