"""What a job file says, after every check: plain values, nothing relative resolved but paths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from batchsum.errors import Problem
from batchsum.model.filters import FilterSet
from batchsum.model.queries import CANARY, Guards

_A_MONDAY = date(1970, 1, 5)  # windows are counted from here, so that every night finds the same edges
FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
LIST_SUFFIXES = (".csv", ".tsv", ".txt")  # of a job file that is a list of taxa alone


@dataclass(frozen=True, slots=True)
class Windows:
    """A series of windows of whole days: the `last` ones that have ended when the night begins."""

    every: timedelta
    last: int

    def edges(self, today: date) -> list[date]:
        """`last` + 1 days, oldest first, at most `today`. Weeks begin on Mondays, so that a window keeps its days
        (and its name) from night to night until the next one has ended."""
        latest = today - (today - _A_MONDAY) % self.every
        return [latest - number * self.every for number in range(self.last, -1, -1)]


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A filter set under its name; a matrix has become one of these for each of its combinations."""

    name: str
    filters: FilterSet
    guards: Mapping[str, Any] = field(default_factory=dict, hash=False)  # a dict has no hash, and sets are keys
    """The bounds this set changes, by their names in `Guards`."""
    windows: Windows | None = None
    """The set stands for one set a window, called `name/YYYY-MM-DD` by the window's first day."""


@dataclass(frozen=True, slots=True)
class ListedTaxon:
    """One entry of the taxon list, as the user wrote it."""

    taxon: str
    label: str = ""
    sets: tuple[NamedSet, ...] | None = None
    """Its own filter sets, in job order; None for every set of the job."""
    guards: Mapping[str, Any] | None = field(default=None, hash=False)
    """The bounds this taxon changes; they win over those of its filter sets."""
    place: tuple[str, int, int] | None = field(default=None, compare=False, repr=False)  # moving it asks nothing new
    """File, line and column where it is listed; None where no file lists it."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    base_url: str | None = None
    """None: BATCHSUM_BASE_URL, else NCBI's own."""
    api_key_file: Path | None = None
    requests_per_second: float | Literal["auto", "unlimited"] = "auto"
    workers: int = 64
    timeout: timedelta = timedelta(seconds=60)
    attempts: int = 6
    max_outage: timedelta = timedelta(minutes=30)
    contact: str | None = None
    allow_http: bool = False
    shared_limit: str | None = None
    """Address of the Redis or Valkey that counts the requests of all machines."""
    canary: str = CANARY
    """The taxon that this server surely knows."""


@dataclass(frozen=True, slots=True)
class OutputSettings:
    dir: Path
    formats: tuple[str, ...] = ("csv",)
    keep_nights: int = 400


@dataclass(frozen=True, slots=True)
class Holding:
    """A data report that the user downloaded for a taxon and all below it."""

    taxon: str
    """NCBI Taxonomy ID or name, as the user wrote it."""
    file: str
    """As the user wrote it: the table names it so, wherever the job is run from."""
    path: Path


@dataclass(frozen=True, slots=True)
class HoldingSettings:
    """What the user holds, and what it is for. Without files nothing of a night differs."""

    files: tuple[Holding, ...] = ()
    use: Literal["compare", "count"] = "compare"
    """`compare`: every row is asked, and both numbers are told. `count`: rows that a file covers are not asked."""
    max_age: timedelta = timedelta(days=3)
    """From the night back to a file's day: an older file is told, and counts no row."""


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Commands as argument lists, run without a shell; addresses by the name of an environment variable."""

    on_change: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    on_success: tuple[str, ...] = ()
    webhook_env: str | None = None
    ping_env: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    path: Path
    name: str
    taxa: Sequence[ListedTaxon]
    filter_sets: tuple[NamedSet, ...]
    output: OutputSettings
    api: ApiSettings = ApiSettings()
    guards: Guards = Guards()
    notify: NotifySettings = NotifySettings()
    holdings: HoldingSettings = HoldingSettings()
    min_interval: timedelta | None = None
    """A start within this time after the last published run does nothing."""
    warnings: tuple[Problem, ...] = ()
    """Odd, but no reason not to ask: told by `check` and in the log."""

    def every_set(self) -> Iterator[NamedSet]:
        """The different filter sets, in job order: those of the job, then those that only some taxa have."""
        own = dict.fromkeys(listed.sets for listed in self.taxa if listed.sets)  # a million rows share a few of them
        yield from dict.fromkeys(chain(self.filter_sets, *own))
