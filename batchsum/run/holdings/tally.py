"""Records counted by what the job can tell of them, and the rows as sums of these counts.

A record is said in the words of what is wanted: its release date as the span between two of the days that are asked
for, and of its taxa, places and lineages only those that are asked for. What is alike in these words is counted
together. The records themselves say where they belong: a taxon or a host means itself and all below it by each
record's own lineage, since trees move and NCBI counts by today's.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache

from batchsum.config.taxa_lock import TaxaLock
from batchsum.model.filters import FilterSet
from batchsum.run.holdings.record import read_location, read_organism, read_record
from batchsum.run.holdings.sums import Kind, Question, Wanted, sum_up

# Different viruses, hosts and places that are remembered as they were read: a report has some thousands.
_REMEMBERED = 20_000

# Reports name hosts by their scientific names; for this one everybody writes another.
_HUMAN = {"human": 9606}


class Tally:
    """The records of `taxon` and below, of all that are added."""

    def __init__(self, taxon: int, wanted: Sequence[Wanted]) -> None:
        self.total = self.doubles = 0
        self.covers: set[int] = set()
        self.other = ""
        """A taxon that is not below `taxon` and has a record here; empty where there is none."""
        self._taxon, self._wanted = taxon, wanted
        self._kinds: defaultdict[Kind, int] = defaultdict(int)
        self._by_day: defaultdict[str, int] = defaultdict(int)
        self._seen: dict[str, int] = {}
        filters = [one.filters for one in wanted]
        self._tax_ids = {one.tax_id for one in wanted if one.tax_id}
        # Names that are asked for, with the ids that the records have for them.
        self._taxa: dict[str, set[int]] = {one.name.casefold(): set() for one in wanted if one.tax_id is None}
        self._hosts: dict[str, set[int]] = {one.host.casefold(): set() for one in filters if one.host}
        self._lineages = {one.pangolin_classification for one in filters}
        self._places = {one.geo_location for one in filters} - {""}
        self._states = {one.usa_state for one in filters}
        self._accessions = {accession for one in filters for accession in one.accessions}
        self._refseq = any(one.refseq_only for one in filters)
        self._annotated = any(one.annotated_only for one in filters)
        self._complete = any(one.complete_only for one in filters)
        self._updated_days = _different(one.updated_since for one in filters)
        self._release_days = _different(day for one in filters for day in (one.released_since, one.released_before))
        self._virus = lru_cache(_REMEMBERED)(self._read_virus)
        self._host = lru_cache(_REMEMBERED)(self._read_host)
        self._place = lru_cache(_REMEMBERED)(self._read_place)

    def add(self, line: bytes) -> None:
        """Count the record of one line. Raises one of `record.UNREADABLE` where it is none."""
        record = read_record(line)
        virus = self._virus(bytes(record.virus))
        host = self._host(bytes(record.host)) if self._hosts else frozenset[int]()
        places, state = self._place(bytes(record.location))
        unversioned = record.accession.partition(".")[0]
        if virus is None:
            return
        if not self._is_new(unversioned):
            self.doubles += 1
            return
        released = record.releaseDate or record.release_date or ""
        updated = record.updateDate or record.update_date or released
        kind = Kind(
            bisect_right(self._release_days, day) if (day := _day(released)) else -1,
            bisect_right(self._updated_days, day) if (day := _day(updated)) else 0,
            *virus,
            host,
            places,
            state,
            self._refseq and (record.sourceDatabase or record.source_database) == "RefSeq",
            self._annotated and bool(record.isAnnotated or record.is_annotated),
            self._complete and record.completeness == "COMPLETE",
            frozenset(self._accessions & {record.accession, unversioned}) if self._accessions else frozenset(),
        )
        self._kinds[kind] += 1
        self._by_day[released] += 1
        self.total += 1

    def released(self) -> dict[date, int]:
        """The records by release day."""
        days: defaultdict[date, int] = defaultdict(int)
        for text, count in self._by_day.items():
            if day := _day(text):
                days[day] += count
        return dict(days)

    def counts(self, lock: TaxaLock) -> Iterator[int | None]:
        """The count of each Wanted, in order; None where the records cannot say."""
        hosts = {host: tax_id for host in self._hosts if (tax_id := self._host_id(host, lock))}
        questions = [self._question(one, hosts, lock) for one in self._wanted]
        sums = sum_up(self._kinds, filter(None, questions), hosts, self._updated_days)
        for one, question in zip(self._wanted, questions, strict=True):
            yield sums[question].between(*self._spans(one.filters)) if question else None

    def _question(self, one: Wanted, hosts: dict[str, int], lock: TaxaLock) -> Question | None:
        filters, host = one.filters, one.filters.host.casefold()
        tax_id = one.tax_id or _only(self._taxa[one.name.casefold()])
        is_below = tax_id in self.covers or self._taxon in (tax_id, *lock.ancestors(one.name))
        if tax_id is None or not is_below or (host and host not in hosts):
            return None
        return Question(
            tax_id,
            _absolute(filters.updated_since),
            filters.pangolin_classification,
            host,
            filters.geo_location,
            filters.usa_state,
            filters.refseq_only,
            filters.annotated_only,
            filters.complete_only,
            filters.accessions,
        )

    def _spans(self, filters: FilterSet) -> tuple[int, int]:
        """The spans of release days that a row asks for, the last excluded; without days also -1."""
        since, before = _absolute(filters.released_since), _absolute(filters.released_before)
        first = bisect_left(self._release_days, since) + 1 if since else 0 if before else -1
        end = bisect_left(self._release_days, before) if before else len(self._release_days)
        return first, end + 1

    def _read_virus(self, raw: bytes) -> tuple[frozenset[int], str] | None:
        """The taxa that are asked for and mean this virus, and its lineage where that is asked for."""
        names, lineage = read_organism(raw)
        ids = list(names)
        if self._taxon not in names:
            self.other = f"{ids[-1]} ({min(names[ids[-1]])})" if ids else "no taxon"
            return None
        below = ids[ids.index(self._taxon) :]
        self.covers.update(below)
        asked = self._tax_ids.intersection(below)
        for tax_id in below:
            for name in names[tax_id] & self._taxa.keys():
                self._taxa[name].add(tax_id)
                asked.add(tax_id)
        return frozenset(asked), lineage if lineage in self._lineages else ""

    def _read_host(self, raw: bytes) -> frozenset[int]:
        """The ids of the host and all above it."""
        names = read_organism(raw).names
        for tax_id, called in names.items():
            for name in called & self._hosts.keys():
                self._hosts[name].add(tax_id)
        return frozenset(names)

    def _read_place(self, raw: bytes) -> tuple[frozenset[str], str]:
        """The places and the state that are asked for and mean this one."""
        region, country, state = read_location(raw)
        return frozenset(self._places & {region, country}), state if state in self._states else ""

    def _host_id(self, host: str, lock: TaxaLock) -> int | None:
        if host.isdecimal():
            return int(host)
        return _only(self._hosts[host]) if self._hosts[host] else lock.tax_id(host) or _HUMAN.get(host)

    def _is_new(self, accession: str) -> bool:
        """Whether it had not come yet. A hundred numbers share an entry, for accessions are given out in rows."""
        stem, last = accession[:-2], accession[-2:]
        if not (stem and last.isascii() and last.isdigit()):
            stem, last = accession, "100"
        bit, seen = 1 << int(last), self._seen.get(stem, 0)
        self._seen[stem] = seen | bit
        return not seen & bit


@lru_cache(_REMEMBERED)
def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _absolute(day: date | timedelta | None) -> date | None:
    if isinstance(day, timedelta):
        raise ValueError(f"{day.days} days is a relative date; resolve the filters for a night first")
    return day


def _different(days: Iterable[date | timedelta | None]) -> list[date]:
    return sorted({day for day in map(_absolute, days) if day})


def _only(ids: set[int]) -> int | None:
    return next(iter(ids)) if len(ids) == 1 else None
