"""Replace a file so that whoever reads it, now or after a crash, finds the old one or the new one, each of them whole.

The new file is written beside the old one, in the same file system, so that the last step is a single rename.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Writer = Callable[[Path], object]
"""Writes the file at a path."""


def replace_file(path: Path, content: bytes | str) -> None:
    """Put `content` in the place of the file at `path`, or make it; text goes as UTF-8.

    Where `path` is a link, the file it leads to is replaced. The mode of the old file is kept. Raises OSError.
    """
    raw = content.encode() if isinstance(content, str) else content
    target = link_target(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        write_synced(temporary, target, lambda place: place.write_bytes(raw))
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def link_target(path: Path) -> Path:
    """Where a link leads: the link itself is the user's and stays."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def write_synced(temporary: Path, target: Path, write: Writer) -> None:
    """Let `write` write `temporary`, with the mode it needs as `target`, and wait until the disk has it."""
    # Until its mode is settled nobody else may read it: the file it replaces may be private.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    write(temporary)
    with temporary.open("rb") as file:
        os.fchmod(file.fileno(), _mode(target))
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Wait until the disk has the names in `directory`: without that a crash may bring the old file back."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode(target: Path) -> int:
    """The mode of the file that is replaced, else what the umask leaves of a new one."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    umask = os.umask(0)  # it can only be read by setting it
    os.umask(umask)
    return 0o666 & ~umask
