"""The shape of a YAML job file as pydantic models: which keys there are, and how each value is read.

From the parts to the whole: how a value is read, filters and their sets, the sections, the job, its JSON Schema.
The models hold what was written and no defaults: those live in `model/job.py`. Each piece of a job (a taxon, a
filter set, a section) is validated by itself, so that one broken piece hides nothing about the others. Pydantic's
own words never reach the user: `problems.complaints` has place and message of each.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)

from batchsum.config import values
from batchsum.model.filters import (
    NO_TAXON,
    REPORT_TYPES,
    SEQUENCE_TYPES,
    USA_STATES,
    parse_accession,
    parse_boolean,
    parse_duration,
    parse_moment,
    parse_report_type,
    parse_sequence_type,
    parse_tax_id_or_name,
    parse_taxon,
    parse_text,
    parse_usa_state,
)
from batchsum.ncbi.urls import check_base_url

# How a value is read: pydantic guesses no type here, since `NO` and `1.10` must stay the text that they are.

LENGTH = "^ *[0-9]{1,9} *[smhdw] *$"
"""How a duration looks to an editor."""


class Keys(BaseModel):
    """A mapping with these keys and no others; a key without a value is as good as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_absent(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields}
        return value

    def given(self) -> dict[str, Any]:
        """The values that were written."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def read_one(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None:
            raise ValueError("is empty; write a value, or leave it out")
        if not isinstance(value, str):
            raise ValueError(f"must be one value, not a {'list' if isinstance(value, list) else 'mapping'}")
        return parse(value)

    return read


def as_value(parse: Callable[[str], Any], *types: str, **schema: Any) -> Any:
    """What is written as one value, read by `parse`; `types` and `schema` tell an editor how it looks."""
    kind = {"type": list(types) if len(types) > 1 else types[0]} if types else {"type": "string"}
    return PlainValidator(read_one(parse)), WithJsonSchema({**kind, **schema})


def whole_number(lowest: int, highest: int) -> Any:
    """A whole number from `lowest` to `highest`, both included."""
    return as_value(
        lambda text: values.parse_integer(text, lowest, highest), "integer", minimum=lowest, maximum=highest
    )


def not_empty(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("is an empty list; write what belongs in it, or leave it out")
    return values


Text = Annotated[str, *as_value(parse_text, "string", "number")]
Name = Annotated[str, *as_value(parse_tax_id_or_name, "string", "integer")]
Flag = Annotated[bool, *as_value(parse_boolean, "boolean", "string", enum=[True, False, "yes", "no"])]


# Filter sets: each filter with one value, or with a list of values in the matrix.


def _wrapped(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_TWO_DATES = "must be two dates, [from, to), as in [2025-01-01, 2025-02-01]"


def _not_one_date(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(_TWO_DATES)
    return value


def _in_order(pair: list[date | timedelta]) -> list[date | timedelta]:
    if len(pair) != 2:
        raise ValueError(_TWO_DATES)
    match pair:
        case [date() as begin, date() as end] if begin >= end:
            raise ValueError(f"begins on {begin} and ends on {end}; write the earlier date first")
        case [timedelta() as begin, timedelta() as end] if begin <= end:
            raise ValueError(f"begins {begin.days}d back and ends {end.days}d back; write the longer time first")
    return pair


State = Annotated[str, *as_value(parse_usa_state, enum=[*USA_STATES])]
Moment = Annotated[date | timedelta, *as_value(parse_moment, examples=["2025-01-15", "7d"])]


def _list_filter(parse: Callable[[str], str], choices: tuple[str, ...] = ()) -> Any:
    item = {"type": "string", "enum": [*choices]} if choices else {"type": "string"}
    one_or_more = {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}
    values = list[Annotated[str, *as_value(parse)]]
    return Annotated[values, BeforeValidator(_wrapped), AfterValidator(not_empty), WithJsonSchema(one_or_more)]


Accessions = _list_filter(parse_accession)
SequenceTypes = _list_filter(parse_sequence_type, SEQUENCE_TYPES)
ReportTypes = _list_filter(parse_report_type, REPORT_TYPES)
Window = Annotated[
    list[Moment],
    Field(json_schema_extra={"minItems": 2, "maxItems": 2}),
    BeforeValidator(_not_one_date),
    AfterValidator(_in_order),
]


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


# The sections.

Duration = Annotated[timedelta, *as_value(parse_duration, pattern=LENGTH, examples=["30s", "10m", "6h", "7d"])]
FilePath = Annotated[str, *as_value(values.parse_path)]
EnvironmentName = Annotated[str, *as_value(values.parse_environment_name, pattern="^[A-Z_][A-Z0-9_]*$")]


def _not_one_text(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"must be a list of words, run without a shell; write [{', '.join(values.words_of(value))}]")
    return value


Command = Annotated[
    list[Annotated[str, *as_value(values.parse_argument, "string", "number")]],
    BeforeValidator(_not_one_text),
    AfterValidator(not_empty),
]


class TaxonKeys(Keys):
    """One entry of the list of taxa; a bare ID or name is the same as `{taxon: ...}`."""

    taxon: Annotated[str, *as_value(parse_taxon, "string", "integer")] = Field(description="NCBI Taxonomy ID or name.")
    label: Text | None = Field(None, description="What the table calls it.")
    filter_sets: Annotated[list[Text], AfterValidator(not_empty)] | None = Field(
        None, description="The filter sets asked for this taxon; all of them where absent."
    )
    guards: GuardKeys | None = Field(None, description="Bounds of this taxon alone.")

    @model_validator(mode="before")
    @classmethod
    def _from_one_value(cls, value: Any) -> Any:
        if value is None:
            raise ValueError(NO_TAXON)
        if not isinstance(value, str | dict):
            raise ValueError("must be an NCBI Taxonomy ID, a name, or a mapping with the key taxon")
        return {"taxon": value} if isinstance(value, str) else value


class ApiKeys(Keys):
    """The server and how hard it may be asked."""

    # Before base_url, which depends on it.
    allow_http: Flag | None = Field(None, description="Allow plain http to another machine (false).")
    base_url: Annotated[str | None, WithJsonSchema({"type": "string", "format": "uri"})] = Field(
        None, description="Where NCBI Datasets answers."
    )
    api_key_file: FilePath | None = Field(None, description="File that holds the NCBI API key.")
    requests_per_second: (
        Annotated[float | Literal["auto", "unlimited"],
                  *as_value(values.parse_requests_per_second, "string", "number")] | None
    ) = Field(None, description="auto, unlimited or a ceiling.")  # fmt: skip
    workers: Annotated[int, *whole_number(1, 1000)] | None = Field(None, description="Requests under way at once (64).")
    timeout: Annotated[timedelta, *as_value(values.parse_timeout, pattern=LENGTH)] | None = Field(
        None, description="Longest time of one attempt (60s)."
    )
    attempts: Annotated[int, *whole_number(1, 20)] | None = Field(None, description="Attempts of one request (6).")
    max_outage: Duration | None = Field(None, description="Give the night up after such an outage (30m).")
    contact: Annotated[str, *as_value(values.parse_contact)] | None = Field(
        None, description="E-mail address or URL, told to NCBI in the User-Agent."
    )
    shared_limit: Annotated[str, *as_value(values.parse_shared_limit)] | None = Field(
        None, description="Redis or Valkey that counts the requests of all your machines; no password here."
    )
    canary: Annotated[str, *as_value(parse_taxon, "string", "integer")] | None = Field(
        None, description="Taxon that the server surely has records of (2697049)."
    )

    @field_validator("base_url", mode="plain")
    @classmethod
    def _read_base_url(cls, value: Any, info: ValidationInfo) -> str:
        allowed = bool(info.data.get("allow_http"))
        url: str = read_one(lambda text: check_base_url(text, allowed))(value)
        return url


class OutputKeys(Keys):
    """Where the table goes, and in which formats."""

    dir: FilePath | None = Field(None, description="Output directory (out/<name> beside the job file).")
    formats: (
        Annotated[list[Annotated[str, *as_value(values.parse_format, enum=[*values.FORMATS])]],
                  AfterValidator(not_empty)] | None
    ) = Field(None, description="Formats of the table ([csv]).")  # fmt: skip
    keep_nights: Annotated[int, *whole_number(1, 100_000)] | None = Field(
        None, description="Nights kept in the history (400)."
    )


class NotifyKeys(Keys):
    """Who is told. A command is a list of words, run without a shell."""

    on_change: Command | None = Field(None, description="Run when something changed.")
    on_failure: Command | None = Field(
        None, description="Run when the night failed, or has rows without an answer to rely on."
    )
    on_success: Command | None = Field(None, description="Run when the night succeeded.")
    webhook_env: EnvironmentName | None = Field(None, description="Variable that holds the webhook's URL.")
    ping_env: EnvironmentName | None = Field(None, description="Variable that holds the ping's URL.")


def _read_version(text: str) -> str:
    if text != "1":
        raise ValueError(f"{text!r} is not known; write version: 1")
    return text


class JobHead(Keys):
    """What a job is called, and how often it may run."""

    version: Annotated[str, *as_value(_read_version, "integer", const=1)] = Field(
        description="Version of this format: 1."
    )
    name: Annotated[str, *as_value(values.parse_job_name)] | None = Field(
        None, description="Name of the job (the file's stem)."
    )
    min_interval: Duration | None = Field(
        None, description="A start within this time after the last published run does nothing, as 20h."
    )


class JobKeys(JobHead):
    """A batchsum job."""

    taxa: list[TaxonKeys] | None = Field(None, description="What is asked for.")
    taxa_files: list[FilePath] | None = Field(None, description="CSV, TSV or TXT files with more taxa.")
    filter_sets: dict[str, FilterSetKeys | None] | None = Field(None, description="Named sets of filters.")
    api: ApiKeys | None = Field(None, description="The server and how hard it may be asked.")
    output: OutputKeys | None = Field(None, description="Where the table goes, and in which formats.")
    guards: GuardKeys | None = Field(None, description="The bounds within which an answer is believed.")
    notify: NotifyKeys | None = Field(None, description="Who is told.")


# The job file as JSON Schema, for editors. It wants NCBI's own spelling where batchsum takes more (lower case,
# BIOSAMPLE), and knows nothing of what lies between two keys: `batchsum check` has the last word.

SCHEMA_FILE = "batchsum.schema.json"

_NULL = {"type": "null"}


def job_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a YAML job file; ready for JSON."""
    schema = _plain(JobKeys.model_json_schema())
    schema["anyOf"] = [{"required": ["taxa"]}, {"required": ["taxa_files"]}]
    pieces = schema["$defs"]
    for name, piece in pieces.items():
        pieces[name] = piece if name == "TaxonKeys" else _or_null(piece)
    # In a list of taxa, most are a bare id or name.
    taxon = pieces["TaxonKeys"]
    bare = {**taxon["properties"]["taxon"], "description": "NCBI Taxonomy ID or name."}
    pieces["TaxonKeys"] = {"anyOf": [bare, taxon]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema, "title": "A batchsum job"}


def _plain(value: Any) -> Any:
    """Without the titles and defaults that pydantic adds, and null as one type more: an editor that has to choose
    between alternatives cannot tell where the mistake is."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {
        key: {name: _plain(inner) for name, inner in one.items()} if key in ("properties", "$defs") else _plain(one)
        for key, one in value.items()
        if not (key == "title" or (key == "default" and one is None))
    }
    choices = plain.get("anyOf", [])
    if _NULL in choices:
        rest = [one for one in choices if one != _NULL]
        del plain["anyOf"]
        return {**(_or_null(rest[0]) if len(rest) == 1 else {"anyOf": [*rest, _NULL]}), **plain}
    return plain


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A key without a value is as good as absent. What is referred to says so itself."""
    if "type" not in schema:
        return schema
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **enum}
