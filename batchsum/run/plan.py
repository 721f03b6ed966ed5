"""The plan: every query in job order, and each different request once.

Rows are made anew each time they are walked, so that a million of them cost no memory beside the taxa themselves.
"""

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

from batchsum.config.taxa_lock import NO_LOCK, TaxaLock
from batchsum.errors import UsageError
from batchsum.model.filters import FilterSet
from batchsum.model.job import Job, ListedTaxon, NamedSet
from batchsum.model.queries import Guards, Query, Request


@dataclass(frozen=True, slots=True)
class _Column:
    """A filter set with its dates resolved and its bounds merged, ready for many taxa."""

    name: str
    filters: FilterSet
    asks: tuple[FilterSet, ...]
    guards: Guards
    source: tuple[NamedSet, Mapping[str, Any] | None]
    """What it was made of, kept so that their identities stay theirs."""


class Plan:
    """The queries of a job on one day. `query_count` rows, `request_count` requests after sharing.

    A taxon that `lock` knows is asked by its id: two names of one taxon are two rows and share their requests.
    """

    def __init__(self, job: Job, today: date, lock: TaxaLock = NO_LOCK) -> None:
        self.job = job
        self.today = today
        self.lock = lock
        self._columns: dict[tuple[int, int], tuple[_Column, ...]] = {}
        self._interned: dict[FilterSet, FilterSet] = {}
        self.query_count = 0
        # One byte for each request in walking order: 1 where it is asked, 0 where an earlier one serves.
        self._asked = bytearray()
        self._share()
        self.request_count = self._asked.count(1)

    def queries(self) -> Iterator[Query]:
        """The rows, in job order: taxon by taxon, inside a taxon by filter set."""
        for listed, column in self._walk():
            asked_as = self.lock.asked_as(listed.taxon)
            yield Query(listed.taxon, column.name, column.filters, listed.label, column.guards, asked_as)

    def requests(self) -> Iterator[Request]:
        """The requests that must be sent, each once, in the order of the rows."""
        asked = iter(self._asked)
        for listed, column in self._walk():
            for filters in column.asks:
                if next(asked):
                    yield Request(self.lock.asked_as(listed.taxon), filters)

    def require_rows(self, names: Iterable[str]) -> None:
        """UsageError where one of `names` is neither the TAXON nor the TAXON/FILTER_SET of a row."""
        labels: dict[str, str] = {}
        if unknown := set(names):
            for query in self.queries():
                unknown -= {query.taxon, f"{query.taxon}/{query.filter_set}"}
                if query.label:
                    labels[query.label] = query.taxon
                    labels[f"{query.label}/{query.filter_set}"] = f"{query.taxon}/{query.filter_set}"
        if unknown:
            name = min(unknown)
            meant = f"; write {labels[name]}" if name in labels else ", as in the columns taxon and filter_set"
            raise UsageError(f"--accept {name}: no row of this job is TAXON or TAXON/FILTER_SET of that name{meant}")

    def part(self, owns: Callable[[Request], bool]) -> "Plan":
        """The same rows, but of their requests only those that `owns` are asked."""
        part = copy.copy(self)
        mine = (owns(request) for request in self.requests())
        part._asked = bytearray(asked and next(mine) for asked in self._asked)
        part.request_count = part._asked.count(1)
        return part

    def filter_sets(self) -> list[FilterSet]:
        """The different filters of the rows, in the order of the job."""
        return list(dict.fromkeys(column.filters for columns in self._columns.values() for column in columns))

    def dated_sets(self) -> dict[str, FilterSet]:
        """The filter sets of the job that have a date, by name, as they are asked tonight."""
        columns = (column for named in self.job.filter_sets for column in self._column(named, None))
        return {one.name: one.filters for one in columns if one.filters.has_date()}

    def job_hash(self) -> str:
        """The same for jobs that ask the same rows in the same order and judge them alike, whatever the day."""
        digest = hashlib.sha256()
        known: dict[int, str] = {}

        def told(sets: tuple[NamedSet, ...] | None) -> str:
            if id(sets) not in known:
                known[id(sets)] = repr(
                    [(one.name, one.filters.cells(), one.windows, dict(one.guards)) for one in sets or ()]
                )
            return known[id(sets)]

        for listed in self.job.taxa:
            digest.update(repr((listed.taxon, listed.label, dict(listed.guards or {}), told(listed.sets))).encode())
        digest.update(f"{told(self.job.filter_sets)}{self.job.guards}".encode())
        return digest.hexdigest()

    def _walk(self) -> Iterator[tuple[ListedTaxon, _Column]]:
        for listed in self.job.taxa:
            for named in listed.sets or self.job.filter_sets:
                for column in self._column(named, listed.guards):
                    yield listed, column

    def _share(self) -> None:
        seen: dict[int, set[str]] = {}
        for listed, column in self._walk():
            self.query_count += 1
            taxon = self.lock.asked_as(listed.taxon)
            for filters in column.asks:
                # The same filters under another name are the same object by now.
                taxa = seen.setdefault(id(filters), set())
                self._asked.append(taxon not in taxa)
                taxa.add(taxon)

    def _column(self, named: NamedSet, bounds: Mapping[str, Any] | None) -> tuple[_Column, ...]:
        """The columns of a filter set under a taxon's own bounds: one, or one a window."""
        columns = self._columns.get((id(named), id(bounds)))
        if columns is None:
            guards = replace(self.job.guards, **{**named.guards, **(bounds or {})})
            columns = tuple(
                _Column(name, filters, self._asks(filters), guards, (named, bounds))
                for name, filters in self._resolved(named)
            )
            self._columns[id(named), id(bounds)] = columns
        return columns

    def _resolved(self, named: NamedSet) -> Iterator[tuple[str, FilterSet]]:
        filters = named.filters.resolve(self.today)
        if named.windows is None:
            yield named.name, filters
            return
        for since, before in pairwise(named.windows.edges(self.today)):
            yield f"{named.name}/{since}", replace(filters, released_since=since, released_before=before)

    def _asks(self, filters: FilterSet) -> tuple[FilterSet, ...]:
        requests = Query("", "", filters).requests()
        return tuple(self._interned.setdefault(request.filters, request.filters) for request in requests)


def build_plan(job: Job, today: date, lock: TaxaLock = NO_LOCK) -> Plan:
    """The plan of `job` with relative dates counted back from the midnight (UTC) that begins `today`."""
    return Plan(job, today, lock)
