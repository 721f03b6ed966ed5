"""The plan: every query in job order, and each different request once.

Rows are made anew each time they are walked, so that a million of them cost no memory beside the taxa themselves.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from batchsum.job import Job, ListedTaxon, NamedSet
from batchsum.model import FilterSet, Guards, Query, Request


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
    """The queries of a job on one day. `query_count` rows, `request_count` requests after sharing."""

    def __init__(self, job: Job, today: date) -> None:
        self.job = job
        self.today = today
        self._columns: dict[tuple[int, int], _Column] = {}
        self._interned: dict[FilterSet, FilterSet] = {}
        self.query_count = 0
        # One byte for each request in walking order: 1 where it is asked, 0 where an earlier one serves.
        self._asked = bytearray()
        self._share()
        self.request_count = self._asked.count(1)

    def queries(self) -> Iterator[Query]:
        """The rows, in job order: taxon by taxon, inside a taxon by filter set."""
        for listed, column in self._walk():
            yield Query(listed.taxon, column.name, column.filters, listed.label, column.guards)

    def requests(self) -> Iterator[Request]:
        """The requests that must be sent, each once, in the order of the rows."""
        asked = iter(self._asked)
        for listed, column in self._walk():
            for filters in column.asks:
                if next(asked):
                    yield Request(listed.taxon, filters)

    def filter_sets(self) -> set[FilterSet]:
        """The different filters of the rows."""
        return {column.filters for column in self._columns.values()}

    def job_hash(self) -> str:
        """The same for jobs that ask the same rows in the same order, whatever the day."""
        digest = hashlib.sha256()
        for listed in self.job.taxa:
            names = [(one.name, one.filters.cells()) for one in listed.sets] if listed.sets else None
            digest.update(repr((listed.taxon, listed.label, names)).encode())
        digest.update(repr([(one.name, one.filters.cells()) for one in self.job.filter_sets]).encode())
        return digest.hexdigest()

    def _walk(self) -> Iterator[tuple[ListedTaxon, _Column]]:
        for listed in self.job.taxa:
            for named in listed.sets or self.job.filter_sets:
                yield listed, self._column(named, listed.guards)

    def _share(self) -> None:
        seen: dict[int, set[str]] = {}
        for listed, column in self._walk():
            self.query_count += 1
            for filters in column.asks:
                # The same filters under another name are the same object by now.
                taxa = seen.setdefault(id(filters), set())
                self._asked.append(listed.taxon not in taxa)
                taxa.add(listed.taxon)

    def _column(self, named: NamedSet, bounds: Mapping[str, Any] | None) -> _Column:
        column = self._columns.get((id(named), id(bounds)))
        if column is None:
            filters = named.filters.resolve(self.today)
            asks = tuple(
                self._interned.setdefault(request.filters, request.filters)
                for request in Query("", named.name, filters).requests()
            )
            guards = replace(self.job.guards, **{**named.guards, **(bounds or {})})
            column = _Column(named.name, filters, asks, guards, (named, bounds))
            self._columns[id(named), id(bounds)] = column
        return column


def build_plan(job: Job, today: date) -> Plan:
    """The plan of `job` with relative dates counted back from the midnight (UTC) that begins `today`."""
    return Plan(job, today)
