"""What the user holds against what NCBI has: whether a file is complete, and whether it counts as NCBI does.

NCBI's records released before the day of a file are all that it has, less those released since that day: two requests.
Where the file has fewer, what is missing is looked for by release month, splitting where most is missing; and where
rows are counted in the file, some of them are asked all the same.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, NamedTuple

from batchsum.model.filters import FilterSet
from batchsum.model.queries import Answer, Failure, Query, Request, Summary, request_key
from batchsum.output.files import read_manifest
from batchsum.run.data_dates import dates_of
from batchsum.run.guards import differs
from batchsum.run.plan import Plan
from batchsum.run.resume import Night
from batchsum.run.windows import answer_of_row
from batchsum.store.held import CountedFile, HeldRow, counted_files, held_rows

MOST_SPLITS = 24
"""Requests to find the months of a file where something is missing."""
SAMPLE = 20
"""Rows that are asked although they are counted in a file."""


@dataclass(frozen=True, slots=True)
class Window:
    """Records of a file released from one day (None: ever) until before another, and how many NCBI has of them."""

    since: date | None
    before: date
    held: int
    at_ncbi: int

    @property
    def missing(self) -> int:
        return self.at_ncbi - self.held

    def __str__(self) -> str:
        """The months, as `2026-01` or `2025-11 to 2026-01`."""
        last = f"{self.before - timedelta(days=1):%Y-%m}"
        first = f"{self.since:%Y-%m}" if self.since else ""
        return last if first == last else f"{first} to {last}" if first else f"to {last}"


class Comparison(NamedTuple):
    """A file against NCBI, as far as NCBI has answered."""

    at_ncbi: int | None = None
    """Records of the taxon that NCBI has; None where that is not known."""
    grown: int | None = None
    """Records that NCBI has released since the file's day, and the file does not have; None where not known."""
    closed: Window | None = None
    """All records released before the file's day; None where that cannot be compared."""
    windows: Sequence[Window] = ()
    """The same; where the file has less than NCBI, split where most is missing."""
    ask: Sequence[Query] = ()
    """What to ask next, for more to be known."""


def compare(night: Night, file: CountedFile) -> Comparison:
    """What can be said of a file, by what NCBI has answered until now."""
    if file.day is None:
        return Comparison()
    end = min(file.day, night.run.today)  # what a clock that is ahead has dated ends where the night begins
    said = _Answers(night, file)
    everything, since_then = said.count(FilterSet()), said.count(FilterSet(released_since=end))
    grown = None if since_then is None else max(since_then - file.released_since(end), 0)
    closed = said.window(None, end)
    if closed is None:
        return Comparison(everything, grown, ask=said.unanswered([(None, end)]))
    windows, kept_whole = [closed], set[Window]()
    for _ in range(MOST_SPLITS):
        incomplete = [one for one in windows if one.missing > 0 and one not in kept_whole]
        splits = [(one, middle) for one in incomplete if (middle := _middle(file, one))]
        if closed.missing <= 0 or not splits:
            break
        worst, middle = max(splits, key=lambda split: split[0].missing)
        halves: list[tuple[date | None, date]] = [(worst.since, middle), (middle, worst.before)]
        if ask := said.unanswered(halves):
            return Comparison(everything, grown, closed, windows, ask)
        parts = [part for half in halves if (part := said.window(*half))]
        if len(parts) == len(halves):
            place = windows.index(worst)
            windows[place : place + 1] = parts
        else:  # one of its parts cannot be told
            kept_whole.add(worst)
    return Comparison(everything, grown, closed, windows)


def next_questions(night: Night) -> list[Query]:
    """What NCBI is to be asked next about the files; empty where nothing more can be found."""
    files = counted_files(night.store, night.run)
    return [query for file in files for query in compare(night, file).ask]


def unanswered(night: Night, queries: Sequence[Query]) -> list[Request]:
    """The requests of these queries that have no answer, each once."""
    requests = {request_key(request): request for query in queries for request in query.requests()}
    answers = night.store.answers(night.run, requests)
    return [request for key, request in requests.items() if _is_open(answers.get(key))]


def sample(night: Night) -> list[Query]:
    """The rows that are asked although they are counted in a file: those that differed last night, then by lot. On one
    night of a job always the same."""
    if night.job.holdings.use != "count":
        return []
    last = night.history.with_status(("suspect",), last_night=True)
    differed = {(row.taxon, row.asks) for row in last if row.error.startswith("differs:")}
    return _drawn(night.plan, held_rows(night.store, night.run), differed)


def _drawn(plan: Plan, rows: Iterable[HeldRow], differed: Container[tuple[str, str]]) -> list[Query]:
    covered = {row.position for row in rows if row.record_count is not None}

    def lot(query: Query) -> tuple[bool, bytes]:
        text = f"{plan.job.name}\n{plan.today}\n{query.taxon}\n{query.asks}"
        return (query.taxon, query.asks) not in differed, blake2b(text.encode(), digest_size=8).digest()

    return nsmallest(SAMPLE, (one for place, one in enumerate(plan.queries()) if place in covered), key=lot)


def comparing_requests(plan: Plan, files: Iterable[CountedFile], rows: Iterable[HeldRow]) -> set[Request]:
    """What a night of `plan` asks to compare these files: the sample, where no row differed last night, and each file's
    whole. Where a whole lacks records it asks on."""
    ends = [(file, min(file.day, plan.today)) for file in files if file.day]
    queries = [Query(str(file.taxon), "", FilterSet(released_before=end)) for file, end in ends]
    if plan.job.holdings.use == "count":
        queries += _drawn(plan, rows, ())
    return {request for query in queries for request in query.requests()}


def grown_under(filters: FilterSet, file: CountedFile, grown: int | None) -> int | None:
    """How many records may have come to a row since the file's day; None where nobody knows."""
    before: Any = filters.released_before
    if file.day and before and before <= file.day:
        return 0
    return None if filters.updated_since else grown  # what is updated need not be new


def warnings_of_holdings(night: Night) -> Iterator[str]:
    """What a person should know of the files: those that could not be counted, that are old, and that lack records."""
    for file in counted_files(night.store, night.run):
        yield from filter(None, (file.problem, *file.remarks))
        found = compare(night, file)
        if found.closed and found.closed.missing > 0:
            yield f"incomplete: {file.file}: {found.closed.held:,} of {found.closed.at_ncbi:,}"
        elif file.day and found.at_ncbi is None:
            yield f"{file.file} was not compared: NCBI gave no count of taxon {file.taxon} tonight"
        elif doubt := differs(file.record_count or 0, file.file, Summary(found.at_ncbi), found.grown):
            yield doubt


def facts_of_holdings(night: Night) -> dict[str, Any]:
    """What run.json says of each file; nothing where the job has none."""
    files: list[dict[str, Any]] = []
    last = read_manifest(night.job.output.dir).get("holdings", {}).get("files", ())
    incomplete = {one["file"] for one in last if one.get("missing")}
    for file in counted_files(night.store, night.run):
        found = compare(night, file)
        facts: dict[str, Any] = {"file": file.file, "taxon": file.taxon, "problem": file.problem}
        if file.day:
            facts |= {"day": str(file.day), "held_on": file.newest and str(file.newest)}
            facts |= {"held_record_count": file.record_count, "record_count": found.at_ncbi}
        if closed := found.closed:
            facts["released_before"] = {
                "day": str(closed.before), "held_record_count": closed.held, "record_count": closed.at_ncbi,
            }  # fmt: skip
            facts["missing"] = {str(one): one.missing for one in found.windows if one.missing > 0}
            facts["was_incomplete"] = file.file in incomplete
        files.append(facts)
    return {"holdings": {"use": night.job.holdings.use, "files": files}} if files else {}


class _Answers:
    """What NCBI has answered about the taxon of a file until now."""

    def __init__(self, night: Night, file: CountedFile) -> None:
        self._night, self._file, self._dates = night, file, dates_of(night)

    def _answer(self, query: Query) -> Answer | None:
        keys = [request_key(request) for request in query.requests()]
        answer = answer_of_row(self._night.store.every_answer(self._night.run, keys), query, keys, self._dates)
        return None if _is_open(answer) else answer

    def count(self, filters: FilterSet) -> int | None:
        answer = self._answer(Query(str(self._file.taxon), "", filters))
        return answer.record_count if isinstance(answer, Summary) and not answer.contradiction else None

    def window(self, since: date | None, before: date) -> Window | None:
        at_ncbi = self.count(FilterSet(released_since=since, released_before=before))
        held = self._file.released_since(since) - self._file.released_since(before)
        return None if at_ncbi is None else Window(since, before, held, at_ncbi)

    def unanswered(self, windows: Sequence[tuple[date | None, date]]) -> list[Query]:
        filters = [FilterSet(released_since=since, released_before=before) for since, before in windows]
        queries = [Query(str(self._file.taxon), "", one) for one in filters]
        return [query for query in queries if self._answer(query) is None]


def _is_open(answer: Answer | None) -> bool:
    return answer is None or (isinstance(answer, Failure) and answer.status == "skipped")


def _middle(file: CountedFile, window: Window) -> date | None:
    """The first day of the month in the middle of a window; None where no month begins inside it."""
    day = window.since or min(file.released, default=window.before)
    months = []
    while day < window.before:
        if window.since is None or day > window.since:
            months.append(day.replace(day=1))
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return months[len(months) // 2] if months else None
