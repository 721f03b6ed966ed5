"""Is this answer believable? Pure functions of what NCBI says tonight and what was believed before.

Each guard stands for something that happened; the thread is named beside it (repository ncbi/datasets).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from batchsum.model.filters import FilterSet
from batchsum.model.queries import BELIEVED, Answer, Failure, FileSummary, Package, Query, Summary

NIGHTS = 14
"""How many published nights back the highest believed count is looked for."""

_UNKNOWN = ("unknown_taxon", "ambiguous_name", "not_a_virus")
_USA = ("usa", "united states", "united states of america")


class Believed(NamedTuple):
    """The last night on which an answer about this query was believed."""

    night: str
    """YYYY-MM-DD."""
    filters: str
    """As sent then: `FilterSet.text()`."""
    record_count: int
    resource_updated_on: str | None
    highest: int
    """The highest believed count of the last nights with these filters, not before an accepted level."""


class Past(NamedTuple):
    """What earlier nights say about one query."""

    believed: Believed | None = None
    last_status: str | None = None
    """On the last published night; None where the query was not in it."""


class Verdict(NamedTuple):
    """What the table says of one row."""

    status: str
    record_count: int | None = None
    error: str = ""
    summary: Summary | None = None
    previous_record_count: int | None = None

    @property
    def record_count_change(self) -> int | None:
        if self.record_count is None or self.previous_record_count is None:
            return None
        return self.record_count - self.previous_record_count

    @property
    def is_believed(self) -> bool:
        return self.status in BELIEVED


def judge(query: Query, answer: Answer, past: Past = Past(), *, accepted: bool = False) -> Verdict:
    """The verdict on one answer by itself and against its own past; `accepted` is the user's word for it."""
    believed = past.believed
    previous = believed.record_count if believed else None
    if isinstance(answer, Failure):
        if answer.status == "rejected" and believed and not accepted and _refused(query, answer, believed):
            why = f"refused: believed on {believed.night}, now {answer}"
            return Verdict("suspect", error=why, previous_record_count=previous)
        return Verdict(answer.status, error=str(answer), previous_record_count=previous)
    count = answer.record_count
    if doubt := contradicts_itself(answer):
        kept = None if count is None or count < 0 else count
        return Verdict("suspect", kept, f"contradicts_itself: {doubt}", answer, previous)
    assert count is not None
    doubt = "" if accepted or believed is None else _against_past(query, answer, count, believed)
    status = "suspect" if doubt else "ok" if count else "empty"
    return Verdict(status, count, doubt, answer, previous)


def contradicts_itself(summary: Summary) -> str:
    """#309, #411: an answer whose parts cannot be true together."""
    count = summary.record_count
    if count is None:
        return "NCBI gave sizes, but no count"
    if count < 0:
        return f"more records since the window's end than since its beginning ({count:,})"
    if summary.errors:
        return f"NCBI gave a count and an error: {summary.errors[0]}"
    if count == 0 and summary.has_data():
        return "NCBI gave a count of zero, but files with something in them"
    return ""


def _against_past(query: Query, answer: Summary, count: int, believed: Believed) -> str:
    if query.filters.text() != believed.filters:
        return ""
    bounds = query.guards
    # #530: all records of a taxon gone overnight. #367, #373: empty answers in an outage.
    if count == 0:
        if believed.record_count and not bounds.allow_zero:
            return f"vanished: {believed.record_count:,} on {believed.night}, now none"
        return ""
    # #411, #418: counts that fall without a reason, at once or a little every night.
    missing = believed.highest - count
    if missing >= max(bounds.min_drop, 1) and missing > bounds.max_drop * believed.highest:
        share = 100 * missing / believed.highest
        last = f"{believed.record_count:,} on {believed.night}"
        return f"fell: {count:,} is {share:.1f} % below {believed.highest:,}; {last}"
    # #309, #488: an old copy of the data answers.
    before, now = moment(believed.resource_updated_on), moment(answer.resource_updated_on)
    if before and now and now < before:
        was, is_now = believed.resource_updated_on, answer.resource_updated_on
        return f"went_back: updated {is_now}, but {was} on {believed.night}"
    return ""


def _refused(query: Query, answer: Failure, believed: Believed) -> bool:
    """#367, #373, #450: an id that was good yesterday is called invalid."""
    return answer.reason in _UNKNOWN or query.filters.text() == believed.filters


def moment(text: str | None) -> datetime | None:
    """A time as NCBI writes it; a plain date is its midnight, UTC."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def includes(wide: FilterSet, narrow: FilterSet) -> bool:
    """Whether every record under `narrow` must be under `wide` too, and not the other way round."""
    return _covers(wide, narrow) and not _covers(narrow, wide)


def _covers(wide: FilterSet, narrow: FilterSet) -> bool:
    return (
        all(
            not getattr(wide, name) or getattr(narrow, name)
            for name in ("refseq_only", "annotated_only", "complete_only")
        )
        and all(
            not getattr(wide, name) or getattr(wide, name).lower() == getattr(narrow, name).lower()
            for name in ("host", "pangolin_classification")
        )
        and _covers_place(wide, narrow)
        and _not_later(wide.released_since, narrow.released_since)
        and _not_later(wide.updated_since, narrow.updated_since)
        and (wide.released_before is None or _earlier(narrow.released_before, wide.released_before))
        and (not wide.accessions or (bool(narrow.accessions) and {*narrow.accessions} <= {*wide.accessions}))
    )


def _covers_place(wide: FilterSet, narrow: FilterSet) -> bool:
    if wide.usa_state and wide.usa_state != narrow.usa_state:
        return False
    place = wide.geo_location.lower()
    return not place or place == narrow.geo_location.lower() or (place in _USA and bool(narrow.usa_state))


def _not_later(wide: object, narrow: object) -> bool:
    return wide is None or (narrow is not None and wide <= narrow)  # type: ignore[operator]


def _earlier(narrow: object, wide: object) -> bool:
    return narrow is not None and narrow <= wide  # type: ignore[operator]


def combine(answers: Sequence[Answer]) -> Answer:
    """One answer as it is; for a window, since its beginning minus since its end."""
    for status in ("rejected", "failed", "skipped"):
        for answer in answers:
            if isinstance(answer, Failure) and answer.status == status:
                return answer
    first, *rest = (answer for answer in answers if isinstance(answer, Summary))
    return _subtract(first, rest[0]) if rest else first


def _subtract(since: Summary, until: Summary) -> Summary:
    counts_known = since.record_count is not None and until.record_count is not None
    return replace(
        since,
        record_count=_minus(since.record_count, until.record_count) if counts_known else None,
        assembly_count=_minus(since.assembly_count, until.assembly_count),
        # Nothing can be downloaded for a window: only the sizes are kept.
        hydrated=_package_minus(since.hydrated, until.hydrated),
        dehydrated=_package_minus(since.dehydrated, until.dehydrated),
        available_files={
            kind: FileSummary(
                _minus(files.file_count, until.available_files.get(kind, FileSummary()).file_count),
                _size_minus(files.size_mb, until.available_files.get(kind, FileSummary()).size_mb),
            )
            for kind, files in since.available_files.items()
        },
        messages=tuple(dict.fromkeys(since.messages + until.messages)),
        errors=tuple(dict.fromkeys(since.errors + until.errors)),
    )


def _minus(since: int | None, until: int | None) -> int | None:
    return None if since is None else since - (until or 0)


def _size_minus(since: float | None, until: float | None) -> float | None:
    return None if since is None else round(since - (until or 0), 6)


def _package_minus(since: Package, until: Package) -> Package:
    return Package(_minus(since.estimated_file_size_mb, until.estimated_file_size_mb))
