"""Records counted by what the job can tell of them, and the rows as sums of these counts.

A record is said in the words of what is wanted: its release date as the span between two of the days that are asked
for, and of its taxa, places and lineages only those that are asked for. What is alike in these words is counted
together. The records themselves say where they belong: a taxon or a host means itself and all below it by each
record's own lineage, since trees move and NCBI counts by today's.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter
from typing import Any

from batchsum.config.taxa_lock import TaxaLock
from batchsum.model.filters import FilterSet
from batchsum.run.holdings.record import read_location, read_organism, read_record
from batchsum.run.holdings.sums import Answers, Question, Wanted, sum_up

# Different viruses, hosts, places and days that are remembered as they were read: a report has some thousands.
_REMEMBERED = 10_000

# Reports name hosts by their scientific names; this one everybody calls otherwise.
_ALSO_CALLED = {"human": 9606}

# A question: the ids of taxon and host, and then these.
_other_filters = attrgetter(
    "updated_since", "pangolin_classification", "geo_location", "usa_state",
    "refseq_only", "annotated_only", "complete_only", "accessions",
)  # fmt: skip
_NONE: frozenset[Any] = frozenset()

# The span of a record that tells no release day: any filter by date leaves it out.
_NO_DAY = -1


class Tally:
    """The records of `taxon` and below, of all that are added."""

    def __init__(self, taxon: int, wanted: Sequence[Wanted]) -> None:
        self.total = self.doubles = 0
        self.covers: set[int] = set()
        self.other = ""
        """A taxon that is not below `taxon` and has a record here; empty where there is none."""
        self._taxon, self._wanted = taxon, wanted
        self._kinds: defaultdict[Answers, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._by_day: defaultdict[date | None, int] = defaultdict(int)
        self._seen: dict[str, int] = {}
        self._tax_ids = {one.tax_id for one in wanted if one.tax_id}
        # Names that are asked for, with the ids that the records have for them.
        self._taxa: dict[str, set[int]] = {one.name.casefold(): set() for one in wanted if one.tax_id is None}
        self._hosts: dict[str, set[int]] = {one.filters.host.casefold(): set() for one in wanted if one.filters.host}
        every = [FilterSet(), *(one.filters for one in wanted)]
        self._release_days = sorted({day for one in every for day in (one.released_since, one.released_before) if day})
        asked = [frozenset(filter(None, values)) for values in zip(*map(_other_filters, every), strict=True)]
        self._updated, self._lineages, self._places, self._states, *self._flags, lists = asked
        self._lists: dict[str, frozenset[Any]] = {}
        for accessions in lists:
            for accession in accessions:
                self._lists[accession] = self._lists.get(accession, _NONE) | {accessions}
        # A report has few different ones of these: each is looked into once.
        self._virus = lru_cache(_REMEMBERED)(self._read_virus)
        self._host = lru_cache(_REMEMBERED)(self._read_host)
        self._place = lru_cache(_REMEMBERED)(self._read_place)
        self._day = lru_cache(_REMEMBERED)(self._read_day)

    def add(self, line: bytes) -> None:
        """Count the record of one line. Raises one of `record.UNREADABLE` where it is none."""
        record = read_record(line)
        virus = self._virus(bytes(record.virus))
        host = self._host(bytes(record.host)) if self._hosts else _NONE
        places, state = self._place(bytes(record.location))
        if virus is None:
            return
        unversioned = record.accession.partition(".")[0]
        if not self._is_new(unversioned):
            self.doubles += 1
            return
        taxa, lineage = virus
        released = record.releaseDate or record.release_date or ""
        day, span, _ = self._day(released)
        is_refseq, is_annotated, is_complete = self._flags
        answers = (
            taxa,
            host,
            self._day(record.updateDate or record.update_date or released)[2],
            lineage,
            places,
            state,
            is_refseq if (record.sourceDatabase or record.source_database) == "RefSeq" else _NONE,
            is_annotated if record.isAnnotated or record.is_annotated else _NONE,
            is_complete if record.completeness == "COMPLETE" else _NONE,
            self._lists.get(record.accession, _NONE) | self._lists.get(unversioned, _NONE) if self._lists else _NONE,
        )
        self._kinds[answers][span] += 1
        self._by_day[day] += 1
        self.total += 1

    def released(self) -> dict[date, int]:
        """The records by release day."""
        return {day: count for day, count in self._by_day.items() if day}

    def counts(self, lock: TaxaLock) -> Iterator[int | None]:
        """The count of each Wanted, in order; None where the records cannot say."""
        hosts = {"": 0} | {host: tax_id for host in self._hosts if (tax_id := self._host_id(host))}
        questions = [self._question(one, hosts, lock) for one in self._wanted]
        sums = sum_up(self._kinds, filter(None, questions))
        for one, question in zip(self._wanted, questions, strict=True):
            yield sums[question].between(*self._spans(one.filters)) if question else None

    def _question(self, one: Wanted, hosts: Mapping[str, int], lock: TaxaLock) -> Question | None:
        tax_id = one.tax_id or _only(self._taxa[one.name.casefold()])
        host = hosts.get(one.filters.host.casefold())
        is_below = tax_id in self.covers or self._taxon in (tax_id, *lock.ancestors(one.name))
        if tax_id is None or host is None or not is_below:
            return None
        return (tax_id, host, *_other_filters(one.filters))

    def _spans(self, filters: FilterSet) -> tuple[int, int]:
        """The first span of release days that a row asks for, and the one behind the last."""
        since, before = filters.released_since, filters.released_before
        first = bisect_left(self._release_days, since) + 1 if since else 0 if before else _NO_DAY
        end = bisect_left(self._release_days, before) if before else len(self._release_days)
        return first, end + 1

    def _read_virus(self, raw: bytes) -> tuple[frozenset[int], frozenset[str]] | None:
        """The taxa that are asked for and mean this virus, and its lineage where that is asked for."""
        names, lineage = read_organism(raw)
        ids = list(names)
        if self._taxon not in names:
            self.other = f"{ids[-1]}" if ids else "an organism without a tax id"
            return None
        below = ids[ids.index(self._taxon) :]
        self.covers.update(below)
        asked = self._tax_ids.intersection(below)
        for tax_id in below:
            for name in names[tax_id] & self._taxa.keys():
                self._taxa[name].add(tax_id)
                asked.add(tax_id)
        return frozenset(asked), self._lineages & {lineage}

    def _read_host(self, raw: bytes) -> frozenset[int]:
        """The ids of the host and all above it."""
        names = read_organism(raw).names
        for tax_id, called in names.items():
            for name in called & self._hosts.keys():
                self._hosts[name].add(tax_id)
        return frozenset(names)

    def _read_place(self, raw: bytes) -> tuple[frozenset[str], frozenset[str]]:
        region, country, state = read_location(raw)
        return self._places & {region, country}, self._states & {state}

    def _read_day(self, text: str) -> tuple[date | None, int, frozenset[date]]:
        """The day, how many of the asked release days have come by then, and the days of updated_since that have."""
        try:
            day = date.fromisoformat(text[:10])
        except ValueError:
            return None, _NO_DAY, _NONE
        return day, bisect_right(self._release_days, day), frozenset(one for one in self._updated if one <= day)

    def _host_id(self, host: str) -> int | None:
        return int(host) if host.isdecimal() else _only(self._hosts[host]) or _ALSO_CALLED.get(host)

    def _is_new(self, accession: str) -> bool:
        """Whether it had not come yet. A hundred of them share an entry, since they are given out in rows."""
        stem, last = accession[:-2], accession[-2:]
        if not (stem and last.isascii() and last.isdigit()):
            stem, last = accession, "100"
        bit, seen = 1 << int(last), self._seen.get(stem, 0)
        self._seen[stem] = seen | bit
        return not seen & bit


def _only(ids: set[int]) -> int | None:
    """The one there is; None for a name that nothing has, or several."""
    return next(iter(ids)) if len(ids) == 1 else None
