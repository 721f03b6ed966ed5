"""What `batchsum init` leaves: a job that runs as it is, and the schema by which an editor knows its keys.

Nothing that is there already is written over.
"""

import argparse
import json
from pathlib import Path

from batchsum.config.schema import SCHEMA_FILE, job_schema
from batchsum.errors import UsageError
from batchsum.store.directory import output_errors

JOB_FILE = "job.yaml"


def init_command(arguments: argparse.Namespace) -> int:
    """`batchsum init [DIR]`: write both files into the directory, which is made where it is missing.

    UsageError, and nothing is written, where one of them is there already.
    """
    directory = arguments.directory
    schema = json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n"
    texts = {directory / JOB_FILE: starter_job(), directory / SCHEMA_FILE: schema}
    with output_errors(directory):
        # A link that leads nowhere does not exist, and is somebody's all the same.
        if there := [str(path) for path in texts if path.exists() or path.is_symlink()]:
            raise UsageError(f"{' and '.join(there)}: there already, and left alone; name another directory")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for path, text in texts.items():
                with path.open("x", encoding="utf-8") as file:  # x: what came since the check is not written over
                    file.write(text)
        except FileExistsError:
            raise UsageError(f"{directory}: something else has been put there; name another directory") from None
    print(*texts, f"next: batchsum check {directory / JOB_FILE}", sep="\n")
    return 0


def starter_job() -> str:
    """The commented job file."""
    return (Path(__file__).parent / "data" / "starter.yaml").read_text(encoding="utf-8")
