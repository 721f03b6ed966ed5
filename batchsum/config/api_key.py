"""Where the API key comes from. It is never an option, never in a job file, and never in a message."""

import os
import re
import shlex
import stat
from pathlib import Path

from batchsum.errors import UsageError

LARGEST_FILE = 4096

_KEY = re.compile(r"[A-Za-z0-9_-]{8,128}")


def find_api_key(option: Path | None, setting: Path | None) -> str | None:
    """The key of --api-key-file, else NCBI_API_KEY, else `api_key_file`, else systemd's credential; or None."""
    if option is not None:
        return read_key_file(option)
    if from_environment := os.environ.get("NCBI_API_KEY", "").strip():
        return _check(from_environment, "NCBI_API_KEY")
    if setting is not None:
        return read_key_file(setting)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (file := Path(credentials) / "ncbi_api_key").exists():
        # systemd answers for who can read it; an access list shows as rights of the group.
        return read_key_file(file, guarded=True)
    return None


def read_key_file(path: Path, *, guarded: bool = False) -> str:
    """The key in a file that nobody but its owner can read, unless somebody else guards it."""
    try:
        # Not blocking: a pipe that nobody writes to would hold up the night.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(LARGEST_FILE) or b""
    except OSError as error:
        raise UsageError(f"{path}: the API key cannot be read: {error.strerror}") from None
    if not guarded and stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"{path}: others can read this API key; type: chmod 600 {shlex.quote(str(path))}")
    return _check(text.decode("utf-8", "replace").strip(), str(path))


def _check(key: str, where: str) -> str:
    if not _KEY.fullmatch(key):
        raise UsageError(f"{where}: this is not an API key; NCBI's are one word of letters and digits")
    return key
