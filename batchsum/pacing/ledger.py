"""Ledger: the sends of the last second, of all processes, as the shared file holds them.

What cannot be true (torn, of another boot, of the future) is nothing: it may cost a refusal, never a wait without end.
"""

import math
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Self

LARGEST_FILE = 2**20
_LONGEST_HOLD = 3600.0
_LONGEST_MEMORY = 60.0
_HEAD = struct.Struct("=8s32sdII")
_MAGIC = b"batchsum"


def window(rate: float, guard: float) -> tuple[int, float]:
    """How many sends in how many seconds: never more than `rate` in any one second, fractions included."""
    count = max(1, math.floor(rate))
    return count, max(1.0, count / rate) + guard


@dataclass(slots=True)
class Ledger:
    """The sends that still count, of all processes: parallel arrays, sorted by time.

    A send's time is when it was let through, and later when its headers left; its rate is what its process
    knew. Times are seconds of the machine's monotonic clock, so they mean nothing after a boot.
    """

    held_until: float = -math.inf
    times: "array[float]" = field(default_factory=lambda: array("d"))
    rates: "array[float]" = field(default_factory=lambda: array("d"))

    @classmethod
    def parse(cls, raw: bytes, boot: bytes, now: float) -> Self:
        """What `raw` says, if it is whole and of this boot; nothing of the future."""
        if len(raw) < _HEAD.size:
            return cls()
        magic, of_boot, held_until, size, checksum = _HEAD.unpack_from(raw)
        body = raw[_HEAD.size : _HEAD.size + 16 * size]
        if magic != _MAGIC or of_boot != boot or len(body) != 16 * size or checksum != zlib.crc32(body):
            return cls()
        book = cls(held_until if held_until - now < _LONGEST_HOLD else -math.inf)
        book.times.frombytes(body[: 8 * size])
        book.rates.frombytes(body[8 * size :])
        end = bisect_left(book.times, now + 1.0)
        del book.times[end:], book.rates[end:]
        return book

    def to_bytes(self, boot: bytes) -> bytes:
        body = self.times.tobytes() + self.rates.tobytes()
        return _HEAD.pack(_MAGIC, boot, self.held_until, len(self.times), zlib.crc32(body)) + body

    def wait(self, now: float, rate: float, guard: float) -> float:
        """Seconds until one may send at `rate`; 0 or less where one may now.

        The largest rate of those who sent last is the server's limit, as far as anybody knows: who knows only
        of a smaller one would else never get its turn, and never learn.
        """
        count, period = window(max(rate, *self.rates) if self.rates else rate, guard)
        wait = self.held_until - now
        if self.times:
            # Nearly even: two processes, each at its own pace, would send a second's worth in half of it.
            wait = max(wait, self.times[-1] + 0.9 * period / count - 0.002 - now)
        if len(self.times) >= count:
            wait = max(wait, self.times[-count] + period - now)
        return wait

    def add(self, time: float, rate: float) -> None:
        at = bisect_right(self.times, time)
        self.times.insert(at, time)
        self.rates.insert(at, rate)

    def lower(self, rate: float) -> None:
        """Nobody is known to be allowed more than `rate`."""
        self.rates = array("d", (min(one, rate) for one in self.rates))

    def remove(self, time: float) -> None:
        at = bisect_left(self.times, time)
        if at < len(self.times) and self.times[at] == time:
            del self.times[at], self.rates[at]

    def forget(self, now: float, rate: float, guard: float) -> None:
        """Drop what is too long ago to matter to anybody who is still sending."""
        _, period = window(min(rate, *self.rates) if self.rates else rate, guard)
        end = bisect_right(self.times, now - min(period, _LONGEST_MEMORY))
        del self.times[:end], self.rates[:end]
