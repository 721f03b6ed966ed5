"""The verdicts of a whole night: every row by itself and against its past, then against its neighbours.

Verdicts are kept as rows in the store, so that the table, the changes and later nights read the same ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, groupby, islice
from typing import TypeVar

from batchsum.model.queries import (
    BELIEVED,
    STATUSES,
    Answer,
    Failure,
    Past,
    Query,
    Request,
    Summary,
    Verdict,
    request_key,
)
from batchsum.output.changes import kind_of_change
from batchsum.run.guards import MOST_NAMED, fell_together, filters_without_effect, includes, judge, not_accepted, stale
from batchsum.run.plan import Plan
from batchsum.store.history import CountedRow, History, KeptRow, answered_rows, stale_days, together
from batchsum.store.store import Run, Store, load_answer

T = TypeVar("T")
Exceeding = tuple[CountedRow, CountedRow, str]
"""A narrower row, the wider one that it has more records than, and the words for it."""

MOST_NEIGHBOURS = 300
"""Different filter sets up to which each is held against each."""
_SAID = (*BELIEVED, "rejected")
"""What NCBI says of a row and a user can accept. A row without an answer keeps the level that it had."""
_GROUP = 500
"""Rows whose answers and past are looked up at once."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One night's plan, answers and past, and what the user accepts beforehand."""

    plan: Plan
    store: Store
    run: Run
    history: History
    accept: tuple[str, ...] = ()

    def accepts(self, query: Query | CountedRow) -> bool:
        return bool(self.accept) and not {query.taxon, f"{query.taxon}/{query.filter_set}"}.isdisjoint(self.accept)

    def pass_all(self, unasked: Failure) -> None:
        """Judge every row and keep the verdicts; a request without an answer is `unasked`."""
        with self.store.transaction():
            self.history.keep(self._rows(unasked))
            doubts = {narrow: why for narrow, _, why in self._exceeding() if not self.accepts(narrow)}
            for group in _groups(doubts.items()):
                pasts = self.history.pasts([narrow for narrow, _ in group])
                self.history.doubt(
                    (why, self._change(Verdict("suspect"), past), narrow.position)
                    for (narrow, why), past in zip(group, pasts, strict=True)
                )

    def doubtful(self, unasked: Failure) -> list[Request]:
        """Judge, and find what should be asked again at the end of the run: requests without a believable answer,
        and those of the wider rows that such an answer contradicts."""
        self.pass_all(unasked)
        doubts = dict[Request, None]()
        positions = {wide.position for _, wide, _ in self._exceeding((*BELIEVED, "suspect"))}
        positions |= self.history.positions(("suspect", "failed", "skipped"))
        for position, query in enumerate(self.plan.queries() if positions else ()):
            if position in positions:
                doubts.update(dict.fromkeys(query.requests()))
        return list(doubts)

    def verdicts(self) -> Iterator[tuple[Query, Verdict]]:
        """The kept verdicts in job order, each with the answer it is about."""
        for query, (kept, text) in zip(self.plan.queries(), answered_rows(self.store, self.run), strict=True):
            answer = load_answer(text) if text else self._combined(kept.requests.split("\n"))
            yield query, kept.verdict(answer if isinstance(answer, Summary) else None)

    def accepted(self) -> list[tuple[Query, Verdict]]:
        """The rows whose level the user has accepted: NCBI said something about them that can be believed."""
        return [(query, verdict) for query, verdict in self._to_accept() if verdict.status in _SAID]

    def _to_accept(self) -> Iterator[tuple[Query, Verdict]]:
        if self.accept:
            yield from ((query, verdict) for query, verdict in self.verdicts() if self.accepts(query))

    def counts(self) -> dict[str, int]:
        """How many rows there are of each status."""
        rows = self.store.query("SELECT status, count(*) FROM rows WHERE run = ? GROUP BY status", self.run.run)
        found = dict(rows)
        return {name: found.get(name, 0) for name in STATUSES}

    def notes(self) -> list[str]:
        """What a person should know of the night that makes no row suspect."""
        sets = {filters.text(): filters for filters in self.plan.filter_sets()}
        left = [
            f"{query.taxon}/{query.filter_set}" for query, verdict in self._to_accept() if verdict.status not in _SAID
        ]
        return [
            *not_accepted(left),
            *stale(*self.history.stale(MOST_NAMED)),
            *filters_without_effect(self.history.counted(BELIEVED), sets),
            *fell_together(*self.history.count_fallen()),
        ]

    def _rows(self, unasked: Failure) -> Iterator[KeptRow]:
        position = count()
        for group in _groups(self.plan.queries()):
            keys = [[request_key(request) for request in query.requests()] for query in group]
            known = self.store.answers(self.run, {key for of_row in keys for key in of_row})
            for query, of_row, past in zip(group, keys, self.history.pasts(group), strict=True):
                answer = together(known, of_row) or unasked
                verdict = judge(query, answer, past, accepted=self.accepts(query))
                updated = verdict.summary.resource_updated_on if verdict.summary else None
                yield KeptRow(
                    next(position), query.taxon, query.label, query.filter_set, query.filters.text(),
                    verdict.status, verdict.record_count, updated,
                    verdict.previous_record_count, verdict.error, "\n".join(of_row),
                    stale_days(query, verdict, self.run.today),
                    self._change(verdict, past, is_window=query.filters.released_before is not None),
                )  # fmt: skip

    def _change(self, verdict: Verdict, past: Past, *, is_window: bool = False) -> str:
        """The word of changes.csv; none on the first night of a job."""
        return "" if self.history.is_first else kind_of_change(verdict, past, is_window=is_window)

    def _combined(self, keys: list[str]) -> Answer | None:
        return together(self.store.answers(self.run, keys), keys)

    def _exceeding(self, statuses: tuple[str, ...] = BELIEVED) -> Iterator[Exceeding]:
        """Of a row told twice, the last words are kept."""
        yield from self._exceeding_taxa_above(statuses)
        yield from self._exceeding_wider_sets(statuses)

    def _exceeding_taxa_above(self, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
        """#407: more records in a taxon than in one above it, under the same filters."""
        lock = self.plan.lock
        above = lock.ancestors_among(listed.taxon for listed in self.plan.job.taxa)
        if not above:
            return
        wide: dict[tuple[int, str], CountedRow] = {}
        for row in self.history.counted(statuses):
            if (tax_id := lock.tax_id(row.taxon)) in above and tax_id is not None:
                wide.setdefault((tax_id, row.filters), row)
        for narrow in self.history.counted(statuses):
            found = [wide.get((tax_id, narrow.filters)) for tax_id in lock.ancestors(narrow.taxon) if tax_id in above]
            if least := _least(filter(None, found)):
                yield from _exceeds(narrow, least, f"{least.taxon} {least.filter_set}")

    def _exceeding_wider_sets(self, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
        """#326, #411: more records under a filter than without it."""
        sets = {filters.text(): filters for filters in self.plan.filter_sets()}
        if not 1 < len(sets) <= MOST_NEIGHBOURS:
            return
        wider = {narrow: [wide for wide in sets if includes(sets[wide], sets[narrow])] for narrow in sets}
        for rows in _by_taxon(self.history.counted(statuses)):
            for filters, same in rows.items():
                if least := _least(rows[wide][0] for wide in wider[filters] if wide in rows):
                    for narrow in same:
                        yield from _exceeds(narrow, least, least.filter_set)


def _groups(rows: Iterable[T]) -> Iterator[list[T]]:
    rows = iter(rows)
    while group := list(islice(rows, _GROUP)):
        yield group


def _least(rows: Iterable[CountedRow]) -> CountedRow | None:
    return min(rows, key=lambda row: row.record_count, default=None)


def _exceeds(narrow: CountedRow, wide: CountedRow, called: str) -> Iterator[Exceeding]:
    if narrow.record_count > wide.record_count:
        why = f"exceeds_wider: {narrow.record_count:,} here, but {wide.record_count:,} in {called}, which includes it"
        yield narrow, wide, why


def _by_taxon(rows: Iterable[CountedRow]) -> Iterator[dict[str, list[CountedRow]]]:
    """Rows ordered by taxon, as one mapping a taxon: those with the same filters under their text."""
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon: dict[str, list[CountedRow]] = {}
        for row in group:
            of_taxon.setdefault(row.filters, []).append(row)
        yield of_taxon
