"""A filter set of the job file as a pydantic model: each filter once, or lists of values in its matrix."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model

from batchsum import filters
from batchsum.config import values
from batchsum.jobfile.keys import LENGTH, Flag, Keys, Name, Text, as_value, not_empty, whole_number


def _wrapped(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _in_order(pair: list[date | timedelta]) -> list[date | timedelta]:
    if len(pair) != 2:
        raise ValueError("must be two dates, [from, to), as in [2025-01-01, 2025-02-01]")
    match pair:
        case [date() as begin, date() as end] if begin >= end:
            raise ValueError(f"begins on {begin} and ends on {end}; write the earlier date first")
        case [timedelta() as begin, timedelta() as end] if begin <= end:
            raise ValueError(f"begins {begin.days}d back and ends {end.days}d back; write the longer time first")
    return pair


State = Annotated[str, *as_value(filters.parse_usa_state, enum=[*filters.USA_STATES])]
Moment = Annotated[date | timedelta, *as_value(filters.parse_moment, examples=["2025-01-15", "7d"])]


def _list_filter(parse: Callable[[str], str], choices: tuple[str, ...] = ()) -> Any:
    item = {"type": "string", "enum": [*choices]} if choices else {"type": "string"}
    one_or_more = {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}
    values = list[Annotated[str, *as_value(parse)]]
    return Annotated[values, BeforeValidator(_wrapped), AfterValidator(not_empty), WithJsonSchema(one_or_more)]


Accessions = _list_filter(filters.parse_accession)
SequenceTypes = _list_filter(filters.parse_sequence_type, filters.SEQUENCE_TYPES)
ReportTypes = _list_filter(filters.parse_report_type, filters.REPORT_TYPES)
Window = Annotated[list[Moment], Field(json_schema_extra={"minItems": 2, "maxItems": 2}), AfterValidator(_in_order)]


class GuardKeys(Keys):
    """The bounds within which an answer is believed."""

    max_drop: Annotated[float, *as_value(values.parse_percent, pattern="^[0-9.]+ *%$")] | None = Field(
        None, description="Share of the records that may be missing against the highest of 14 nights (20%)."
    )
    min_drop: Annotated[int, *whole_number(0, 10**12)] | None = Field(
        None, description="Records that must be missing before a drop is looked at (5)."
    )
    stale_after: Annotated[timedelta, *as_value(values.parse_staleness, pattern=LENGTH)] | None = Field(
        None, description="Tell when nothing was updated for so long (14d)."
    )
    allow_zero: Flag | None = Field(None, description="Believe it when all records vanish (false).")


class WindowsKeys(Keys):
    """A series of windows by release date: `last` windows of `every`, weeks beginning on Mondays."""

    every: Annotated[timedelta, *as_value(values.parse_window, pattern=LENGTH)] = Field(
        description="Length of a window in whole days, as 7d."
    )
    last: Annotated[int, *whole_number(1, 1000)] = Field(
        description="How many windows, the latest of which has ended when the night begins."
    )


_FILTERS: dict[str, tuple[Any, str]] = {
    "accessions": (Accessions, "Only these nucleotide accessions."),
    "refseq_only": (Flag, "Only RefSeq genomes."),
    "annotated_only": (Flag, "Only annotated genomes."),
    "released_since": (Moment, "Released on or after this day; 7d is a week before the night."),
    "updated_since": (Moment, "Updated on or after this day; 7d is a week before the night."),
    "host": (Name, "Taxonomy ID or name of the host, at any rank."),
    "pangolin_classification": (Text, "Pango lineage; SARS-CoV-2 only."),
    "geo_location": (Text, "Continent or country where the sample was collected."),
    "usa_state": (State, "Two-letter code of the US state or territory."),
    "complete_only": (Flag, "Only complete genomes."),
    "include_sequence": (SequenceTypes, "Sequences in the estimated download."),
    "aux_report": (ReportTypes, "Reports in the estimated download."),
    "released_between": (Window, "[from, to): released on or after the first day, before the second."),
}


def _fields(shape: Callable[[Any], Any]) -> dict[str, Any]:
    """A field for each filter, absent unless given; `shape` tells how its values are written."""
    return {name: (shape(kind) | None, Field(None, description=about)) for name, (kind, about) in _FILTERS.items()}


def _list_of(kind: Any) -> Any:
    return Annotated[list[kind], AfterValidator(not_empty)]


# Lists of values, one combination of them for each filter set; the first key changes slowest.
MatrixKeys: Any = create_model("MatrixKeys", __base__=Keys, **_fields(_list_of))

FilterSetKeys: Any = create_model(
    "FilterSetKeys",
    __base__=Keys,
    matrix=(MatrixKeys | None, Field(None, description="One filter set for each combination of these.")),
    windows=(WindowsKeys | None, Field(None, description="One filter set for each of a series of release windows.")),
    guards=(GuardKeys | None, Field(None, description="Bounds of this filter set alone.")),
    **_fields(lambda kind: kind),
)
