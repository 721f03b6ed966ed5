"""Where the API key comes from. It is never an option, never in a job file, and never in a message."""

import os
import re
import stat
from pathlib import Path

from batchsum.errors import UsageError

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
        return _check(file.read_text(encoding="utf-8", errors="replace").strip(), str(file))
    return None


def read_key_file(path: Path) -> str:
    """The key in a file that nobody but its owner can read."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: the API key cannot be read: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"{path}: others can read this API key; type: chmod 600 {path}")
    return _check(text.strip(), str(path))


def _check(key: str, where: str) -> str:
    if not _KEY.fullmatch(key):
        raise UsageError(f"{where}: this is not an API key; NCBI's are one word of letters and digits")
    return key
