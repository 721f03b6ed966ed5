"""Is this answer believable? Pure functions of what NCBI says tonight and what was believed before.

Each guard stands for something that happened; the thread is named beside it (repository ncbi/datasets).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from batchsum.model.filters import FilterSet
from batchsum.model.queries import (
    Answer,
    Believed,
    Failure,
    Past,
    Query,
    Summary,
    Verdict,
    moment,
)
from batchsum.store.history import CountedRow

_UNKNOWN = ("unknown_taxon", "ambiguous_name", "not_a_virus")
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


# What a person should know of a night that makes no row suspect: told in the log, the summary, run.json and
# the page. Pure functions of the kept rows; each note is one sentence.


FEWEST_TAXA = 3
"""Taxa that must agree before a filter is said to have changed nothing."""
FEWEST_ROWS = 5
SHARE_OF_A_NIGHT = 0.8
MOST_NAMED = 5
MOST_SETS = 100


def not_accepted(rows: Sequence[str]) -> Iterator[str]:
    """Rows that the user wanted believed, and about which NCBI said nothing that could be."""
    if rows:
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        yield f"nothing to accept for {', '.join(rows[:MOST_NAMED])}{more}: no answer that can be believed"


def stale(count: int, oldest: Sequence[tuple[str, int]]) -> Iterator[str]:
    """ncbi/datasets#309, #488: taxa about which NCBI has had nothing new for longer than `stale_after`.

    `oldest` are the first of `count`, each as people call it, with its days.
    """
    if oldest:
        named = ", ".join(f"{name} ({days:,} days)" for name, days in oldest)
        more = f" and {count - len(oldest)} more" if count > len(oldest) else ""
        yield f"nothing new for a long time: {named}{more}"


def filters_without_effect(rows: Iterable[CountedRow], sets: Mapping[str, FilterSet]) -> Iterator[str]:
    """#326: a filter that changed nothing for any taxon was perhaps not applied. `rows` come taxon by taxon."""
    if not 1 < len(sets) <= MOST_SETS:
        return
    pairs = [(wide, narrow) for wide in sets for narrow in sets if includes(sets[wide], sets[narrow])]
    same, differ = dict.fromkeys(pairs, 0), set[tuple[str, str]]()
    names: dict[str, str] = {}
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon = {row.filters: row for row in group}
        names.update((filters, row.filter_set) for filters, row in of_taxon.items())
        for wide, narrow in pairs:
            if wide in of_taxon and narrow in of_taxon and of_taxon[wide].record_count:
                if of_taxon[wide].record_count == of_taxon[narrow].record_count:
                    same[wide, narrow] += 1
                else:
                    differ.add((wide, narrow))
    for (wide, narrow), count in same.items():
        if count >= FEWEST_TAXA and (wide, narrow) not in differ:
            yield f"{names[narrow]} has as many records as {names[wide]} for all of {count} taxa: was it applied?"


def fell_together(compared: int, fallen: int) -> Iterator[str]:
    """#411, #418: where nearly everything falls at once, it is NCBI's night and not the taxa's."""
    if compared >= FEWEST_ROWS and fallen >= SHARE_OF_A_NIGHT * compared:
        yield f"{fallen} of {compared} rows have fewer records than when last believed: NCBI's night, not the taxa's"
