"""Reservation: one limit for all processes of a user on a machine that ask one server with one key.

A small file holds the sends of the last second, under a lock that goes with its process. Whoever cannot use
it goes on alone and says so once: sharing never fails a run.
"""

import fcntl
import hashlib
import logging
import math
import os
import struct
import zlib
from bisect import insort
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

log = logging.getLogger("batchsum")

LARGEST_RATE = 1000.0
"""Requests a second up to which processes share; a faster server is one's own, and the file would grow."""
LARGEST_FILE = 2**20  # room for a minute at the largest rate, with 16 bytes a send
BUSY = 0.0005
"""Seconds until another try where another process has the lock; it needs it for some thirty microseconds."""
LONGEST_SHARED_HOLD = 3600.0
"""Seconds; a hold farther ahead is taken for damage, since it stops every process."""
_PATIENCE = 2000
"""Tries in a row, a millisecond each, after which whoever has the lock must have been stopped with it."""
_LONGEST_MEMORY = 60.0  # a send counts so long at the slowest rate, one a minute
_HEAD = struct.Struct("=II")


def window(rate: float, guard: float) -> tuple[int, float]:
    """How many sends in how many seconds: never more than `rate` in any one second, fractions included."""
    count = max(1, math.floor(rate))
    return count, max(1.0, count / rate) + guard


@dataclass(slots=True)
class Ledger:
    """The sends that still count, of all processes: pairs of time and rate, sorted by time.

    A send's rate is what its process knew. Times are seconds of the machine's monotonic clock. What cannot be true
    (torn, of the future) is nothing: it may cost a refusal, never a wait without end.
    """

    held_until: float = -math.inf
    sends: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def parse(cls, raw: bytes, now: float) -> Self:
        """What `raw` says, if it is whole; nothing of the future."""
        if len(raw) < _HEAD.size:
            return cls()
        checksum, size = _HEAD.unpack_from(raw)
        body = raw[_HEAD.size : _HEAD.size + 16 * size]
        if not size or len(body) != 16 * size or checksum != zlib.crc32(body):
            return cls()
        (held_until, _), *sends = struct.iter_unpack("=dd", body)
        sends = [send for send in sends if send[0] < now + 1.0]
        return cls(held_until if held_until <= now + LONGEST_SHARED_HOLD else -math.inf, sends)

    def to_bytes(self) -> bytes:
        body = b"".join(struct.pack("=dd", *pair) for pair in ((self.held_until, 0.0), *self.sends))
        return _HEAD.pack(zlib.crc32(body), len(body) // 16) + body

    def wait(self, now: float, rate: float, guard: float) -> float:
        """Seconds until one may send at `rate`; 0 or less where one may now.

        The largest rate of those who sent last is the server's limit, as far as anybody knows: who knows only
        of a smaller one would else never get its turn, and never learn.
        """
        count, period = window(max([rate, *(one for _, one in self.sends)]), guard)
        wait = self.held_until - now
        if self.sends:
            # Nearly even: two processes, each at its own pace, would send a second's worth in half of it.
            wait = max(wait, self.sends[-1][0] + 0.9 * period / count - 0.002 - now)
        if len(self.sends) >= count:
            wait = max(wait, self.sends[-count][0] + period - now)
        return wait

    def lower(self, rate: float) -> None:
        """Nobody is known to be allowed more than `rate`."""
        self.sends = [(time, min(one, rate)) for time, one in self.sends]

    def hold(self, until: float) -> None:
        self.held_until = max(self.held_until, until)

    def forget(self, now: float, rate: float, guard: float) -> None:
        """Drop what is too long ago to matter to anybody who is still sending."""
        _, period = window(min([rate, *(one for _, one in self.sends)]), guard)
        oldest = now - min(period, _LONGEST_MEMORY)
        self.sends = [send for send in self.sends if send[0] > oldest]


class Reservation:
    """The sends of this user's processes against `server` with `api_key`, none being a key like any other.

    `directory` is made where it is missing. The default is one in /tmp, else in the cache: cron, a terminal
    and a service must come to the same file, and XDG_RUNTIME_DIR and TMPDIR differ between them.
    """

    def __init__(self, server: str, api_key: str | None, *, directory: Path | None = None) -> None:
        # Machines may share a home, but no clock, and the clock begins anew with each boot.
        secret = f"{os.uname().nodename}\0{_boot_id()}\0{server}\0{api_key or ''}"
        self._name = hashlib.sha256(secret.encode()).hexdigest()[:32] + ".sends"
        self._directories = [directory] if directory else _directories()
        self._fd: int | None = None
        self._busy = 0
        self._late: list[Callable[[Ledger], None]] = []
        self.alone = False

    def take(self, now: float, rate: float, guard: float) -> float:
        """0 where one may send at `rate` now, and it is written down; else seconds to wait. Never blocks."""
        if self.alone or rate > LARGEST_RATE:
            return 0.0
        wait = 0.0

        def book(ledger: Ledger) -> None:
            nonlocal wait
            ledger.forget(now, rate, guard)
            if (wait := max(0.0, ledger.wait(now, rate, guard))) == 0:
                insort(ledger.sends, (now, rate))

        done = self._write(now, book, keep=False)
        return wait if done or self.alone else BUSY

    def lower(self, now: float, rate: float) -> None:
        """The server allows `rate` only, whatever those who sent last believed."""
        if not self.alone and rate <= LARGEST_RATE:
            self._write(now, lambda ledger: ledger.lower(rate))

    def hold(self, now: float, until: float) -> None:
        """No process sends before `until`."""
        if not self.alone:
            self._write(now, lambda ledger: ledger.hold(until))

    def _write(self, now: float, change: Callable[[Ledger], None], *, keep: bool = True) -> bool:
        """Apply `change` to the file. Where that is locked: False, and with `keep` the next time."""
        try:
            if (fd := self._locked()) is None:
                if keep:
                    self._late.append(change)
                return False
            try:
                ledger = Ledger.parse(os.pread(fd, LARGEST_FILE, 0), now)
                for each in (*self._late, change):
                    each(ledger)
                book = ledger.to_bytes()
                if os.pwrite(fd, book, 0) < len(book):
                    raise OSError("no space left")
                self._late.clear()
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)
        except OSError as error:
            self._go_alone(error.strerror or str(error))
            return False
        return True

    def _locked(self) -> int | None:
        """The open file, locked; None where somebody else has the lock."""
        while True:
            if self._fd is None:
                self._fd = _open(self._directories, self._name)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # waiting in here would stop the event loop
            except BlockingIOError:
                self._busy += 1
                if self._busy > _PATIENCE:
                    raise TimeoutError("another process keeps it locked") from None
                return None
            self._busy = 0
            if os.fstat(self._fd).st_nlink:
                return self._fd
            self.close()  # cleaned away; the others have a new one, or will

    def _go_alone(self, reason: str) -> None:
        self.alone = True
        self._late.clear()
        self.close()
        log.warning("the limit is not shared with your other processes: %s: %s", self._directories[-1], reason)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def __del__(self) -> None:
        self.close()


def _directories() -> list[Path]:
    places = [Path("/tmp") / f"batchsum-{os.getuid()}"]
    with suppress(RuntimeError):
        places.append(Path.home() / ".cache" / "batchsum")
    return places


def _open(directories: list[Path], name: str) -> int:
    """The file `name` in the first directory that will do. OSError where none does."""
    for directory in directories[:-1]:
        with suppress(OSError):
            return _open_in(directory, name)
    return _open_in(directories[-1], name)


def _open_in(directory: Path, name: str) -> int:
    """Nobody else may have had a hand in it: /tmp is everybody's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(place).st_uid != os.getuid() or os.fstat(place).st_mode & 0o022:
            raise PermissionError(f"{directory} belongs to others, or others may write into it")
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=place)
    finally:
        os.close(place)


def _boot_id() -> str:
    """Differs after the next boot, where the system tells."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return ""
