"""The verdicts of a whole night: every row by itself and against its past, then against its neighbours.

Verdicts are kept as rows in the store, so that the table, the changes and later nights read the same ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TypeVar

from batchsum.errors import UsageError
from batchsum.guards import Past, Verdict, combine, includes, judge
from batchsum.model import Answer, Failure, Query, Request, Summary
from batchsum.ncbi.wire import request_key
from batchsum.notes import fell_together, filters_without_effect, stale
from batchsum.plan import Plan
from batchsum.store import Run, Store
from batchsum.store.history import CountedRow, History, KeptRow

T = TypeVar("T")

MOST_NEIGHBOURS = 300
"""Different filter sets up to which each is held against each."""
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

    def __post_init__(self) -> None:
        unknown = set(self.accept)
        if unknown:
            for query in self.plan.queries():
                unknown -= {query.taxon, f"{query.taxon}/{query.filter_set}"}
        if unknown:
            raise UsageError(f"--accept {min(unknown)}: no row of this job is TAXON or TAXON/FILTER_SET of that name")

    def accepts(self, query: Query) -> bool:
        return query.taxon in self.accept or f"{query.taxon}/{query.filter_set}" in self.accept

    def pass_all(self, unasked: Failure) -> None:
        """Judge every row and keep the verdicts; a request without an answer is `unasked`."""
        with self.store.transaction():
            self.history.keep(self._each(unasked))
            doubts = {narrow: why for narrow, _, why in self._exceeding()}
            if doubts and self.accept:
                for position, query in enumerate(self.plan.queries()):
                    if self.accepts(query):
                        doubts.pop(position, None)
            self.store.write(
                "UPDATE rows SET status = 'suspect', error = ? WHERE run = ? AND position = ?",
                [(why, self.run.run, narrow) for narrow, why in doubts.items()],
            )

    def doubtful(self) -> list[Request]:
        """What should be asked again at the end of the run: requests without a believable answer, and those
        of the wider rows that such an answer contradicts."""
        doubts = dict[Request, None]()
        positions = {position for _, position, _ in self._exceeding(("ok", "empty", "suspect"))}
        positions |= self.history.positions(("suspect", "failed", "skipped"))
        for position, query in enumerate(self.plan.queries() if positions else ()):
            if position in positions:
                doubts.update(dict.fromkeys(query.requests()))
        return list(doubts)

    def verdicts(self) -> Iterator[tuple[Query, Verdict]]:
        """The kept verdicts in job order, each with the answer it is about."""
        for group in _groups(self._kept()):
            answers = self._answers([kept.requests.split("\n") for _, kept in group])
            for (query, kept), answer in zip(group, answers, strict=True):
                yield query, kept.verdict(answer if isinstance(answer, Summary) else None)

    def accepted(self) -> list[tuple[Query, Verdict]]:
        return [(query, verdict) for query, verdict in self.verdicts() if self.accepts(query)] if self.accept else []

    def compared(self) -> Iterator[tuple[Query, Verdict, Past]]:
        """The kept verdicts in job order with what earlier nights say; of the answers, what is kept with the row."""
        for group in _groups(self._kept()):
            pasts = self.history.pasts([query for query, _ in group])
            for (query, kept), past in zip(group, pasts, strict=True):
                summary = Summary(kept.record_count, resource_updated_on=kept.resource_updated_on)
                yield query, kept.verdict(summary), past

    def counts(self) -> dict[str, int]:
        """How many rows there are of each status."""
        rows = self.store.query("SELECT status, count(*) FROM rows WHERE run = ? GROUP BY status", self.run.run)
        found = dict(rows)
        return {name: found.get(name, 0) for name in ("ok", "empty", "suspect", "rejected", "failed", "skipped")}

    def notes(self) -> list[str]:
        """What a person should know of the night that makes no row suspect."""
        sets = {filters.text(): filters for filters in self.plan.filter_sets()}
        return [
            *stale(self.history.tonight()),
            *filters_without_effect(self.history.counted(("ok", "empty")), sets),
            *fell_together(self.history.tonight()),
        ]

    def _kept(self) -> Iterator[tuple[Query, KeptRow]]:
        return zip(self.plan.queries(), self.history.tonight(), strict=True)

    def _each(self, unasked: Failure) -> Iterator[tuple[Query, Verdict]]:
        for group in _groups(self.plan.queries()):
            answers = self._answers([[request_key(request) for request in query.requests()] for query in group])
            for query, answer, past in zip(group, answers, self.history.pasts(group), strict=True):
                yield query, judge(query, answer or unasked, past, accepted=self.accepts(query))

    def _answers(self, keys: list[list[str]]) -> Iterator[Answer | None]:
        """For each row, by the keys of its requests: its answer, or None where one of them has none."""
        known = self.store.answers(self.run, {key for of_row in keys for key in of_row})
        for of_row in keys:
            found = [known[key] for key in of_row if key in known]
            yield combine(found) if len(found) == len(of_row) else None

    def _exceeding(self, statuses: tuple[str, ...] = ("ok", "empty")) -> Iterator[tuple[int, int, str]]:
        """Narrower row, wider row, and the words for it. Of a row told twice, the last words are kept."""
        yield from self._exceeding_taxa_above(statuses)
        yield from self._exceeding_wider_sets(statuses)

    def _exceeding_taxa_above(self, statuses: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
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

    def _exceeding_wider_sets(self, statuses: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
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


def _exceeds(narrow: CountedRow, wide: CountedRow, called: str) -> Iterator[tuple[int, int, str]]:
    if narrow.record_count > wide.record_count:
        why = f"exceeds_wider: {narrow.record_count:,} here, but {wide.record_count:,} in {called}, which includes it"
        yield narrow.position, wide.position, why


def _by_taxon(rows: Iterable[CountedRow]) -> Iterator[dict[str, list[CountedRow]]]:
    """Rows ordered by taxon, as one mapping a taxon: those with the same filters under their text."""
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon: dict[str, list[CountedRow]] = {}
        for row in group:
            of_taxon.setdefault(row.filters, []).append(row)
        yield of_taxon
