"""`batchsum schedule`: a line for cron, or a service and its timer for systemd, that run a job every night.

The text installs as it is printed: absolute paths, quoted as cron and systemd each want it.
"""

import argparse
import getpass
import hashlib
import os
import re
import shlex
import sys
from dataclasses import dataclass
from datetime import time
from pathlib import Path

from batchsum.atomic import replace_file
from batchsum.config.load import load_job
from batchsum.errors import UsageError
from batchsum.model.job import Job
from batchsum.store.directory import output_errors

LONGEST_CRON_LINE = 990
"""Characters that cron takes for a command."""
_EARLIEST_HOUR, _HOURS = 1, 5  # nights begin in the hours from 1 to 5, spread by the names of the jobs
_SURROUNDINGS = (
    "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "BATCHSUM_BASE_URL",
)  # fmt: skip
"""What a run takes from the environment, beside the key. Cron and systemd start it with one of their own."""


def schedule_command(arguments: argparse.Namespace) -> int:
    """`batchsum schedule JOB --cron or --systemd`."""
    if arguments.out is not None and arguments.cron:
        raise UsageError("schedule --cron prints a line and writes no files; leave --out away")
    entry = schedule_entry(load_job(arguments.job), at=arguments.at, key_file=arguments.api_key_file)
    if arguments.out is not None:
        write_units(entry, arguments.out)
    else:
        sys.stdout.write(cron_text(entry) if arguments.cron else systemd_text(entry))
    return 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to run, and at what time of the machine's clock."""

    name: str
    program: tuple[str, ...]
    job: Path
    at: time
    key_file: Path | None
    key_option: tuple[str, ...]
    """Tells cron of the key's file, where the job does not name it itself."""
    writes: tuple[Path, ...]
    """Directories that the run writes into."""
    user: str
    has_hooks: bool = False
    variables: tuple[str, ...] = ()
    """Environment variables that the job names: addresses of a webhook, of a ping."""
    lacking: tuple[str, ...] = ()
    """Environment variables that this shell has, and the scheduled night will not."""

    @property
    def command(self) -> tuple[str, ...]:
        # A night that is still running tomorrow is no error to be mailed.
        return (*self.program, "run", str(self.job), "--if-locked", "skip")


def schedule_entry(job: Job, *, at: time | None = None, key_file: Path | None = None) -> Entry:
    """The job as it is scheduled. Raises UsageError where cron or systemd could not hold it.

    Each name has its own time, never a full hour: everybody's jobs start then.
    """
    file = key_file or job.api.api_key_file
    file = file and file.absolute()
    found = Entry(
        name=job.name,
        program=_program(),
        job=job.path.absolute(),
        at=_off_the_hour(job.name, at),
        key_file=file,
        key_option=("--api-key-file", str(file)) if key_file not in (None, job.api.api_key_file) else (),
        # /tmp: all batchsum processes of a user share their limit through a file there.
        writes=(_nearest(job.output.dir.absolute()), Path("/tmp")),
        user=_user(),
        has_hooks=bool(job.notify.on_change or job.notify.on_failure or job.notify.on_success),
        variables=tuple(name for name in (job.notify.webhook_env, job.notify.ping_env) if name),
        lacking=tuple(name for name in _SURROUNDINGS if os.environ.get(name)),
    )
    for text in (*found.command, *map(str, found.writes), str(found.key_file or "")):
        # A line end would begin another line of the crontab, or another setting of the unit.
        if any(ord(character) < 32 or ord(character) == 127 for character in text):
            raise UsageError(f"{text!r} has a control character, which no schedule can hold; rename it")
        # Printed as UTF-8 it would be another path, and systemd takes nothing else.
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"{text!r} is not UTF-8, which a printed schedule cannot hold; rename it")
    if "$" in found.program[0]:
        raise UsageError(
            f"{found.program[0]}: systemd starts no program with $ in its path; install batchsum elsewhere"
        )
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


def _program() -> tuple[str, ...]:
    """How this batchsum is started from anywhere: its script, else the interpreter and the module."""
    python = Path(sys.executable)
    script = python.with_name("batchsum")
    return (str(script),) if script.is_file() else (str(python), "-m", "batchsum")


def cron_text(entry: Entry) -> str:
    """A line for `crontab`, with comments. The key's file is named in it: cron has no environment of yours."""
    # cron itself makes a line end of a bare %.
    words = shlex.join([*entry.command, *entry.key_option]).replace("%", r"\%")
    if len(words) > LONGEST_CRON_LINE:
        raise UsageError(f"the command has {len(words)} characters, cron takes {LONGEST_CRON_LINE}; use shorter paths")
    again = shlex.join(
        [*entry.program, "schedule", str(entry.job), "--cron", "--at", f"{entry.at:%H:%M}", *entry.key_option]
    )
    lines = [
        f"# batchsum {entry.name}: every night at {entry.at:%H:%M}, by the clock of this machine.",
        "# Silent when all is well; cron mails what is not. To install it:",
        f"#     (crontab -l; {again}) | crontab -",
        *_without_key(entry),
        *(f"# This shell has {name}, and cron will not: write {name}=... on a line above." for name in entry.lacking),
        *(f"# It needs {name}: write {name}=https://... on a line above." for name in entry.variables),
        f"{entry.at.minute} {entry.at.hour} * * * {words}",
    ]
    return "\n".join(lines) + "\n"


def _without_key(entry: Entry) -> list[str]:
    if entry.key_file:
        return []
    if os.environ.get("NCBI_API_KEY"):
        return [
            "# This shell has NCBI_API_KEY, and the scheduled night will not. Put the key into a file (mode 0600) and",
            "# name it with --api-key-file, or with api_key_file in the job; else the night asks as slowly as without.",
        ]
    return ["# Without a key: name its file with api_key_file in the job."]


def systemd_units(entry: Entry) -> dict[str, str]:
    """The text of a service and its timer, by file name."""
    return {f"batchsum-{entry.name}.service": _service(entry), f"batchsum-{entry.name}.timer": _timer(entry)}


def systemd_text(entry: Entry) -> str:
    """Both units, each below the name of its file, as `systemctl cat` shows them."""
    return "\n".join(f"# /etc/systemd/system/{name}\n{text}" for name, text in systemd_units(entry).items())


def write_units(entry: Entry, directory: Path) -> None:
    """Both units as files in `directory`."""
    with output_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in systemd_units(entry).items():
            replace_file(directory / name, text)


def _service(entry: Entry) -> str:
    key = f"LoadCredential=ncbi_api_key:{_percent(str(entry.key_file or '/etc/batchsum/ncbi_api_key'))}"
    if not entry.key_file:
        key = f"# Without a key. With one in this file (mode 0600, root's), take the # away:\n#{key}"
        if os.environ.get("NCBI_API_KEY"):
            key = "\n".join([*_without_key(entry), key])
    if entry.lacking:
        key += f"\n# This shell has {', '.join(entry.lacking)}, and the service will not."
    if names := ", ".join((*entry.variables, *entry.lacking)):
        # The unit names it with a minus: without the file the service starts all the same.
        file = f"/etc/batchsum/{entry.name}.env"
        key += f"\n# {names}: one NAME=value a line (mode 0600, root's).\nEnvironmentFile=-{file}"
    # TimeoutStartSec: a night that hangs is ended before the next one is due.
    return f"""\
[Unit]
Description=batchsum {entry.name}: NCBI virus genome counts
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={entry.user}
ExecStart={" ".join(_quote(word) for word in entry.command)}
{key}
TimeoutStartSec=20h
{_hardening(entry)}"""


def _hardening(entry: Entry) -> str:
    strict = [
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        "ReadWritePaths=" + " ".join(_quote(str(path), variables=False) for path in entry.writes),
    ]
    lines = [
        *(["# The job's hooks may write where they like."] if entry.has_hooks else strict),
        "NoNewPrivileges=yes",
        "ProtectControlGroups=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
    ]
    return "\n".join(lines) + "\n"


def _timer(entry: Entry) -> str:
    return f"""\
[Unit]
Description=batchsum {entry.name}, every night

[Timer]
OnCalendar=*-*-* {entry.at:%H:%M}:00
RandomizedDelaySec=10min
# A night that was slept through is caught up with.
Persistent=true

[Install]
WantedBy=timers.target
"""


def _quote(word: str, *, variables: bool = True) -> str:
    """A word of a systemd setting: in quotes where it must be, specifiers and variables made plain text."""
    word = _percent(word)
    if variables:
        word = word.replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_./:=@,+%$-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _off_the_hour(name: str, at: time | None) -> time:
    """The asked time, but never a full hour; else one at night. The same for the same name."""
    # Not hash(), which differs from one process to the next.
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    if at is None:
        return time(_EARLIEST_HOUR + number % _HOURS, 1 + number // _HOURS % 59)
    return at if at.minute else time(at.hour, 1 + number % 14)  # within the quarter of an hour after it


def _nearest(directory: Path) -> Path:
    """The directory, or the first above it that exists: a service cannot be given a place that is not there."""
    return next(place for place in (directory, *directory.parents) if place.is_dir())
