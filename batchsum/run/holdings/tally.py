"""Records counted by what the job can tell of them, and the rows as sums of these counts.

A record is said in the words of what is wanted: its release date as the span between two of the days that are asked
for, and of its taxa, places and lineages only those that are asked for. What is alike in these words is counted
together. The records themselves say where they belong: a taxon or a host means itself and all below it by each
record's own lineage, since trees move and NCBI counts by today's.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, compress, repeat
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from msgspec import ValidationError

from batchsum.config.taxa_lock import TaxaLock
from batchsum.model.filters import FilterSet
from batchsum.run.holdings.record import FLAGS, read_location, read_organism, read_records
from batchsum.run.holdings.sums import Answers, Question, Wanted, sum_up

# Different viruses, hosts, places and days that are remembered as they were read: a report has some thousands.
_REMEMBERED = 10_000

# Reports name hosts by their scientific names; this one everybody calls otherwise.
_ALSO_CALLED = {"human": 9606}

K = TypeVar("K")
V = TypeVar("V")

# What rows ask beside their taxon and their release dates: of many rows few different things. In the order in which
# the `fields` of Tally.add() answer them; the `columns` of Tally are what of each is asked for.
_filters = attrgetter(
    "pangolin_classification", "host", "geo_location", "usa_state", "updated_since", *FLAGS, "accessions"
)
_release_dates = attrgetter("released_since", "released_before")
_span = attrgetter("span")
Asked = tuple[Any, ...]
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


class _Day(NamedTuple):
    date: date | None
    span: int
    """How many of the release days that are asked for have come by then."""
    come: int
    """The number of the days of updated_since that have."""


class Tally:
    """The records of `taxon` and below, of all that are added."""

    def __init__(self, taxon: int | str, wanted: Sequence[Wanted]) -> None:
        self.covers: set[int] = set()
        self.other = ""
        """A taxon that is not below `taxon` and has a record here; empty where there is none."""
        self.taxon = taxon if isinstance(taxon, int) else None
        """Of a name, from the first record on whose lineage has it."""
        self._name = str(taxon).casefold()
        self._kinds = Counter[tuple[int, ...]]()
        self._by_day = Counter[_Day]()
        self._seen: dict[str, int] = {}
        one_of: dict[Asked, Asked] = {}
        asked = ((row.tax_id, row.name, *_filters(row.filters)) for row in wanted)
        self._rows = [one_of.setdefault(each, each) for each in asked]
        self._dates = [_release_dates(row.filters) for row in wanted]
        self._release_days = sorted({day for dates in self._dates for day in dates if day})
        # Taxa by id; names that are asked for, with the ids that the records have for them.
        self._tax_ids = {tax_id for tax_id, *_ in one_of if tax_id}
        self._taxa: dict[str, set[int]] = {name.casefold(): set() for tax_id, name, *_ in one_of if tax_id is None}
        no_row = None, "", *_filters(FilterSet())
        columns = [frozenset(filter(None, values)) for values in zip(no_row, *one_of, strict=True)]
        self._lineages, hosts, self._places, self._states, self._updated, *self._flags, lists = columns[2:]
        self._hosts: dict[str, set[int]] = {host.casefold(): set() for host in hosts}
        self._lists: dict[str, frozenset[Any]] = {}
        for accessions in lists:
            for accession in accessions:
                self._lists[accession] = self._lists.get(accession, _NONE) | {accessions}
        # What records say is numbered: numbers are compared faster than sets. A virus that is not below `taxon` is 0.
        self._numbers: dict[Any, int] = {None: 0}
        self._virus = _Memory[bytes, int](lambda raw: self._number(self._read_virus(raw)))
        self._host = _Memory[bytes, int](lambda raw: self._number(self._read_host(raw)))
        self._place = _Memory[bytes, int](lambda raw: self._number(self._read_place(raw)))
        self._day = _Memory[str, _Day](self._read_day)
        self._flag = _Memory[tuple[bool, ...], int](lambda flags: self._number(self._read_flags(flags)))

    def add(self, lines: bytes | memoryview) -> int:
        """Count the records of whole lines; returns how many. Raises one of `record.UNREADABLE` where something in them
        is no record, and has counted none of them then."""
        if bytes(lines[:3]).strip() == b"{":
            raise ValidationError("a record over several lines, of which a block may end within")
        records = read_records(lines)

        def nothing(width: int = 1) -> Iterator[int]:
            return repeat(self._number((_NONE,) * width))

        days = [self._day[record.releaseDate or record.release_date or ""] for record in records]
        # Field by field, which is faster than record by record; none that no row asks for.
        fields = (
            [self._virus[bytes(record.virus)] for record in records],
            [self._host[bytes(record.host)] for record in records] if self._hosts else nothing(),
            [self._place[bytes(record.location)] for record in records] if self._places or self._states else nothing(2),
            [self._day[record.updated].come for record in records] if self._updated else nothing(),
            [self._flag[record.flags] for record in records] if any(self._flags) else nothing(len(FLAGS)),
            [self._lists_of(record.accession) for record in records] if self._lists else nothing(),
            map(_span, days),
        )
        is_new = list(self._are_new(fields[0], [record.accession for record in records]))
        self._kinds.update(compress(zip(*fields, strict=False), is_new))
        self._by_day.update(compress(days, is_new))
        return len(records)

    def _are_new(self, viruses: Iterable[int], accessions: Iterable[str]) -> Iterator[bool]:
        """For each record whether it is one of `taxon` or below whose accession was not seen before."""
        seen = self._seen
        for virus, accession in zip(viruses, accessions, strict=True):
            unversioned = accession.partition(".")[0]
            stem, bit = unversioned[:-2], _BITS.get(unversioned[-2:])
            if not (stem and bit):
                stem, bit = unversioned, _BIT_OF_ITS_OWN
            had = seen.get(stem, 0)
            if virus and not had & bit:
                seen[stem] = had | bit
                yield True
            else:
                yield False

    def _lists_of(self, accession: str) -> int:
        both = accession, accession.partition(".")[0]
        return self._number((frozenset().union(*(self._lists.get(one, _NONE) for one in both)),))

    @property
    def total(self) -> int:
        return sum(self._by_day.values())

    def released(self) -> dict[date, int]:
        """The records by release day."""
        return {day.date: count for day, count in self._by_day.items() if day.date}

    def counts(self, lock: TaxaLock) -> Iterator[int | None]:
        """The count of each Wanted, in order; None where the records cannot say."""
        questions: dict[Asked, Question] = {}
        for asked in set(self._rows):
            tax_id, name, lineage, host, *others = asked
            taxon = self._at_or_below(tax_id, name, lock)
            host_id = self._host_id(host.casefold()) if host else 0
            if taxon is not None and host_id is not None:
                questions[asked] = (taxon, lineage, host_id, *others)
        said = list(self._numbers)
        spans_of: defaultdict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
        for kind, count in self._kinds.items():
            spans_of[kind[:-1]][kind[-1]] = count
        kinds: dict[Answers, dict[int, int]] = {
            tuple(chain.from_iterable(said[number] for number in numbers)): spans for numbers, spans in spans_of.items()
        }
        sums = sum_up(kinds, questions.values())
        sums_of = {asked: sums[question] for asked, question in questions.items()}
        edges = _Memory(self._edges)
        for asked, dates in zip(self._rows, self._dates, strict=True):
            between = sums_of.get(asked)
            yield between(*edges[dates]) if between else None

    def _at_or_below(self, tax_id: int | None, name: str, lock: TaxaLock) -> int | None:
        """The id of a taxon; None where it is not known to be that of the holding, or below."""
        found = tax_id or _only(self._taxa[name.casefold()])
        return found if found in self.covers or self.taxon in (found, *lock.ancestors(name)) else None

    def _edges(self, dates: tuple[date | None, date | None]) -> tuple[int, int]:
        """The first span of release days that a row asks for, and the one behind the last."""
        since, before = dates
        first = bisect_left(self._release_days, since) + 1 if since else 0 if before else _NO_DAY
        end = bisect_left(self._release_days, before) if before else len(self._release_days)
        return first, end + 1

    def _read_virus(self, raw: bytes) -> tuple[frozenset[int], frozenset[str]] | None:
        """The taxa that are asked for and mean this virus, and its lineage where that is asked for."""
        names, lineage = read_organism(raw)
        ids = list(names)
        if self.taxon is None:
            self.taxon = next((tax_id for tax_id, called in names.items() if self._name in called), None)
        if self.taxon not in names:
            self.other = f"{ids[-1]}" if ids else "an organism without a tax id"
            return None
        below = ids[ids.index(self.taxon) :]
        self.covers.update(below)
        asked = self._tax_ids.intersection(below)
        for tax_id in below:
            for name in names[tax_id] & self._taxa.keys():
                self._taxa[name].add(tax_id)
                asked.add(tax_id)
        return frozenset(asked), self._lineages & {lineage}

    def _read_host(self, raw: bytes) -> tuple[frozenset[int]]:
        """The ids of the host and all above it."""
        names, _ = read_organism(raw)
        for tax_id, called in names.items():
            for name in called & self._hosts.keys():
                self._hosts[name].add(tax_id)
        return (frozenset(names),)

    def _read_place(self, raw: bytes) -> tuple[frozenset[str], frozenset[str]]:
        region, country, state = read_location(raw)
        return self._places & {region, country}, self._states & {state}

    def _read_day(self, text: str) -> "_Day":
        try:
            day = date.fromisoformat(text[:10])
        except ValueError:
            return _Day(None, _NO_DAY, self._number((_NONE,)))
        come = frozenset(one for one in self._updated if one <= day)
        return _Day(day, bisect_right(self._release_days, day), self._number((come,)))

    def _read_flags(self, flags: tuple[bool, ...]) -> tuple[frozenset[Any], ...]:
        return tuple(asked if one else _NONE for asked, one in zip(self._flags, flags, strict=True))

    def _number(self, said: object) -> int:
        return self._numbers.setdefault(said, len(self._numbers))

    def _host_id(self, host: str) -> int | None:
        return int(host) if host.isdecimal() else _only(self._hosts[host]) or _ALSO_CALLED.get(host)


def _only(ids: set[int]) -> int | None:
    """The one there is; None for a name that nothing has, or several."""
    return next(iter(ids)) if len(ids) == 1 else None
