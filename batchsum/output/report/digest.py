"""What the first screen says: was the night all right, and what changed?

Made in one pass that keeps a bounded number of rows, so that a long table costs time and not memory.
"""

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from batchsum.model.queries import STATUSES
from batchsum.output.changes import told_changes, weight
from batchsum.output.report.night import ReportNight, ReportRow
from batchsum.output.table import CHANGES
from batchsum.store.rows import KeptRow

_BAD_SHARE = 0.2
_TAXA_A_REASON = 12
"""Taxa that are named for each reason,"""
_ROWS_A_TAXON = 24
"""each with so many of its rows."""
_LEADING = 10
"""Changes on the first screen."""
_HEAT_TAXA = 80
_HEAT_SETS = 24

_REASONS_FILE = Path(__file__).with_name("reasons.tsv")
REASONS = dict(line.split("\t") for line in _REASONS_FILE.read_text(encoding="utf-8").splitlines()[1:])
"""What the page says about each reason; of HTTP statuses, of those that begin alike; and about any other."""


@dataclass(slots=True)
class ReasonGroup:
    """The rows in doubt that have this status and reason; only those of the first taxa are kept."""

    status: str
    reason: str
    count: int = 0
    new_count: int = 0
    """Those that had a count to rely on until this night."""
    taxa: dict[str, list[ReportRow]] = field(default_factory=dict)
    """The rows in doubt of each taxon, which are told in one line."""

    def add(self, row: ReportRow, *, is_new: bool) -> None:
        self.count += 1
        self.new_count += is_new
        if row.kept.taxon in self.taxa or len(self.taxa) < _TAXA_A_REASON:
            rows = self.taxa.setdefault(row.kept.taxon, [])
            if len(rows) < _ROWS_A_TAXON:
                rows.append(row)


@dataclass(slots=True)
class Heat:
    """Counts by taxon and filter set: the taxa with the most records, in job order."""

    every_set: dict[str, None] = field(default_factory=dict)
    """The filter sets, a few of which are shown."""
    taxa: dict[str, dict[str, KeptRow]] = field(default_factory=dict)
    """The rows of each taxon by filter set."""
    left_out: int = 0
    """Taxa not shown."""

    def add(self, kept: KeptRow) -> None:
        """Take a row; those of a taxon follow each other."""
        self.every_set.setdefault(kept.filter_set)
        # Cut between two taxa only, so that none loses the rows it has so far.
        if kept.taxon not in self.taxa and len(self.taxa) > 50 * _HEAT_TAXA:
            self.keep_largest()
        self.taxa.setdefault(kept.taxon, {})[kept.filter_set] = kept

    def keep_largest(self) -> None:
        """Leave out what is not to be shown of the rows so far."""
        by_peak = sorted(self.taxa, key=lambda taxon: -max(row.record_count or 0 for row in self.taxa[taxon].values()))
        for taxon in by_peak[_HEAT_TAXA:]:
            self.left_out += 1
            del self.taxa[taxon]

    @property
    def filter_sets(self) -> list[str]:
        return list(self.every_set)[:_HEAT_SETS]

    @property
    def left_out_sets(self) -> int:
        return len(self.every_set) - len(self.filter_sets)


@dataclass(slots=True)
class Digest:
    """What the page says above its table."""

    row_count: int
    statuses: dict[str, int]
    """All six, in the contract's order."""
    changes: dict[str, int]
    """By word, those that occur, in the contract's order."""
    by_reason: list[ReasonGroup]
    """The rows in doubt, in the order of their statuses."""
    leading: list[ReportRow]
    """The believed changes worth looking at first."""
    rolled: list[ReportRow]
    """The largest of the changes that the calendar makes by itself."""
    heat: Heat
    doubtful_by_night: list[int | None]
    """Rows without a believed answer, on each of `ReportNight.dates`; None where there was no table."""
    moods_by_night: list[str]
    """As `mood`, of each of these nights; empty where there was no table."""

    @property
    def believed(self) -> int:
        return self.statuses["ok"] + self.statuses["empty"]

    @property
    def doubtful(self) -> int:
        return self.row_count - self.believed

    @property
    def told(self) -> dict[str, int]:
        """The changes that people are told of."""
        return told_changes(self.changes)

    @property
    def newly_doubtful(self) -> int:
        return sum(group.new_count for group in self.by_reason)

    @property
    def mood(self) -> str:
        return mood_of(self.doubtful, self.row_count)


def mood_of(doubtful: int, rows: int) -> str:
    """`good`, `look` or `bad`: bad is a night with more than a fifth of its rows in doubt."""
    if not doubtful:
        return "good"
    return "bad" if doubtful > _BAD_SHARE * rows else "look"


def digest(night: ReportNight) -> Digest:
    """All that stands above the table, from one walk through `night.rows`."""
    statuses, changes = Counter[str](), Counter[str]()
    reasons, heat = dict[tuple[str, str], ReasonGroup](), Heat()
    leading, rolled = list[ReportRow](), list[ReportRow]()
    for row in night.rows:
        kept = row.kept
        statuses[kept.status] += 1
        changes[kept.change] += 1
        if not kept.is_believed:
            reason = kept.status, kept.reason
            reasons.setdefault(reason, ReasonGroup(*reason)).add(row, is_new=row.since == night.date)
        elif kept.change and kept.change != "updated":  # an update alone moves no count
            foremost = rolled if kept.change == "rolled" else leading
            insort(foremost, row, key=_weight)
            del foremost[_LEADING:]
        heat.add(kept)
    heat.keep_largest()
    in_doubt = [night.in_doubt.get(day) for day in night.dates]
    changes["removed"] += len(night.removed)  # they are in last night's table, so the walk did not meet them
    return Digest(
        row_count=statuses.total(),
        statuses={status: statuses[status] for status in STATUSES},
        changes={word: changes[word] for word in CHANGES if changes[word]},
        by_reason=sorted(reasons.values(), key=lambda group: STATUSES.index(group.status)),
        leading=leading,
        rolled=rolled,
        heat=heat,
        # A date without a table is not one without doubt.
        doubtful_by_night=[one and one[1] for one in in_doubt],
        moods_by_night=[mood_of(one[1], one[0]) if one else "" for one in in_doubt],
    )


def advice(reason: str) -> str:
    """One or two sentences about `reason`, the word before an error's colon."""
    # http_503 is told as http_5, and http_404 as http_.
    return next(REASONS[name] for name in (reason, reason[:6], reason[:5], "other") if name in REASONS)


def _weight(row: ReportRow) -> tuple[int, float]:
    names = ("change", "record_count", "previous_record_count", "record_count_change")
    return weight({name: getattr(row.kept, name) for name in names})
