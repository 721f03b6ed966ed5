"""What `batchsum init` leaves: a job that runs as it is, and the schema by which an editor knows its keys.

Nothing that is there already is written over.
"""

import argparse
import json
from importlib import resources
from pathlib import Path

from batchsum.config.schema import SCHEMA_FILE, job_schema
from batchsum.errors import OutputError, UsageError

JOB_FILE = "job.yaml"


def init_command(arguments: argparse.Namespace) -> int:
    """`batchsum init [DIR]`."""
    paths = write_starter(arguments.directory)
    print(*paths, f"next: batchsum check {paths[0]}", sep="\n")
    return 0


def write_starter(directory: Path) -> list[Path]:
    """Write both files into `directory`, which is made where it is missing; their paths.

    UsageError, and nothing is written, where one of them is there already.
    """
    texts = {JOB_FILE: starter_job(), SCHEMA_FILE: json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n"}
    paths = [directory / name for name in texts]
    # A link that leads nowhere does not exist, and is somebody's all the same.
    if there := [str(path) for path in paths if path.exists() or path.is_symlink()]:
        raise UsageError(f"{' and '.join(there)}: there already, and left alone; name another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            with path.open("x", encoding="utf-8") as file:  # x: what was put there since the check is not written over
                file.write(text)
    except FileExistsError:
        raise UsageError(f"{directory}: something else has been put there; name another directory") from None
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror}") from None
    return paths


def starter_job() -> str:
    """The commented job file."""
    return (resources.files("batchsum.cli") / "data" / "starter.yaml").read_text(encoding="utf-8")
