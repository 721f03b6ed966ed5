"""`batchsum schedule`: a line for cron, or a service and its timer for systemd, that run a job every night.

The text installs as it is printed: absolute paths, quoted as cron and systemd each want it.
"""

import argparse
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
from batchsum.run.publish import user_name
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
    job = load_job(arguments.job)
    with output_errors(job.output.dir):
        entry = schedule_entry(job, at=arguments.at, key_file=arguments.api_key_file)
    if arguments.cron:
        sys.stdout.write(cron_text(entry))
        return 0
    units = systemd_units(entry)
    if arguments.out is None:
        # Each below the name of its file, as `systemctl cat` shows them.
        sys.stdout.write("\n".join(f"# /etc/systemd/system/{name}\n{text}" for name, text in units.items()))
        return 0
    with output_errors(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, text in units.items():
            replace_file(arguments.out / name, text)
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
    """Tells the run of the key's file, where the job does not name it itself."""
    writes: tuple[Path, ...]
    """Directories that the run writes into."""
    user: str
    has_other_key: bool = False
    """Whether the job names another key's file, which a run takes before systemd's credential."""
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
    own_file = job.api.api_key_file
    file = key_file or own_file
    file = file and file.absolute()
    output = job.output.dir.absolute()  # or the first above it that exists: a service can be given no other place
    found = Entry(
        name=job.name,
        program=_program(),
        job=job.path.absolute(),
        at=_off_the_hour(job.name, at),
        key_file=file,
        key_option=("--api-key-file", str(file)) if key_file not in (None, own_file) else (),
        # /tmp: all batchsum processes of a user share their limit through a file there.
        writes=(next(place for place in (output, *output.parents) if place.is_dir()), Path("/tmp")),
        user=user_name(),
        has_other_key=own_file not in (None, key_file or own_file),
        has_hooks=bool(job.notify.on_change or job.notify.on_failure or job.notify.on_success),
        variables=tuple(name for name in (job.notify.webhook_env, job.notify.ping_env) if name),
        lacking=tuple(name for name in _SURROUNDINGS if os.environ.get(name)),
    )
    for text in (*found.command, *map(str, found.writes), str(found.key_file or "")):
        # A line end would begin another line of the crontab, or another setting of the unit. What is not UTF-8 would be
        # printed as another path, and systemd takes nothing else.
        if re.search("[\0-\x1f\x7f\ud800-\udfff]", text):
            what = "a control character, or a byte that is not UTF-8"
            raise UsageError(f"{text!r} has {what}, which a printed schedule cannot hold; rename it")
    if "$" in found.program[0]:
        raise UsageError(
            f"{found.program[0]}: systemd starts no program with $ in its path; install batchsum elsewhere"
        )
    return found


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
    again = [*entry.program, "schedule", str(entry.job), "--cron", "--at", f"{entry.at:%H:%M}", *entry.key_option]
    return _filled("crontab.jinja", entry, words=words, again=shlex.join(again))


def systemd_units(entry: Entry) -> dict[str, str]:
    """The text of a service and its timer, by file name."""
    command = " ".join(map(_quote, entry.command + (entry.key_option if entry.has_other_key else ())))
    writes = " ".join(_quote(str(path), variables=False) for path in entry.writes)
    return {
        f"batchsum-{entry.name}.service": _filled("service.jinja", entry, command=command, writes=writes),
        f"batchsum-{entry.name}.timer": _filled("timer.jinja", entry),
    }


def _filled(template: str, entry: Entry, **words: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent / "data")
    environment = Environment(
        loader=folder, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    hides_key = bool(os.environ.get("NCBI_API_KEY"))
    return environment.get_template(template).render(entry=entry, at=f"{entry.at:%H:%M}", hides_key=hides_key, **words)


def _quote(word: str, *, variables: bool = True) -> str:
    """A word of a systemd setting: in quotes where it must be, specifiers and variables made plain text."""
    word = word.replace("%", "%%")
    if variables:
        word = word.replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_./:=@,+%$-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _off_the_hour(name: str, at: time | None) -> time:
    """The asked time, but never a full hour; else one at night. The same for the same name."""
    # Not hash(), which differs from one process to the next.
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    if at is None:
        return time(_EARLIEST_HOUR + number % _HOURS, 1 + number // _HOURS % 59)
    return at if at.minute else time(at.hour, 1 + number % 14)  # within the quarter of an hour after it
