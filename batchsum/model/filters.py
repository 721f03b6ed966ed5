"""The twelve filters of one question: how each is read, compared, shown and sent.

Source: the parameters of `virus_genome_summary` in NCBI's OpenAPI document for Datasets v2.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from batchsum import filters
from batchsum.filters import midnight_before, once_each


def _list_of(parse: Callable[[str], str]) -> Callable[[Any], tuple[str, ...]]:
    def parse_list(value: Any) -> tuple[str, ...]:
        return once_each(parse(item) for item in ([value] if isinstance(value, str) else value))

    return parse_list


# How the text of each filter is read, by name and in the order of NCBI's parameters.
FILTER_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "accessions": _list_of(filters.parse_accession),
    "refseq_only": filters.parse_boolean,
    "annotated_only": filters.parse_boolean,
    "released_since": filters.parse_moment,
    "updated_since": filters.parse_moment,
    "host": filters.parse_tax_id_or_name,
    "pangolin_classification": filters.parse_text,
    "geo_location": filters.parse_text,
    "usa_state": filters.parse_usa_state,
    "complete_only": filters.parse_boolean,
    "include_sequence": _list_of(filters.parse_sequence_type),
    "aux_report": _list_of(filters.parse_report_type),
}

FILTER_NAMES = tuple(FILTER_PARSERS)

# The columns of the table that tell the filters: the twelve, and the end of a window behind its beginning.
FILTER_COLUMNS = tuple(
    column for name in FILTER_NAMES for column in ((name, "released_before") if name == "released_since" else (name,))
)


@dataclass(frozen=True, slots=True)
class FilterSet:
    """The twelve filters of `virus_genome_summary`, as NCBI spells them; absent ones at their default.

    Text is taken for any of them and read as in a job file (`released_since="2025-01-15"`); ValueError says
    what is wrong with it. A `timedelta` is so long before the midnight (UTC) at which the asking night began.
    `released_before` is no filter of NCBI's: it makes a window [released_since, released_before) of two
    requests.
    """

    accessions: tuple[str, ...] = ()
    refseq_only: bool = False
    annotated_only: bool = False
    released_since: date | timedelta | None = None
    updated_since: date | timedelta | None = None
    host: str = ""
    pangolin_classification: str = ""
    geo_location: str = ""
    usa_state: str = ""
    complete_only: bool = False
    include_sequence: tuple[str, ...] = ()
    aux_report: tuple[str, ...] = ()
    released_before: date | timedelta | None = None

    def __post_init__(self) -> None:
        for name, parse in (*FILTER_PARSERS.items(), ("released_before", filters.parse_moment)):
            value: Any = getattr(self, name)
            if isinstance(value, datetime):
                value = value.isoformat()
            if value is None or value == "" or isinstance(value, bool | date | timedelta):
                continue
            try:
                object.__setattr__(self, name, parse(str(value) if isinstance(value, int) else value))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def resolve(self, today: date) -> "FilterSet":
        """The same set with every relative date counted back from `today`."""
        days: dict[str, Any] = {
            name: midnight_before(length, today)
            for name in ("released_since", "released_before", "updated_since")
            if isinstance(length := getattr(self, name), timedelta)
        }
        return replace(self, **days) if days else self

    def has_date(self) -> bool:
        return any((self.released_since, self.released_before, self.updated_since))

    def cells(self) -> dict[str, str]:
        """The filters as the table shows them: false and absent ones empty, lists joined with |."""
        return dict(zip(FILTER_COLUMNS, self.cell_texts(), strict=True))

    def cell_texts(self) -> tuple[str, ...]:
        """The same in the order of FILTER_COLUMNS, without the names."""
        return _cell_texts(self)

    def text(self) -> str:
        """The filters in one line, the same for sets that ask the same: `host=human;complete_only=true`."""
        return _text(self)

    def asked(self) -> "tuple[FilterSet, ...]":
        """What is sent for it: itself; for a window all since its beginning, and all since its end."""
        return _asked(self)

    def parameters(self) -> Iterator[tuple[str, str]]:
        """The query parameters as sent, lists as repeated keys, false and absent filters left out."""
        for name in FILTER_NAMES:
            value = getattr(self, name)
            if isinstance(value, tuple):
                yield from ((name, item) for item in value)
            elif isinstance(value, date):
                yield name, f"{value.isoformat()}T00:00:00Z"
            elif isinstance(value, timedelta):
                raise ValueError(f"{name} is relative; resolve the set for a day first")
            elif value:
                yield name, _cell(value)


# A night has a million rows, but few filter sets: what follows from a set alone is worked out once.


@lru_cache(maxsize=4096)
def _cell_texts(filters: FilterSet) -> tuple[str, ...]:
    return tuple(_cell(getattr(filters, name)) for name in FILTER_COLUMNS)


@lru_cache(maxsize=4096)
def _text(filters: FilterSet) -> str:
    return ";".join(f"{name}={cell}" for name, cell in filters.cells().items() if cell)


@lru_cache(maxsize=4096)
def _asked(filters: FilterSet) -> tuple[FilterSet, ...]:
    if filters.released_before is None:
        return (filters,)
    since = replace(filters, released_before=None)
    return since, replace(since, released_since=filters.released_before)


def _cell(value: Any) -> str:
    match value:
        case True:
            return "true"
        case date():
            return value.isoformat()
        case timedelta():
            return f"{value.days}d"
        case tuple():
            return "|".join(value)
        case str():
            return value
    return ""
