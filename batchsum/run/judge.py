"""The verdicts of a whole night: every row by itself and against its past, then against its neighbours.

Verdicts are kept as rows in the store, so that the table, the changes and later nights read the same ones.
"""

from collections.abc import Iterable, Iterator
from itertools import count, groupby, islice
from typing import TypeVar

from batchsum.model.queries import (
    BELIEVED,
    Answer,
    Believed,
    Failure,
    Past,
    Query,
    Request,
    Summary,
    Verdict,
    request_key,
)
from batchsum.output.changes import kind_of_change
from batchsum.run.guards import includes, judge, stale_days
from batchsum.run.resume import Night
from batchsum.store.history import KeptRow, Level, QueryKey, answered_rows, together
from batchsum.store.store import load_answer

T = TypeVar("T")
Exceeding = tuple[KeptRow, KeptRow, str]
"""A narrower row, the wider one that it has more records than, and the words for it."""

MOST_NEIGHBOURS = 300
"""Different filter sets up to which each is held against each."""
_GROUP = 500
"""Rows whose answers and past are looked up at once."""


def judge_and_find_retries(night: Night, unasked: Failure) -> list[Request]:
    """Judge, and find what should be asked again at the end of the run: requests without a believable answer, and
    those of the wider rows that such an answer contradicts."""
    judge_rows(night, unasked)
    # A suspect count may be right and the wider one wrong: both are asked again.
    positions = {wide.position for _, wide, _ in _exceeding(night, (*BELIEVED, "suspect"))}
    positions |= night.history.positions(("suspect", "failed", "skipped"))
    retries = dict[Request, None]()  # a set that keeps the order of the rows
    for position, query in enumerate(night.plan.queries() if positions else ()):
        if position in positions:
            retries.update(dict.fromkeys(query.requests()))
    return list(retries)


def judge_rows(night: Night, unasked: Failure) -> None:
    """Judge every row and keep the verdicts; a request without an answer is `unasked`."""
    with night.store.transaction():
        night.history.keep(_judged_alone(night, unasked))
        doubts = {narrow: why for narrow, _, why in _exceeding(night, BELIEVED) if not narrow.is_accepted}
        for group in _groups(doubts.items()):
            pasts = night.history.pasts([narrow.asked for narrow, _ in group], [narrow.query for narrow, _ in group])
            night.history.doubt(
                (why, _change(night, Verdict("suspect"), past), narrow.position)
                for (narrow, why), past in zip(group, pasts, strict=True)
            )


def verdicts(night: Night) -> Iterator[tuple[Query, Verdict]]:
    """The kept verdicts in job order, each with the answer it is about."""
    for query, (row, text) in zip(night.plan.queries(), answered_rows(night.store, night.run), strict=True):
        keys = row.request_keys
        answer = load_answer(text) if text else together(night.store.answers(night.run, keys), keys)
        yield query, row.verdict(answer if isinstance(answer, Summary) else None)


# Each row alone


def _judged_alone(night: Night, unasked: Failure) -> Iterator[KeptRow]:
    position = count()
    for group in _groups(night.plan.queries()):
        keys = [[request_key(request) for request in query.requests()] for query in group]
        known = night.store.answers(night.run, {key for of_row in keys for key in of_row})
        asked = [_asked(night, query) for query in group]
        numbers = night.history.numbers(asked)
        pasts = night.history.pasts(asked, numbers)
        for query, one, number, of_row, past in zip(group, asked, numbers, keys, pasts, strict=True):
            answer = together(known, of_row) or unasked
            verdict = judge(query, answer, past)
            is_accepted = _is_accepted(night, query, number, answer, verdict)
            if is_accepted:
                verdict = judge(query, answer, past, accepted=True)
            heard = night.taxa.get(query.taxon)
            yield KeptRow(
                next(position), query.taxon, query.label, query.filter_set, query.filters.text(),
                verdict.status, verdict.record_count,
                verdict.summary.resource_updated_on if verdict.summary else None,
                verdict.previous_record_count, verdict.error, "\n".join(of_row),
                stale_days(query, verdict, night.run.today),
                _change(night, verdict, past, query, is_accepted=is_accepted),
                number, one.asks, one.series, one.tax_id, heard.node.scientific_name if heard else "", is_accepted,
            )  # fmt: skip


def _asked(night: Night, query: Query) -> QueryKey:
    heard = night.taxa.get(query.taxon)
    # A taxon that is written as an id is known by it even while NCBI was not heard.
    written = int(query.taxon) if query.taxon.isascii() and query.taxon.isdigit() else None
    return QueryKey(
        query.taxon, heard.node.tax_id if heard else written, query.filter_set, query.asks, query.series
    )  # fmt: skip


def _is_accepted(night: Night, query: Query, number: int, answer: Answer, verdict: Verdict) -> bool:
    """Whether the user's word counts for this answer: said with this run, or of this night before.

    What can be accepted is a count, or a refusal of what was believed before.
    """
    if verdict.record_count is None and not (isinstance(answer, Failure) and verdict.error.startswith("refused:")):
        return False
    return night.accepts(query) or _still_holds(night.history.accepted_tonight.get(number), query, answer)


def _still_holds(level: Level | None, query: Query, answer: Answer) -> bool:
    """Whether a level that was accepted earlier on this night is what the answer says."""
    if level is None or level.record_count is None or isinstance(answer, Failure):
        return level is not None and level.record_count is None and isinstance(answer, Failure)
    count = level.record_count
    return judge(query, answer, Past(Believed(level.night, query.filters.text(), count, None, count))).is_believed


def _change(
    night: Night, verdict: Verdict, past: Past, query: Query | None = None, *, is_accepted: bool = False
) -> str:
    """The word of changes.csv; none on the first night of a job."""
    return "" if night.history.is_first else kind_of_change(verdict, past, query, is_accepted=is_accepted)


# Each row against those that include it


def _exceeding(night: Night, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
    """Rows with more records than one that includes them. Of a row told twice, the last words are kept."""
    yield from _exceeding_taxa_above(night, statuses)
    yield from _exceeding_wider_sets(night, statuses)


def _exceeding_taxa_above(night: Night, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
    """#407: more records in a taxon than in one above it, under the same filters."""
    lock = night.plan.lock
    above = lock.ancestors_among(listed.taxon for listed in night.job.taxa)
    if not above:
        return
    wide: dict[tuple[int, str], KeptRow] = {}
    for row in night.history.counted(statuses):
        if (tax_id := lock.tax_id(row.taxon)) in above and tax_id is not None:
            wide.setdefault((tax_id, row.filters), row)
    for narrow in night.history.counted(statuses):
        found = [wide.get((tax_id, narrow.filters)) for tax_id in lock.ancestors(narrow.taxon) if tax_id in above]
        if least := _least(filter(None, found)):
            yield from _exceeds(narrow, least, f"{least.taxon} {least.filter_set}")


def _exceeding_wider_sets(night: Night, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
    """#326, #411: more records under a filter than without it."""
    sets = {filters.text(): filters for filters in night.plan.filter_sets()}
    if not 1 < len(sets) <= MOST_NEIGHBOURS:
        return
    wider = {narrow: [wide for wide in sets if includes(sets[wide], sets[narrow])] for narrow in sets}
    for rows in _by_taxon(night.history.counted(statuses)):
        for filters, same in rows.items():
            if least := _least(rows[wide][0] for wide in wider[filters] if wide in rows):
                for narrow in same:
                    yield from _exceeds(narrow, least, least.filter_set)


def _exceeds(narrow: KeptRow, wide: KeptRow, called: str) -> Iterator[Exceeding]:
    here, there = _count(narrow), _count(wide)
    if here > there:
        yield narrow, wide, f"exceeds_wider: {here:,} here, but {there:,} in {called}, which includes it"


def _least(rows: Iterable[KeptRow]) -> KeptRow | None:
    return min(rows, key=_count, default=None)


def _count(row: KeptRow) -> int:
    """Of a row that has one: without a count no row is compared with its neighbours."""
    assert row.record_count is not None
    return row.record_count


def _by_taxon(rows: Iterable[KeptRow]) -> Iterator[dict[str, list[KeptRow]]]:
    """Rows ordered by taxon, as one mapping a taxon: those with the same filters under their text."""
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon: dict[str, list[KeptRow]] = {}
        for row in group:
            of_taxon.setdefault(row.filters, []).append(row)
        yield of_taxon


def _groups(rows: Iterable[T]) -> Iterator[list[T]]:
    rows = iter(rows)
    while group := list(islice(rows, _GROUP)):
        yield group
