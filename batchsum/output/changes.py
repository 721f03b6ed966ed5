"""Tonight against last night: one row for each query that differs. Counts are compared with the last believed one."""

from collections.abc import Iterator
from decimal import Decimal

from batchsum.model.queries import Past, Verdict, moment
from batchsum.output.table import CHANGED, Row
from batchsum.store.history import History

COLUMNS = tuple(column.name for column in CHANGED)

_BECAME = {"suspect": "became_suspect", "rejected": "became_rejected", "failed": "failed", "skipped": "skipped"}


def kind_of_change(verdict: Verdict, past: Past, *, is_window: bool = False) -> str:
    """The first word of the contract that fits, empty where nothing differs."""
    if past.last_status is None:
        return "new"
    if not verdict.is_believed:
        return "" if past.last_status == verdict.status else _BECAME[verdict.status]
    if past.last_status in _BECAME:
        return "recovered"
    previous, count = verdict.previous_record_count, verdict.record_count
    if previous is None or count is None:
        return ""
    if count < previous:
        return "fell" if count else "vanished"
    if count > previous:
        return "grew" if previous else "returned"
    # What NCBI dates is everything since the window began, and not the window.
    return "updated" if not is_window and _later(verdict, past) else ""


def _later(verdict: Verdict, past: Past) -> bool:
    now = moment(verdict.summary.resource_updated_on) if verdict.summary else None
    before = moment(past.believed.resource_updated_on) if past.believed else None
    return bool(now and before and now > before)


def change_rows(history: History) -> Iterator[Row]:
    """The rows of changes.csv: what differs tonight in job order, then what is no longer in the job."""
    for kept in history.changed():
        verdict = kept.verdict(None)
        yield (
            kept.taxon, kept.label, kept.filter_set, kept.change, kept.previous_record_count, kept.record_count,
            verdict.record_count_change, change_percent(verdict), kept.status, kept.error,
        )  # fmt: skip
    for kept in history.removed():
        yield (kept.taxon, kept.label, kept.filter_set, "removed", kept.last_believed, None, None, None, "", "")


def change_percent(verdict: Verdict) -> Decimal | None:
    """With one decimal; None where there is nothing to divide by."""
    change, previous = verdict.record_count_change, verdict.previous_record_count
    if change is None or not previous:
        return None
    return Decimal(f"{100 * change / previous:.1f}") + 0  # adding zero turns -0.0 into 0.0
