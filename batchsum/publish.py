"""Files into the output directory: each replaced atomically, the manifest last, and finished after a crash.

Every temporary file, the manifest's included, is written and synced before the first is put in place. The
store remembers what is being put in place, so that the next start can go on where this one was killed.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from batchsum.errors import OutputError

MANIFEST = "run.json"
_LEFTOVER = ".batchsum-tmp"

Writer = Callable[[Path], None]


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of the last published run; empty before the first."""
    try:
        value = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise OutputError(f"{directory / MANIFEST} is not a manifest of batchsum; move it away to go on") from None
    return value if isinstance(value, dict) else {}


def write_all(directory: Path, run_id: str, writers: Mapping[str, Writer]) -> dict[str, str]:
    """Write each file beside its target; the sha256 of each, by name."""
    return {name: _write_temporary(directory / name, run_id, writer) for name, writer in writers.items()}


def write_manifest(directory: Path, run_id: str, manifest: Mapping[str, Any]) -> None:
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    _write_temporary(directory / MANIFEST, run_id, lambda path: _write_text(path, text))


def put_in_place(directory: Path, run_id: str, files: Mapping[str, str]) -> None:
    """Replace every file, the manifest last. May be called again after a crash: what is in place stays there."""
    stale = read_manifest(directory).get("files", {}).keys() - files.keys()
    for name in (*files, MANIFEST):
        target = _target(directory / name)
        temporary = _temporary(target, run_id)
        if temporary.exists():
            temporary.replace(target)
        elif name in files and (not target.exists() or _sha256(target) != files[name]):
            raise OutputError(f"{target} changed while it was being published; run with --fresh")
        if name != MANIFEST:
            _sync_directory(target.parent)
    for name in stale:
        # A table that this run does not write any more would look like tonight's.
        (directory / Path(name).name).unlink(missing_ok=True)
    _sync_directory(directory)


def sweep(directory: Path) -> None:
    """Remove what a killed run left half written."""
    for leftover in directory.glob(f".*{_LEFTOVER}"):
        leftover.unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_temporary(path: Path, run_id: str, writer: Writer) -> str:
    target = _target(path)
    temporary = _temporary(target, run_id)
    writer(temporary)
    with temporary.open("rb+") as file:
        os.fchmod(file.fileno(), _mode(target))
        os.fsync(file.fileno())
    return _sha256(temporary)


def _target(path: Path) -> Path:
    """Where a link leads: the link itself is the user's and stays."""
    return path.resolve() if path.is_symlink() else path


def _temporary(target: Path, run_id: str) -> Path:
    return target.with_name(f".{target.name}.{run_id}{_LEFTOVER}")


def _mode(target: Path) -> int:
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
