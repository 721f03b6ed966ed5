"""Is this answer believable? Pure functions of what NCBI says tonight and what was believed before.

Each guard stands for something that happened; the thread is named beside it (repository ncbi/datasets).
"""

from datetime import date, timedelta

from batchsum.model.filters import FilterSet
from batchsum.model.queries import Answer, Believed, Failure, Past, Query, Summary, Verdict, moment

_UNKNOWN = ("unknown_taxon", "ambiguous_name", "not_a_virus")
LONGEST_LAG = timedelta(days=1)
"""By which copies of NCBI's data may differ from each other."""
LONGEST_AHEAD = timedelta(days=366)
"""A data date further ahead of its night was a mistake, and no later one is held against it."""
LEAST_APART, LEAST_SHARE = 5, 0.01
"""Records, and share of what is held, by which NCBI may differ from a file in which rows are counted."""
_USA = ("usa", "united states", "united states of america")


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
    doubt = contradicts_itself(answer)
    if count is None or count < 0 or (doubt and not accepted):
        kept = None if count is None or count < 0 else count
        return Verdict("suspect", kept, f"contradicts_itself: {doubt}", answer, previous)
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
    if summary.contradiction:
        return summary.contradiction
    if summary.errors:
        return f"NCBI gave a count and an error: {summary.errors[0]}"
    if count == 0 and summary.has_data():
        return "NCBI gave a count of zero, but files with something in them"
    return ""


def differs(held: int, file: str, answer: Answer | None, grown: int | None) -> str:
    """#418: what a file of the user holds, and is counted there, against what NCBI says of it, where it was asked.

    NCBI may have `grown` records more, released since the file's day; None where nobody knows how many.
    """
    if not isinstance(answer, Summary) or answer.record_count is None or answer.contradiction:
        return ""
    count = answer.record_count
    apart = max(held - count, 0 if grown is None else count - held - grown)
    if apart <= LEAST_APART or apart <= LEAST_SHARE * held:
        return ""
    return f"differs: {held:,} in {file}, but NCBI has {count:,}"


def includes(wide: FilterSet, narrow: FilterSet) -> bool:
    """Whether every record under `narrow` must be under `wide` too, and not the other way round."""
    return _covers(wide, narrow) and not _covers(narrow, wide)


def _against_past(query: Query, answer: Summary, count: int, believed: Believed) -> str:
    if query.is_rolling or query.filters.text() != believed.filters:
        return ""
    bounds = query.guards
    # #530: all records of a taxon gone overnight. #367, #373: empty answers in an outage.
    if count == 0 and believed.record_count and not bounds.allow_zero:
        return f"vanished: {believed.record_count:,} on {believed.night}, now none"
    # #411, #418: counts that fall without a reason, at once or a little every night.
    missing = believed.highest - count
    # Divided, and not the bound multiplied: of 100 records 0.29 are 28.999999999999996.
    if count and missing >= max(bounds.min_drop, 1) and missing / believed.highest > bounds.max_drop:
        share = 100 * missing / believed.highest
        last = " of" if believed.record_count == believed.highest else f"; {believed.record_count:,} on"
        return f"fell: {count:,} is {min(share, 99.9):.1f} % below {believed.highest:,}{last} {believed.night}"
    # #309, #488: an old copy of the data answers. Copies that lag by minutes or hours are how NCBI always is.
    before, now = moment(believed.resource_updated_on), moment(answer.resource_updated_on)
    is_possible = before and before.date() <= date.fromisoformat(believed.night) + LONGEST_AHEAD
    if before and now and is_possible and now < before - LONGEST_LAG:
        was, is_now = believed.resource_updated_on, answer.resource_updated_on
        return f"went_back: updated {is_now}, but {was} on {believed.night}"
    return ""


def _refused(query: Query, answer: Failure, believed: Believed) -> bool:
    """#367, #373, #450: an id that was good yesterday is called invalid. A refusal by status is no word about it."""
    if answer.reason.startswith("http_"):
        return False
    return answer.reason in _UNKNOWN or query.filters.text() == believed.filters  # no filter makes a taxon unknown


def _covers(wide: FilterSet, narrow: FilterSet) -> bool:
    wide_end, end = wide.released_before, narrow.released_before
    return (
        all(
            not getattr(wide, name) or str(getattr(wide, name)).lower() == str(getattr(narrow, name)).lower()
            for name in ("refseq_only", "annotated_only", "complete_only", "host", "pangolin_classification")
        )
        and _covers_place(wide, narrow)
        and _not_later(wide.released_since, narrow.released_since)
        and _not_later(wide.updated_since, narrow.updated_since)
        and (wide_end is None or (end is not None and _not_later(end, wide_end)))
        and (not wide.accessions or (bool(narrow.accessions) and {*narrow.accessions} <= {*wide.accessions}))
    )


def _covers_place(wide: FilterSet, narrow: FilterSet) -> bool:
    if wide.usa_state and wide.usa_state != narrow.usa_state:
        return False
    place = wide.geo_location.lower()
    return not place or place == narrow.geo_location.lower() or (place in _USA and bool(narrow.usa_state))


def _not_later(first: object, second: object) -> bool:
    return first is None or (second is not None and first <= second)  # type: ignore[operator]
