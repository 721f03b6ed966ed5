"""Records counted by what the job can tell of them, and the rows as sums of these counts.

A record is said in the words of what is wanted: its release date as the span between two of the days that are asked
for, and of its taxa, places and lineages only those that are asked for. What is alike in these words is counted
together. The records themselves say where they belong: a taxon or a host means itself and all below it by each
record's own lineage, since trees move and NCBI counts by today's.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import repeat
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import ValidationError

from batchsum.config.taxa_lock import TaxaLock
from batchsum.model.filters import FilterSet
from batchsum.run.holdings.record import read_location, read_organism, read_records
from batchsum.run.holdings.sums import Answers, Question, Wanted, sum_up

# Different viruses, hosts, places and days that are remembered as they were read: a report has some thousands.
_REMEMBERED = 10_000

# Reports name hosts by their scientific names; this one everybody calls otherwise.
_ALSO_CALLED = {"human": 9606}

K = TypeVar("K")
V = TypeVar("V")

# A question: the ids of taxon and host, and then these.
_other_filters = attrgetter(
    "updated_since", "pangolin_classification", "geo_location", "usa_state",
    "refseq_only", "annotated_only", "complete_only", "accessions",
)  # fmt: skip
_NONE: frozenset[Any] = frozenset()

# The span of a record that tells no release day: any filter by date leaves it out.
_NO_DAY = -1

# A hundred accessions share an entry of those that were seen, since they are given out in rows.
_BITS = {f"{last:02}": 1 << last for last in range(100)}
_BIT_OF_ITS_OWN = 1 << 100


class _Memory(dict[K, V]):
    """What was read of each different text, since a report has few; so many that memory is bounded."""

    def __init__(self, read: Callable[[K], V]) -> None:
        self._read = read

    def __missing__(self, text: K) -> V:
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = found = self._read(text)
        return found


class Tally:
    """The records of `taxon` and below, of all that are added."""

    def __init__(self, taxon: int, wanted: Sequence[Wanted]) -> None:
        self.doubles = 0
        self.covers: set[int] = set()
        self.other = ""
        """A taxon that is not below `taxon` and has a record here; empty where there is none."""
        self._taxon, self._wanted = taxon, wanted
        self._kinds: defaultdict[tuple[int, ...], defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
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
        # What records say is numbered: numbers are compared faster than sets. A virus that is not below `taxon` is 0.
        self._numbers: dict[Any, int] = {None: 0}
        self._virus = _Memory[bytes, int](lambda raw: self._number(self._read_virus(raw)))
        self._host = _Memory[bytes, int](lambda raw: self._number(self._read_host(raw)))
        self._place = _Memory[bytes, int](lambda raw: self._number(self._read_place(raw)))
        self._day = _Memory[str, tuple[date | None, int, int]](self._read_day)
        self._flag = _Memory[tuple[Any, ...], int](lambda flags: self._number(self._read_flags(*flags)))

    def add(self, lines: bytes) -> int:
        """Count the records of whole lines; returns how many lines. Raises one of `record.UNREADABLE` where a line is
        no record, or blank, and has counted none of them then."""
        no_host = no_lists = self._number(_NONE)
        asks_flags, no_flags = any(self._flags), self._number((_NONE,) * 3)
        records = read_records(lines)
        if len(records) != lines.count(b"\n") + (not lines.endswith(b"\n")):
            raise ValidationError("a blank line, or a record that is no line of its own")
        viruses = [self._virus[bytes(record.virus)] for record in records]
        hosts = [self._host[bytes(record.host)] for record in records] if self._hosts else repeat(no_host)
        places = [self._place[bytes(record.location)] for record in records]
        kinds, by_day, seen, days = self._kinds, self._by_day, self._seen, self._day
        for record, virus, host, place in zip(records, viruses, hosts, places, strict=False):
            if not virus:
                continue
            unversioned = record.accession.partition(".")[0]
            stem, bit = unversioned[:-2], _BITS.get(unversioned[-2:])
            if not (stem and bit):
                stem, bit = unversioned, _BIT_OF_ITS_OWN
            had = seen.get(stem, 0)
            if had & bit:
                self.doubles += 1
                continue
            seen[stem] = had | bit
            released = record.releaseDate or record.release_date or ""
            day, span, updated = days[released]
            if self._updated:
                updated = days[record.updateDate or record.update_date or released][2]
            flags, lists = no_flags, no_lists
            if asks_flags:
                source = record.sourceDatabase or record.source_database
                flags = self._flag[source, record.isAnnotated or record.is_annotated, record.completeness]
            if self._lists:
                lists = self._number(self._lists.get(record.accession, _NONE) | self._lists.get(unversioned, _NONE))
            kinds[virus, host, place, updated, flags, lists][span] += 1
            by_day[day] += 1
        return len(records)

    @property
    def total(self) -> int:
        return sum(self._by_day.values())

    def released(self) -> dict[date, int]:
        """The records by release day."""
        return {day: count for day, count in self._by_day.items() if day}

    def counts(self, lock: TaxaLock) -> Iterator[int | None]:
        """The count of each Wanted, in order; None where the records cannot say."""
        hosts = {"": 0} | {host: tax_id for host in self._hosts if (tax_id := self._host_id(host))}
        taxa = _Memory[tuple[int | None, str], int | None](lambda taxon: self._at_or_below(*taxon, lock))
        spans = _Memory[tuple[Any, Any], tuple[int, int]](self._spans)
        questions: list[Question | None] = []
        for one in self._wanted:
            tax_id, host = taxa[one.tax_id, one.name], hosts.get(one.filters.host.casefold())
            known = tax_id is not None and host is not None
            questions.append((tax_id, host, *_other_filters(one.filters)) if known else None)
        kinds: dict[Answers, dict[int, int]] = {}
        said = list(self._numbers)
        for numbers, by_span in self._kinds.items():
            (taxa_of, lineage), host_of, place, updated, flags, lists = map(said.__getitem__, numbers)
            kinds[(taxa_of, host_of, updated, lineage, *place, *flags, lists)] = by_span
        sums = sum_up(kinds, filter(None, questions))
        for one, question in zip(self._wanted, questions, strict=True):
            dates = one.filters.released_since, one.filters.released_before
            yield sums[question].between(*spans[dates]) if question else None

    def _at_or_below(self, tax_id: int | None, name: str, lock: TaxaLock) -> int | None:
        """The id of a taxon; None where it is not known to be that of the holding, or below."""
        found = tax_id or _only(self._taxa[name.casefold()])
        return found if found in self.covers or self._taxon in (found, *lock.ancestors(name)) else None

    def _spans(self, dates: tuple[date | None, date | None]) -> tuple[int, int]:
        """The first span of release days that a row asks for, and the one behind the last."""
        since, before = dates
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

    def _read_day(self, text: str) -> tuple[date | None, int, int]:
        """The day, how many of the asked release days have come by then, and the days of updated_since that have."""
        try:
            day = date.fromisoformat(text[:10])
        except ValueError:
            return None, _NO_DAY, self._number(_NONE)
        updated = frozenset(one for one in self._updated if one <= day)
        return day, bisect_right(self._release_days, day), self._number(updated)

    def _read_flags(self, source: str | None, is_annotated: bool | None, completeness: str | None) -> tuple[Any, ...]:
        is_set = source == "RefSeq", is_annotated, completeness == "COMPLETE"
        return tuple(asked if one else _NONE for asked, one in zip(self._flags, is_set, strict=True))

    def _number(self, said: object) -> int:
        return self._numbers.setdefault(said, len(self._numbers))

    def _host_id(self, host: str) -> int | None:
        return int(host) if host.isdecimal() else _only(self._hosts[host]) or _ALSO_CALLED.get(host)


def _only(ids: set[int]) -> int | None:
    """The one there is; None for a name that nothing has, or several."""
    return next(iter(ids)) if len(ids) == 1 else None
