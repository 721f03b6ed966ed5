"""Everything the page needs to know of a night, as plain values.

Null is never zero: a count that nobody gave is None, and stays an empty cell.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from batchsum.model.queries import BELIEVED


class ReportRow(NamedTuple):
    """One row of the table, with what the earlier nights say of it."""

    taxon: str
    """As the user wrote it."""
    filter_set: str
    status: str
    """One of `model.STATUSES`."""
    record_count: int | None = None
    previous_record_count: int | None = None
    """The last believed count before tonight."""
    label: str = ""
    filters: str = ""
    """As sent: `FilterSet.text()`; empty for no filters."""
    change: str = ""
    """The word of changes.csv; empty where nothing differs and on a job's first night."""
    error: str = ""
    """As in the table, beginning with the reason and a colon: `fell: 12 is 40.0 % below 20; ...`."""
    messages: tuple[str, ...] = ()
    """NCBI's own messages beside the answer."""
    resource_updated_on: str = ""
    """As NCBI wrote it; a date or a date-time, empty where missing."""
    size_mb: int | None = None
    """hydrated_estimated_file_size_mb."""
    download_command: str = ""
    """hydrated_cli_download_command_line; empty where NCBI gave none (windows, unanswered rows). Not shown where it
    holds characters that cannot be seen."""
    phids: tuple[str, ...] = ()
    """NCBI-PHID of tonight's attempts, oldest first; shown, and needed, for rows without a believed answer only."""
    stale_days: int | None = None
    """Days since `resource_updated_on`, where they are more than the row's `stale_after`; else None."""
    nightly_counts: tuple[int | None, ...] = ()
    """record_count of each of `Night.dates`; None where there was no count or no such row. May be empty."""
    nightly_statuses: tuple[str, ...] = ()
    """Status on each of `Night.dates`; empty text where the row was not in the job. As long as the counts."""

    @property
    def is_believed(self) -> bool:
        return self.status in BELIEVED

    @property
    def record_count_change(self) -> int | None:
        if self.record_count is None or self.previous_record_count is None:
            return None
        return self.record_count - self.previous_record_count

    @property
    def reason(self) -> str:
        """The word before the colon of `error`."""
        return self.error.partition(":")[0].strip()


@dataclass(frozen=True, slots=True)
class RemovedRow:
    """A row of last night's job that is not in tonight's."""

    taxon: str
    filter_set: str
    label: str = ""
    previous_record_count: int | None = None


@dataclass(frozen=True, slots=True)
class Night:
    """One published run, and the nights that led to it."""

    job: str
    date: str
    """YYYY-MM-DD: the day of the run that relative dates count back from."""
    run_id: str
    started_at: str
    """UTC, ISO 8601."""
    finished_at: str
    base_url: str
    rows: Iterable[ReportRow]
    """In job order; need not be in memory."""
    previous_date: str | None = None
    """The last published night before this one; None on a job's first."""
    dates: Sequence[str] = ()
    """YYYY-MM-DD of the nights in the rows' histories, oldest first, tonight last; up to about sixty."""
    removed: Sequence[RemovedRow] = ()
    requests: int | None = None
    """Different requests in the plan, after sharing."""
    requests_per_second: float | None = None
    """The pace at the end of the run; None for unlimited."""
    http_statuses: Mapping[str, int] = field(default_factory=dict)
    """Sends by HTTP status as text; `none` for those that got no answer."""
    notes: tuple[str, ...] = ()
    """What a person should know of the run: moved names, staleness, filters without effect."""
    versions: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Names of the files beside the page, to link to: `summary.csv`, `changes.csv`, ..."""
