"""Files into the output directory: each replaced atomically, the manifest last, and finished after a crash.

`prepare` writes and syncs every temporary file, the manifest's included, and makes a Publication of them. The store
remembers it, so that the next start can go on where this one was killed. Then `put_in_place` renames them. Temporary
files are named by the process that owns the run: two processes never write the same one.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchsum.atomic import Writer, link_target, sync_directory, write_synced
from batchsum.errors import OutputError, UsageError
from batchsum.model.job import FORMATS, LIST_SUFFIXES, Job
from batchsum.store.directory import STATE

MANIFEST = "run.json"
PAGE = "report.html"
_LEFTOVER = ".batchsum-tmp"
_TABLE = re.compile(r"summary\.\w+|counts\.csv")
"""Of all that a night leaves, these come and go with the job's settings."""
_READ_BY_PEOPLE = re.compile(rf"summary\.({'|'.join(FORMATS)})|changes\.csv|counts\.csv|report\.html")
"""What nobody wants to lose to another job."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Files that wait to be put in place."""

    owner: str
    """Of the run; the middle of the temporary files' names."""
    files: dict[str, str]
    """The sha256 of each, by name, the manifest last."""
    stale: list[str]
    """Files of the last manifest that this one has no more: left there, they would look like tonight's."""


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of the last published run; empty before the first."""
    path = directory / MANIFEST
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        value = None
    if not (isinstance(value, dict) and _is_count(value.get("generation")) and isinstance(value.get("files"), dict)):
        raise OutputError(f"{path} is not a manifest of batchsum; move it away, or name another directory")
    return dict(value)


def _is_count(value: object) -> bool:
    # Not isinstance, for which `true` in the manifest would be an int.
    return type(value) is int and 0 <= value < 2**53


def require_own_directory(job: Job) -> None:
    """UsageError, before anything is touched, where the output directory is another job's."""
    directory, owner = job.output.dir, job.name
    with suppress(OutputError, OSError):  # what cannot be read is told when the night begins
        owner = read_manifest(directory).get("job", job.name)
    if owner != job.name:
        # A list has no keys.
        is_list = job.path.suffix.lower() in LIST_SUFFIXES
        instead = "another --out" if is_list else f"name: {owner} in {job.path}, or another output.dir (--out)"
        raise UsageError(f"{directory} holds the nights of the job {owner}; write {instead}")
    if not directory.is_dir() or (directory / MANIFEST).exists() or (directory / STATE).exists():
        return
    for path in sorted(directory.iterdir()):
        if _READ_BY_PEOPLE.fullmatch(path.name) and path.is_file():
            raise UsageError(
                f"{directory} holds a {path.name}, and no {MANIFEST} says whose it is; move it away, "
                "or write another output.dir (--out)"
            )


def check_targets(directory: Path, names: Iterable[str]) -> None:
    """OutputError where something else than a file stands in the way of one, or none can be written."""
    for name in (*names, MANIFEST):
        target = link_target(directory / name)
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise OutputError(
                f"{target.parent}: no file can be written here; look at its rights, or name another --out"
            )
        if target.exists() and not target.is_file():
            raise OutputError(f"{directory / name} is not a file, and cannot be replaced by one; move it away")


def prepare(directory: Path, owner: str, writers: Mapping[str, Writer], manifest: dict[str, Any]) -> Publication:
    """Write every file beside its target, the manifest last, when it has got its `files`: the digest of each.

    Where the disk does not take them all, nothing of them stays on it.
    """
    try:
        files = {name: _write(directory / name, owner, writer) for name, writer in writers.items()}
        stale = {name for name in read_manifest(directory).get("files", {}) if _TABLE.fullmatch(name)} - files.keys()
        # Not of the page, which is made again on a night that leaves no table, when run.json stays.
        manifest["files"] = {name: digest for name, digest in files.items() if name != PAGE}
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        raw = text.encode(errors="backslashreplace")  # the name of a directory may be no UTF-8
        files[MANIFEST] = _write(directory / MANIFEST, owner, lambda path: path.write_bytes(raw))
        _sync_directories(directory, files)
    except OSError:
        # A disk that is full stays as full as it was, and no fuller: the next night may need the room.
        for name in (*writers, MANIFEST):
            with suppress(OSError):
                _temporary(link_target(directory / name), owner).unlink(missing_ok=True)
        raise
    return Publication(owner, files, sorted(stale))


def put_in_place(directory: Path, publication: Publication) -> bool:
    """Replace every file, the manifest last. May be called again after a crash: what is in place stays there.

    False, and nothing is touched, where a file is neither in place nor waiting to be put there.
    """
    targets = {link_target(directory / name): digest for name, digest in publication.files.items()}
    for target, digest in targets.items():
        if not _temporary(target, publication.owner).exists() and not _is_in_place(target, digest):
            return False
    *_, last = targets
    # Readers go by the manifest: what it names must be there before it, and what it names no more must be gone.
    for target, digest in targets.items():
        if target == last:
            for name in publication.stale:
                (directory / name).unlink(missing_ok=True)
            _sync_directories(directory, publication.files)
        try:
            _temporary(target, publication.owner).replace(target)
        except FileNotFoundError:  # put there before a crash
            if not _is_in_place(target, digest):
                raise
    _sync_directories(directory, [MANIFEST])
    return True


def sweep(directory: Path, names: Iterable[str], living: Collection[str]) -> None:
    """Remove what killed runs left half written, but nothing of the owners in `living`."""
    # A file that is a link has its temporary file where the link leads.
    for place in {directory, *(link_target(directory / name).parent for name in (*names, MANIFEST))}:
        for leftover in place.glob(f".*{_LEFTOVER}"):
            if leftover.name.removesuffix(_LEFTOVER).rpartition(".")[2] not in living:
                leftover.unlink(missing_ok=True)


def _write(path: Path, owner: str, writer: Writer) -> str:
    """Write the temporary file of `path`; its sha256."""
    target = link_target(path)
    temporary = _temporary(target, owner)
    write_synced(temporary, target, writer)
    return _digest(temporary)


def _temporary(target: Path, owner: str) -> Path:
    return target.with_name(f".{target.name}.{owner}{_LEFTOVER}")


def _is_in_place(target: Path, digest: str) -> bool:
    try:
        return _digest(target) == digest
    except FileNotFoundError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_directories(directory: Path, names: Iterable[str]) -> None:
    for place in {link_target(directory / name).parent for name in names}:
        sync_directory(place)
