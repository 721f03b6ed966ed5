"""The plan of a night: every query in job order, and each different request once."""

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any

from batchsum.config.taxa_lock import NO_LOCK, TaxaLock
from batchsum.model.filters import FilterSet
from batchsum.model.job import Job, NamedSet
from batchsum.model.queries import Guards, Query, Request


class Plan:
    """The queries of a job on one day: `query_count` rows, and `request_count` requests after sharing.

    Relative dates count back from the midnight (UTC) that begins `today`. A taxon that `lock` knows is asked by its
    id: two names of one taxon are two rows and share their requests.
    """

    def __init__(self, job: Job, today: date, lock: TaxaLock = NO_LOCK) -> None:
        self.job = job
        self.today = today
        self.lock = lock
        self._resolved: dict[tuple[NamedSet, frozenset[tuple[str, Any]]], tuple[Query, ...]] = {}
        self.query_count = 0
        self._requests: dict[Request, None] = {}  # a dictionary, since it keeps the order of the rows
        for query in self.queries():
            self.query_count += 1
            self._requests.update(dict.fromkeys(query.requests()))

    @property
    def request_count(self) -> int:
        return len(self._requests)

    def __contains__(self, request: object) -> bool:
        return request in self._requests

    def queries(self) -> Iterator[Query]:
        """The rows, in job order: taxon by taxon, inside a taxon by filter set."""
        # Made anew at each walk: a job of a million rows is walked a few times and kept for hours.
        # Taxa side by side mostly share their sets, which need not be looked up for each.
        for (sets, bounds), taxa in groupby(self.job.taxa, key=attrgetter("sets", "guards")):
            resolved = [one for named in sets or self.job.filter_sets for one in self._resolve(named, bounds or {})]
            for listed in taxa:
                asked_as = self.lock.asked_as(listed.taxon)
                for one in resolved:
                    yield Query(
                        listed.taxon, one.filter_set, one.filters, listed.label, one.guards, asked_as,
                        one.asks, one.series, one.is_rolling,
                    )  # fmt: skip

    def requests(self) -> Iterator[Request]:
        """The requests that must be sent, each once, in the order of the rows."""
        return iter(self._requests)

    def part(self, requests: Iterable[Request]) -> "Plan":
        """The same rows, but of their requests only these are asked."""
        part = copy.copy(self)  # the rows are the same, and need not be walked through again
        part._requests = dict.fromkeys(requests)
        return part

    def filter_sets(self) -> list[FilterSet]:
        """The different filters of the rows, in the order of the job."""
        return list(dict.fromkeys(one.filters for sets in self._resolved.values() for one in sets))

    def guards(self) -> set[Guards]:
        """The different bounds of the rows."""
        return {one.guards for sets in self._resolved.values() for one in sets}

    def dated_sets(self) -> dict[str, FilterSet]:
        """The filter sets of the job that have a date, by name, as asked tonight; all windows of one as `name/*`."""
        dated: dict[str, FilterSet] = {}
        for named in self.job.filter_sets:  # which need not be those of the rows
            name, filters = named.name, named.filters
            if named.windows:
                first, *_, last = named.windows.edges(self.today)
                name, filters = f"{name}/*", filters._replace(released_since=first, released_before=last)
            if filters.dates():
                dated[name] = filters.resolve(self.today)
        return dated

    def job_hash(self) -> str:
        """The same for jobs that ask the same rows in the same order and judge them alike, whatever the day."""

        @cache
        def text(sets: tuple[NamedSet, ...]) -> str:
            return repr([(one.name, one.filters.cells(), one.windows, dict(one.guards)) for one in sets])

        digest = hashlib.sha256()
        for listed in self.job.taxa:
            own = text(listed.sets or ())
            digest.update(repr((listed.taxon, listed.label, dict(listed.guards or {}), own)).encode())
        digest.update(f"{text(self.job.filter_sets)}{self.job.guards}".encode())
        if self.job.holdings.files:
            names = [(one.taxon, one.file) for one in self.job.holdings.files]
            digest.update(f"{names}{self.job.holdings.use}{self.job.holdings.max_age}".encode())
        return digest.hexdigest()

    def _resolve(self, named: NamedSet, bounds: Mapping[str, Any]) -> tuple[Query, ...]:
        """What a filter set asks tonight under a taxon's own bounds, of whatever taxon."""
        # By value: what many taxa share is worked out once, whoever made the objects.
        key = named, frozenset(bounds.items())
        if key not in self._resolved:
            guards = replace(self.job.guards, **{**named.guards, **bounds})
            self._resolved[key] = tuple(_on_day(named, guards, self.today))
        return self._resolved[key]


def _on_day(named: NamedSet, guards: Guards, today: date) -> Iterator[Query]:
    """What a filter set asks on one day: one query, or one for each window. They lack their taxon still."""

    def query(name: str, filters: FilterSet, series: str = "") -> Query:
        asks, is_rolling = filters.canonical(), filters.is_rolling()
        return Query("", name, filters.resolve(today), guards=guards, asks=asks, series=series, is_rolling=is_rolling)

    filters = named.filters
    if named.windows is None:
        yield query(named.name, filters)
        return
    every, last = named.windows.every, named.windows.last
    series = f"{filters.canonical()};windows={every.days}d,{last}"
    for since, before in pairwise(named.windows.edges(today)):
        yield query(f"{named.name}/{since}", filters._replace(released_since=since, released_before=before), series)
