"""Which pace a job means, and what NCBI would have to suffer of it."""

import math
from dataclasses import dataclass
from typing import Literal, Self

from batchsum.config.values import NCBI_LIMIT, excess, is_ncbi
from batchsum.errors import UsageError


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second: what to begin with, and what no header of the server may raise it above."""

    start: float
    ceiling: float

    @classmethod
    def of(cls, setting: float | Literal["auto", "unlimited"], *, has_key: bool, host: str) -> Self:
        """The rate that `setting` means for `host`. UsageError where NCBI would have to suffer it."""
        if setting == "auto":
            return cls(NCBI_LIMIT if has_key else 3.0, NCBI_LIMIT if is_ncbi(host) else math.inf)
        rate = math.inf if setting == "unlimited" else float(setting)
        if not rate > 0:
            raise UsageError(f"requests per second: {setting} is no rate; write auto, or a number above 0")
        if problem := excess(setting, host):
            raise UsageError(problem)
        return cls(rate, rate)
