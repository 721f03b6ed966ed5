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
    HIGHEST_TAX_ID,
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
            # A key that nobody knows stays even without a value, so that it is told.
            return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields}
        return value

    def given(self) -> dict[str, Any]:
        """The values that were written, mappings as dictionaries."""
        values = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value.given() if isinstance(value, Keys) else value for name, value in values.items()}


def optional(description: str) -> Any:
    """A key that may be absent: no value is read for it then, and none is given."""
    return Field(None, description=description)


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
    wrapped = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    return Annotated[values, wrapped, AfterValidator(not_empty), WithJsonSchema(one_or_more)]


Window = Annotated[
    list[Moment],
    Field(json_schema_extra={"minItems": 2, "maxItems": 2}),
    BeforeValidator(_not_one_date),
    AfterValidator(_in_order),
]


class GuardKeys(Keys):
    """The bounds within which an answer is believed."""

    max_drop: Annotated[float, *as_value(values.parse_percent, pattern="^[0-9.]+ *%$")] = optional(
        "Share of the records that may be missing against the highest of 14 nights (20%)."
    )
    min_drop: Annotated[int, *whole_number(0, 10**12)] = optional(
        "Records that must be missing before a drop is looked at (5)."
    )
    stale_after: Annotated[timedelta, *as_value(values.parse_staleness, pattern=LENGTH)] = optional(
        "Tell when nothing was updated for so long (14d)."
    )
    allow_zero: Flag = optional("Believe it when all records vanish (false).")


class WindowsKeys(Keys):
    """A series of windows by release date: `last` windows of `every`, weeks beginning on Mondays."""

    every: Annotated[timedelta, *as_value(values.parse_window, pattern=LENGTH)] = Field(
        description="Length of a window in whole days, as 7d."
    )
    last: Annotated[int, *whole_number(1, 1000)] = Field(
        description="How many windows, the latest of which has ended when the night begins."
    )


_FILTERS: dict[str, tuple[Any, str]] = {
    "accessions": (_list_filter(parse_accession), "Only these nucleotide accessions."),
    "refseq_only": (Flag, "Only RefSeq genomes."),
    "annotated_only": (Flag, "Only annotated genomes."),
    "released_since": (Moment, "Released on or after this day; 7d is a week before the night."),
    "updated_since": (Moment, "Updated on or after this day; 7d is a week before the night."),
    "host": (Name, "Taxonomy ID or name of the host, at any rank."),
    "pangolin_classification": (Text, "Pango lineage; SARS-CoV-2 only."),
    "geo_location": (Text, "Continent or country where the sample was collected."),
    "usa_state": (State, "Two-letter code of the US state or territory."),
    "complete_only": (Flag, "Only complete genomes."),
    "include_sequence": (_list_filter(parse_sequence_type, SEQUENCE_TYPES), "Sequences in the estimated download."),
    "aux_report": (_list_filter(parse_report_type, REPORT_TYPES), "Reports in the estimated download."),
    "released_between": (Window, "[from, to): released on or after the first day, before the second."),
}


def _fields(shape: Callable[[Any], Any]) -> dict[str, Any]:
    """A field for each filter, absent unless given; `shape` tells how its values are written."""
    return {name: (shape(kind), optional(about)) for name, (kind, about) in _FILTERS.items()}


def _list_of(kind: Any) -> Any:
    return Annotated[list[kind], AfterValidator(not_empty)]


# Lists of values, one combination of them for each filter set; the first key changes slowest.
MatrixKeys: Any = create_model("MatrixKeys", __base__=Keys, **_fields(_list_of))

FilterSetKeys: Any = create_model(
    "FilterSetKeys",
    __base__=Keys,
    matrix=(MatrixKeys, optional("One filter set for each combination of these.")),
    windows=(WindowsKeys, optional("One filter set for each of a series of release windows.")),
    guards=(GuardKeys, optional("Bounds of this filter set alone.")),
    **_fields(lambda kind: kind),
)


# The sections.

Duration = Annotated[timedelta, *as_value(parse_duration, pattern=LENGTH, examples=["30s", "10m", "6h", "7d"])]
FilePath = Annotated[str, *as_value(values.parse_path)]
Format = Annotated[str, *as_value(values.parse_format, enum=[*values.FORMATS])]
RequestsPerSecond = Annotated[
    float | Literal["auto", "unlimited"], *as_value(values.parse_requests_per_second, "string", "number")
]
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
    label: Text = optional("What the table calls it.")
    filter_sets: Annotated[list[Text], AfterValidator(not_empty)] = optional(
        "The filter sets asked for this taxon; all of them where absent."
    )
    guards: GuardKeys = optional("Bounds of this taxon alone.")

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
    allow_http: Flag = optional("Allow plain http to another machine (false).")
    base_url: Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})] = optional(
        "Where NCBI Datasets answers."
    )
    api_key_file: FilePath = optional("File that holds the NCBI API key.")
    requests_per_second: RequestsPerSecond = optional("auto, unlimited or a ceiling.")
    workers: Annotated[int, *whole_number(1, 1000)] = optional("Requests under way at once (64).")
    timeout: Annotated[timedelta, *as_value(values.parse_timeout, pattern=LENGTH)] = optional(
        "Longest time of one attempt (60s)."
    )
    attempts: Annotated[int, *whole_number(1, 20)] = optional("Attempts of one request (6).")
    max_outage: Duration = optional("Give the night up after such an outage (30m).")
    contact: Annotated[str, *as_value(values.parse_contact)] = optional(
        "E-mail address or URL, told to NCBI in the User-Agent."
    )
    shared_limit: Annotated[str, *as_value(values.parse_shared_limit)] = optional(
        "Redis or Valkey that counts the requests of all your machines; no password here."
    )
    canary: Annotated[str, *as_value(parse_taxon, "string", "integer")] = optional(
        "Taxon that the server surely has records of (2697049)."
    )

    @field_validator("base_url", mode="plain")
    @classmethod
    def _read_base_url(cls, value: Any, info: ValidationInfo) -> str:
        allowed = bool(info.data.get("allow_http"))  # absent as well where its own value is wrong
        url: str = read_one(lambda text: check_base_url(text, allowed))(value)
        return url


class OutputKeys(Keys):
    """Where the table goes, and in which formats."""

    dir: FilePath = optional("Output directory (out/<name> beside the job file).")
    formats: Annotated[list[Format], AfterValidator(not_empty)] = optional("Formats of the table ([csv]).")
    keep_nights: Annotated[int, *whole_number(1, 100_000)] = optional("Nights kept in the history (400).")


class HoldingKeys(Keys):
    """A data report that you downloaded, as NCBI's `datasets` leaves it."""

    taxon: Annotated[int, *whole_number(1, HIGHEST_TAX_ID)] = Field(
        description="Taxonomy ID of the taxon it was downloaded for."
    )
    file: FilePath = Field(description="NCBI's zip, or its data_report.jsonl, plain or gzipped.")


class HoldingsKeys(Keys):
    """What you hold: counted with the same filters, and compared with what NCBI says."""

    files: Annotated[list[HoldingKeys], AfterValidator(not_empty)] = Field(
        description="What you downloaded, each with its taxon."
    )
    use: Annotated[str, *as_value(values.parse_use, enum=[*values.USES])] = optional(
        "compare: every row is asked and both numbers are told (default); count: what a file covers is not asked."
    )
    max_age: Duration = optional("An older file is told, and counts no row (3d).")


class NotifyKeys(Keys):
    """Who is told. A command is a list of words, run without a shell."""

    on_change: Command = optional("Run when something changed.")
    on_failure: Command = optional("Run when the night failed, or has rows without an answer to rely on.")
    on_success: Command = optional("Run when the night succeeded.")
    webhook_env: EnvironmentName = optional("Variable that holds the webhook's URL.")
    ping_env: EnvironmentName = optional("Variable that holds the ping's URL.")


def _read_version(text: str) -> str:
    if text != "1":
        raise ValueError(f"{text!r} is not known; write version: 1")
    return text


class JobHead(Keys):
    """What a job is called, and how often it may run."""

    version: Annotated[str, *as_value(_read_version, "integer", const=1)] = Field(
        description="Version of this format: 1."
    )
    name: Annotated[str, *as_value(values.parse_job_name)] = optional("Name of the job (the file's stem).")
    min_interval: Duration = optional("A start within this time after the last published run does nothing, as 20h.")


class JobKeys(JobHead):
    """A batchsum job."""

    taxa: list[TaxonKeys] = optional("What is asked for.")
    taxa_files: list[FilePath] = optional("CSV, TSV or TXT files with more taxa.")
    filter_sets: dict[str, FilterSetKeys] = optional("Named sets of filters.")
    # Pydantic leaves out words that are those of the section itself.
    api: ApiKeys = optional("Which server is asked, and how hard.")
    output: OutputKeys = optional("Where the table goes, in which formats, and how many nights are kept.")
    guards: GuardKeys = optional("Within which bounds an answer is believed.")
    holdings: HoldingsKeys = optional("What you hold of it, to be counted and compared.")
    notify: NotifyKeys = optional("Who is told.")


# The job file as JSON Schema, for editors. It wants NCBI's own spelling where batchsum takes more (lower case,
# BIOSAMPLE), and knows nothing of what lies between two keys: `batchsum check` has the last word.

SCHEMA_FILE = "batchsum.schema.json"


def job_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a YAML job file; ready for JSON."""
    schema = _plain(JobKeys.model_json_schema())
    schema["anyOf"] = [{"required": ["taxa"]}, {"required": ["taxa_files"]}]
    pieces = schema["$defs"]
    for name, piece in pieces.items():
        is_entry = name in ("TaxonKeys", "HoldingKeys")
        pieces[name] = piece if is_entry else _or_null(piece)  # an empty entry of a list is a mistake
    # In a list of taxa, most are a bare id or name.
    taxon = pieces["TaxonKeys"]
    bare = {**taxon["properties"]["taxon"], "description": "NCBI Taxonomy ID or name."}
    pieces["TaxonKeys"] = {"anyOf": [bare, taxon]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema, "title": "A batchsum job"}


def _plain(value: Any) -> Any:
    """Without the titles and defaults that pydantic adds. A key without a value is as good as absent: null is one type
    more of it, since an editor that has to choose between alternatives cannot tell where the mistake is."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {
        key: {name: _plain(inner) for name, inner in one.items()} if key in ("properties", "$defs") else _plain(one)
        for key, one in value.items()
        if key not in ("title", "default")
    }
    return _or_null(plain) if "default" in value else plain


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What is referred to says so itself."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema:
        return schema
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **enum}
