"""The shape of a YAML job file: which keys there are, how each value is read, and one sentence of each for editors.

`data/job_keys.tsv` has the keys of each section: what a value is, a sentence, and what to write where a key is missing
that must be there. Here is how the values are read. What is absent has no default here: those live in `model/job.py`.
"""

import csv
import re
import shlex
from collections.abc import Callable, Collection
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from batchsum.config import values
from batchsum.config.shape import Key, Keys, ListOf, Shape, Value, or_null
from batchsum.model import filters
from batchsum.model.job import FORMATS
from batchsum.ncbi.urls import check_base_url


def _length(parse: Callable[[str], Any], **looks: Any) -> Value:
    return Value(parse, {"type": "string", "pattern": "^ *[0-9]{1,9} *[smhdw] *$", **looks})


def _one_of(choices: Collection[str], parse: Callable[[str], str] | None = None) -> Value:
    return Value(parse or partial(filters.parse_choice, choices=tuple(choices)), {"type": "string", "enum": [*choices]})


_TWO_DATES = "must be two dates, [from, to), as in [2025-01-01, 2025-02-01]"


def _in_order(pair: tuple[date | timedelta, ...]) -> tuple[date | timedelta, ...]:
    if len(pair) != 2:
        raise ValueError(_TWO_DATES)
    match pair:
        case [date() as begin, date() as end] if begin >= end:
            raise ValueError(f"begins on {begin} and ends on {end}; write the earlier date first")
        case [timedelta() as begin, timedelta() as end] if begin <= end:
            raise ValueError(f"begins {begin.days}d back and ends {end.days}d back; write the longer time first")
    return pair


def _as_words(command: str) -> str:
    """What to write instead of a line for a shell: its words as a YAML list, a shell before them where it needs one."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()  # a quote is not closed
    if re.search(r"[|&;<>$`*?]", command):
        words = ["sh", "-c", command]
    words = [word if re.fullmatch(r"[\w./=@%+-]+", word) else "'" + word.replace("'", "''") + "'" for word in words]
    return f"must be a list of words, run without a shell; write [{', '.join(words)}]"


def _read_version(text: str) -> str:
    if text != "1":
        raise ValueError(f"{text!r} is not known; write version: 1")
    return text


_MOMENT = Value(filters.parse_moment, {"type": "string", "examples": ["2025-01-15", "7d"]})

_SHAPES: dict[str, Shape] = {
    "text": Value(filters.parse_text, {"type": ["string", "number"]}),
    "flag": Value(filters.parse_boolean, {"type": ["boolean", "string"], "enum": [True, False, "yes", "no"]}),
    "path": Value(values.parse_path),
    "duration": _length(filters.parse_duration, examples=["30s", "10m", "6h", "7d"]),
    "version": Value(_read_version, {"type": "integer", "const": 1}),
    "job_name": Value(values.parse_job_name),
    # Of taxa, filters and their windows.
    "taxon": Value(filters.parse_taxon, {"type": ["string", "integer"]}),
    "tax_id_or_name": Value(filters.parse_tax_id_or_name, {"type": ["string", "integer"]}),
    "moment": _MOMENT,
    "two_moments": ListOf(_MOMENT, check=_in_order, instead=lambda _: _TWO_DATES, looks={"minItems": 2, "maxItems": 2}),
    "usa_state": _one_of(filters.USA_STATES, filters.parse_usa_state),
    "accessions": ListOf(Value(filters.parse_accession), takes_one=True),
    "sequence_types": ListOf(_one_of(filters.SEQUENCE_TYPES), takes_one=True),
    "report_types": ListOf(_one_of(filters.REPORT_TYPES, filters.parse_report_type), takes_one=True),
    "window_length": _length(values.parse_window),
    "percent": Value(values.parse_percent, {"type": "string", "pattern": "^[0-9.]+ *%$"}),
    "staleness": _length(
        partial(values.parse_some_time, otherwise="would make every answer stale; write it as in 14d")
    ),
    # Of the other sections. Whether http is allowed is another key's to say: `yaml_job` looks at both.
    "base_url": Value(lambda text: check_base_url(text, allow_http=True), {"type": "string", "format": "uri"}),
    "rate": Value(values.parse_requests_per_second, {"type": ["string", "number"]}),
    "timeout": _length(values.parse_timeout),
    "contact": Value(values.parse_contact),
    "shared_limit": Value(values.parse_shared_limit),
    "format": _one_of(FORMATS),
    "use": _one_of(("compare", "count")),
    "command": ListOf(Value(values.parse_argument, {"type": ["string", "number"]}), instead=_as_words),
    "variable": Value(values.parse_environment_name, {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$"}),
}
"""How a value is read, by what the table calls it."""


def _shape(value: str) -> Shape:
    """What the table calls `value`: a shape, `list of` one, or a whole number as `1 to 1000`, both included."""
    if value.startswith("list of "):
        return ListOf(_shape(value.removeprefix("list of ")))
    if bounds := re.fullmatch(r"([0-9]+) to ([0-9]+)", value):
        lowest, highest = map(int, bounds.groups())
        looks = {"type": "integer", "minimum": lowest, "maximum": highest}
        return Value(lambda text: values.parse_integer(text, lowest, highest), looks)
    return _SHAPES[value]


_KEYS = (Path(__file__).parent / "data" / "job_keys.tsv").read_text(encoding="utf-8").splitlines()
_ROWS = [*csv.DictReader(_KEYS, delimiter="\t", restval="", quoting=csv.QUOTE_NONE)]


def _section(name: str, **more: Key) -> Keys:
    """A section of the table, which is itself a shape from here on."""
    rows = [row for row in _ROWS if row["section"] == name]
    keys = {row["key"]: Key(_shape(row["value"]), row["about"], row["required"]) for row in rows}
    _SHAPES[name] = section = Keys({**keys, **more})
    return section


GUARDS = _section("guards")
WINDOWS = _section("windows")
_FILTERS = _section("filters").keys
# One combination of the lists for each filter set; the first key changes slowest.
_SHAPES["matrix"] = Keys({name: Key(ListOf(one.shape), one.about) for name, one in _FILTERS.items()})
FILTER_SET = _section("filter_set", **_FILTERS)
TAXON_ENTRY = _section("taxon_entry")
API, OUTPUT, HOLDING, HOLDINGS, NOTIFY = map(_section, ("api", "output", "holding", "holdings", "notify"))
# In a list of taxa, most are a bare id or name.
_TAXA = {"anyOf": [_SHAPES["taxon"].schema(), TAXON_ENTRY.schema()]}
_SHAPES["taxa"] = Value(None, {"type": "array", "items": _TAXA})
_SHAPES["taxa_files"] = Value(None, {"type": "array", "items": _SHAPES["path"].schema()})
_SHAPES["filter_sets"] = Value(None, {"type": "object", "additionalProperties": or_null(FILTER_SET.schema())})
JOB = _section("job")


# The job file as JSON Schema, for editors. It wants NCBI's own spelling where batchsum takes more (lower case,
# BIOSAMPLE), and knows nothing of what lies between two keys: `batchsum check` has the last word.

SCHEMA_FILE = "batchsum.schema.json"


def job_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a YAML job file; ready for JSON."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "A batchsum job"}
    return {**head, **JOB.schema(), "anyOf": [{"required": ["taxa"]}, {"required": ["taxa_files"]}]}
