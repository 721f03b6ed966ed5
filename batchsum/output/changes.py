"""Tonight against last night: one row for each query that differs. Counts are compared with the last believed one.

Whoever shows or sends only some of the changes takes the heaviest first, by `weight`.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from batchsum.model.queries import BELIEVED, Past, Query, Verdict, moment
from batchsum.output.table import CHANGED, CHANGES, Row
from batchsum.store.history import History
from batchsum.store.rows import KeptRow

COLUMNS = tuple(column.name for column in CHANGED)

_BECAME = {"suspect": "became_suspect", "rejected": "became_rejected", "failed": "failed", "skipped": "skipped"}
FAILURES = tuple(_BECAME.values())
"""The words for rows that cannot be relied on from tonight on."""
_HEAVIEST = ("became_suspect", "vanished", "fell", "accepted", "became_rejected", "failed", "skipped")


def kind_of_change(verdict: Verdict, past: Past, query: Query | None = None, *, is_accepted: bool = False) -> str:
    """The first word of the contract that fits, empty where nothing differs.

    A doubtful verdict needs no `query`. `is_accepted` is whether a user's word made the verdict.
    """
    if past.is_next_window:
        return "rolled"
    if past.last_status is None:
        return "refiltered" if past.is_refiltered else "new"
    previous, count = verdict.previous_record_count, verdict.record_count
    if query is not None and query.is_rolling and verdict.is_believed and previous not in (None, count):
        return "rolled"
    if is_accepted and (past.last_status not in BELIEVED or previous != count):
        return "accepted"
    if not verdict.is_believed:
        return "" if past.last_status == verdict.status else _BECAME[verdict.status]
    if past.last_status in _BECAME:
        return "recovered"
    if previous is None or count is None:
        return ""
    if count < previous:
        return "fell" if count else "vanished"
    if count > previous:
        return "grew" if previous else "returned"
    # What NCBI dates is everything since the window began, and not the window.
    is_window = query is not None and query.filters.released_before is not None
    return "updated" if not is_window and _later(verdict, past) else ""


def _later(verdict: Verdict, past: Past) -> bool:
    now = moment(verdict.summary.resource_updated_on) if verdict.summary else None
    before = moment(past.believed.resource_updated_on) if past.believed else None
    return bool(now and before and now > before)


def change_rows(history: History, names: dict[str, str] | None = None) -> Iterator[Row]:
    """The rows of changes.csv: what differs tonight in job order, then what is no longer in the job.

    `names` is filled with what people call the taxa, by the column `taxon`.
    """
    names = {} if names is None else names
    for kept in history.changed():
        names[kept.taxon] = kept.name_and_id
        yield (
            kept.taxon, kept.label, kept.filter_set, kept.change, kept.previous_record_count, kept.record_count,
            kept.record_count_change, change_percent(kept), kept.status, kept.error,
        )  # fmt: skip
    for word, kept in history.removed():
        names.setdefault(kept.taxon, kept.name_and_id)
        yield (kept.taxon, kept.label, kept.filter_set, word, kept.last_believed, None, None, None, "", "")


def told_changes(kinds: Mapping[str, int]) -> dict[str, int]:
    """The changes that people are told of, by word, in the contract's order: what only rolled is no news."""
    return {word: kinds[word] for word in CHANGES if word != "rolled" and kinds.get(word)}


def change_percent(kept: KeptRow) -> Decimal | None:
    """With two significant digits, never as a power of ten; None where there is nothing to divide by."""
    change, previous = kept.record_count_change, kept.previous_record_count
    if change is None or not previous:
        return None
    if not change:
        return Decimal(0)
    rounded = Decimal(f"{Decimal(100 * change) / previous:.1e}")
    if rounded <= -100 < Decimal(100 * change) / previous:
        rounded = Decimal(-99)  # not all are gone
    return Decimal(f"{rounded:f}")  # `f` writes out the power of ten that `e` left


def weight(change: Mapping[str, Any]) -> tuple[int, float]:
    """Where a change stands among those of its night, by the columns of changes.csv: the lowest is the heaviest.

    First what is suspect, vanished, fell, was accepted although it fell, became rejected or failed; then by size.
    What only rolled comes last.
    """
    word, difference = change["change"], change["record_count_change"]
    if difference is None:
        # A row that is new or gone has no difference, so its whole count is what it weighs.
        difference = change["record_count"] or change["previous_record_count"] or 0
    if word in _HEAVIEST and not (word == "accepted" and difference >= 0):
        return _HEAVIEST.index(word), -abs(difference)
    return len(_HEAVIEST) + (word == "rolled"), -abs(difference)
