"""The verdicts of a whole night: every row by itself and against its past, then against its neighbours.

Verdicts are kept as rows in the store, so that the table, the changes and later nights read the same ones.
"""

from collections.abc import Iterable, Iterator
from itertools import count

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
from batchsum.run.completeness import compare, grown_under
from batchsum.run.coverage import answer_in_file, files_counted_in
from batchsum.run.data_dates import DataDates, dates_of
from batchsum.run.guards import differs, judge
from batchsum.run.neighbours import exceeding, with_wider
from batchsum.run.resume import Night
from batchsum.run.windows import answer_of_row
from batchsum.store.held import HeldRow, held_rows
from batchsum.store.rows import KeptRow, Level, QueryKey, answered_rows
from batchsum.store.store import in_groups, load_answer


def judge_and_find_retries(night: Night, unasked: Failure) -> list[Request]:
    """Judge, and find what should be asked again at the end of the run: requests without a believable answer, and
    those of the wider rows that such an answer contradicts."""
    judge_rows(night, unasked)
    # A suspect count may be right and the wider one wrong: both are asked again.
    positions = {wide.position for _, wide, _ in exceeding(night, (*BELIEVED, "suspect"))}
    positions |= {row.position for row in night.history.with_status(("suspect", "failed", "skipped"))}
    retries = dict[Request, None]()  # a set that keeps the order of the rows
    for position, query in enumerate(night.plan.queries() if positions else ()):
        if position in positions:
            retries.update(dict.fromkeys(query.requests()))
    if night.job.holdings.use == "count":  # what was never asked is not asked again
        answered = night.store.answered(night.run)
        return [request for request in retries if request in night.plan or request_key(request) in answered]
    return list(retries)


def judge_rows(night: Night, unasked: Failure) -> None:
    """Judge every row and keep the verdicts; a request without an answer is `unasked`."""
    with night.store.transaction():
        dates = dates_of(night)
        night.history.note_data_date(dates.date)
        night.history.keep(_judged_alone(night, dates, unasked))
        _doubt(night, with_wider(night))
        _doubt(night, [(narrow, why) for narrow, _, why in exceeding(night, BELIEVED)])  # those believed until now
        _doubt(night, with_wider(night))
        night.history.note_changed_taxa()


def judged_rows(night: Night) -> Iterator[tuple[KeptRow, Query, Summary | None]]:
    """The judged rows in job order, each with its query and what NCBI said of it."""
    dates, files = dates_of(night), files_counted_in(night)
    for query, (row, text) in zip(night.plan.queries(), answered_rows(night.store, night.run), strict=True):
        answer: Answer | None
        if row.held_in in files:
            answer = answer_in_file(files[row.held_in], row.held_record_count)
        elif text:
            answer = load_answer(text)
        else:
            keys = row.request_keys
            answer = answer_of_row(night.store.every_answer(night.run, keys), query, keys, dates)
        yield row, query, answer if isinstance(answer, Summary) else None


# Each row alone

_NOT_HELD = HeldRow(-1, "", None)
"""What stands for a row that no file covers."""


def _judged_alone(night: Night, dates: DataDates, unasked: Failure) -> Iterator[KeptRow]:
    position, held_at = count(), {row.position: row for row in held_rows(night.store, night.run)}
    files = {name: (file, compare(night, file).grown) for name, file in files_counted_in(night).items()}
    for group in in_groups(night.plan.queries()):
        keys = [[request_key(request) for request in query.requests()] for query in group]
        known = night.store.every_answer(night.run, {key for of_row in keys for key in of_row})
        asked = [
            QueryKey(one.taxon, night.taxa.tax_id(one.taxon), one.filter_set, one.asks, one.series) for one in group
        ]
        numbers = night.history.numbers(asked)
        pasts = night.history.pasts(asked, numbers)
        for query, one, number, of_row, past in zip(group, asked, numbers, keys, pasts, strict=True):
            place, said = next(position), answer_of_row(known, query, of_row, dates)
            held = held_at.get(place, _NOT_HELD)
            file, grown = files.get(held.file, (None, None))
            # What is counted in a file is believed, unless NCBI said otherwise where it was asked all the same.
            answer = (answer_in_file(file, held.record_count) if file else said) or unasked
            verdict = judge(query, answer, past)
            if file and held.record_count is not None and verdict.is_believed:
                doubt = differs(held.record_count, file.file, said, grown_under(query.filters, file, grown))
                verdict = verdict._replace(status="suspect", error=doubt) if doubt else verdict
            is_accepted = _is_accepted(night, query, number, answer, verdict)
            if is_accepted:
                verdict = judge(query, answer, past, accepted=True)
            heard = night.taxa.get(query.taxon)
            yield KeptRow(
                place, query.taxon, query.label, query.filter_set, query.filters.text(),
                verdict.status, verdict.record_count,
                verdict.summary.resource_updated_on if verdict.summary else None,
                verdict.previous_record_count, verdict.error, "\n".join(of_row),
                _change(night, verdict, past, query, is_accepted=is_accepted, are_common=dates.are_common),
                number, one.asks, one.series, one.tax_id, heard.node.scientific_name if heard else "", is_accepted,
                held.file, held.record_count,
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
    night: Night, verdict: Verdict, past: Past, query: Query | None = None, *, is_accepted: bool = False,
    are_common: bool = False,
) -> str:  # fmt: skip
    """The word of changes.csv; none on the first night of a job."""
    change = "" if night.history.is_first else kind_of_change(verdict, past, query, is_accepted=is_accepted)
    # A common date moves with each of NCBI's updates, whatever they were about.
    return "" if change == "updated" and are_common else change


# Each row against those that include it


def _doubt(night: Night, doubts: Iterable[tuple[KeptRow, str]]) -> None:
    """Make rows suspect that were believed by themselves, but for those that the user believes. Of a row that is
    doubted twice, the last words are kept."""
    for group in in_groups((row, why) for row, why in dict(doubts).items() if not row.is_accepted):
        pasts = night.history.pasts([row.asked for row, _ in group], [row.query for row, _ in group])
        night.history.doubt(
            (why, _change(night, Verdict("suspect"), past), row.position)
            for (row, why), past in zip(group, pasts, strict=True)
        )
