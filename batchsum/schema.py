"""The shape of a YAML job file as pydantic models: which keys there are, and how each value is read.

The models hold what was written and no defaults: those live in `job`. Each piece of a job (a taxon, a filter
set, a section) is validated by itself, so that one broken piece hides nothing about the others. Pydantic's
own words never reach the user: `complaints` has place and message of each.
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

from batchsum import filters, settings
from batchsum.settings import parse_integer


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


def one_value(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None:
            raise ValueError("is empty; write a value, or leave it out")
        if not isinstance(value, str):
            raise ValueError(f"must be one value, not a {'list' if isinstance(value, list) else 'mapping'}")
        return parse(value)

    return read


def _as(parse: Callable[[str], Any], *types: str, **schema: Any) -> Any:
    """What is written as one value, read by `parse`; `types` and `schema` tell an editor how it looks."""
    kind = {"type": list(types) if len(types) > 1 else types[0]} if types else {"type": "string"}
    return PlainValidator(one_value(parse)), WithJsonSchema({**kind, **schema})


def _not_empty(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("is an empty list; write what belongs into it, or leave it out")
    return values


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


Text = Annotated[str, *_as(filters.parse_text, "string", "number")]
Name = Annotated[str, *_as(filters.parse_tax_id_or_name, "string", "integer")]
Flag = Annotated[bool, *_as(filters.parse_boolean, "boolean")]
State = Annotated[str, *_as(filters.parse_usa_state, enum=[*filters.USA_STATES])]
Moment = Annotated[date | timedelta, *_as(filters.parse_moment, examples=["2025-01-15", "7d"])]
Duration = Annotated[timedelta, *_as(filters.parse_duration, examples=["30s", "10m", "6h", "7d"])]
FilePath = Annotated[str, *_as(settings.parse_path)]
EnvironmentName = Annotated[str, *_as(settings.parse_environment_name, pattern="^[A-Z_][A-Z0-9_]*$")]


def _list_filter(parse: Callable[[str], str], choices: tuple[str, ...] = ()) -> Any:
    item = Annotated[str, *_as(parse, **({"enum": [*choices]} if choices else {}))]
    return Annotated[list[item], BeforeValidator(_wrapped), AfterValidator(_not_empty)]


Accessions = _list_filter(filters.parse_accession)
SequenceTypes = _list_filter(filters.parse_sequence_type, filters.SEQUENCE_TYPES)
ReportTypes = _list_filter(filters.parse_report_type, filters.REPORT_TYPES)
Window = Annotated[list[Moment], AfterValidator(_in_order)]
Command = Annotated[list[Annotated[str, *_as(settings.parse_argument, "string", "number")]], AfterValidator(_not_empty)]


class GuardKeys(Keys):
    """The bounds within which an answer is believed."""

    max_drop: Annotated[float, *_as(settings.parse_percent, pattern="^[0-9.]+ *%$")] | None = Field(
        None, description="Share of the records that may go missing overnight (20%)."
    )
    min_drop: Annotated[int, *_as(lambda text: parse_integer(text, 0, 10**12), "integer", minimum=0)] | None = Field(
        None, description="Records that must be missing before a drop is looked at (5)."
    )
    stale_after: Annotated[timedelta, *_as(settings.parse_staleness)] | None = Field(
        None, description="Tell when nothing was updated for so long (14d)."
    )
    allow_zero: Flag | None = Field(None, description="Believe it when all records vanish (false).")


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
    return Annotated[list[kind], AfterValidator(_not_empty)]


# Lists of values, one combination of them for each filter set; the first key changes slowest.
MatrixKeys: Any = create_model("MatrixKeys", __base__=Keys, **_fields(_list_of))

FilterSetKeys: Any = create_model(
    "FilterSetKeys",
    __base__=Keys,
    matrix=(MatrixKeys | None, Field(None, description="One filter set for each combination of these.")),
    guards=(GuardKeys | None, Field(None, description="Bounds of this filter set alone.")),
    **_fields(lambda kind: kind),
)


class TaxonKeys(Keys):
    """One entry of the list of taxa; a bare ID or name is the same as `{taxon: ...}`."""

    taxon: Annotated[str, *_as(filters.parse_taxon, "string", "integer")] = Field(
        description="NCBI Taxonomy ID or name."
    )
    label: Text | None = Field(None, description="What the table calls it.")
    filter_sets: Annotated[list[Text], AfterValidator(_not_empty)] | None = Field(
        None, description="The filter sets asked for this taxon; all of them where absent."
    )
    guards: GuardKeys | None = Field(None, description="Bounds of this taxon alone.")

    @model_validator(mode="before")
    @classmethod
    def _from_one_value(cls, value: Any) -> Any:
        return {"taxon": value} if isinstance(value, str) else value


class ApiKeys(Keys):
    """The server and how hard it may be asked."""

    # Before base_url, which depends on it.
    allow_http: Flag | None = Field(None, description="Allow plain http to another machine (false).")
    base_url: str | None = Field(None, description="Where NCBI Datasets answers.")
    api_key_file: FilePath | None = Field(None, description="File that holds the NCBI API key.")
    requests_per_second: (
        Annotated[float | Literal["auto", "unlimited"],
                  *_as(settings.parse_requests_per_second, "string", "number")] | None
    ) = Field(None, description="auto, unlimited or a ceiling.")  # fmt: skip
    workers: Annotated[int, *_as(lambda text: parse_integer(text, 1, 1000), "integer")] | None = Field(
        None, description="Requests under way at once (64)."
    )
    timeout: Annotated[timedelta, *_as(settings.parse_timeout)] | None = Field(
        None, description="Longest time of one attempt (60s)."
    )
    attempts: Annotated[int, *_as(lambda text: parse_integer(text, 1, 20), "integer")] | None = Field(
        None, description="Attempts of one request (6)."
    )
    max_outage: Duration | None = Field(None, description="Give the night up after such an outage (30m).")
    contact: Annotated[str, *_as(settings.parse_contact)] | None = Field(
        None, description="E-mail address or URL, told to NCBI in the User-Agent."
    )

    @field_validator("base_url", mode="plain")
    @classmethod
    def _read_base_url(cls, value: Any, info: ValidationInfo) -> str:
        allowed = bool(info.data.get("allow_http"))
        url: str = one_value(lambda text: settings.check_base_url(text, allowed))(value)
        return url


class OutputKeys(Keys):
    """Where the table goes, and in which formats."""

    dir: FilePath | None = Field(None, description="Output directory (out/<name> beside the job file).")
    formats: (
        Annotated[list[Annotated[str, *_as(settings.parse_format, enum=[*settings.FORMATS])]],
                  AfterValidator(_not_empty)] | None
    ) = Field(None, description="Formats of the table ([csv]).")  # fmt: skip
    keep_nights: Annotated[int, *_as(lambda text: parse_integer(text, 1, 100_000), "integer")] | None = Field(
        None, description="Nights kept in the history (400)."
    )


class NotifyKeys(Keys):
    """Who is told. A command is a list of words, run without a shell."""

    on_change: Command | None = Field(None, description="Run when something changed.")
    on_failure: Command | None = Field(None, description="Run when the night failed.")
    on_success: Command | None = Field(None, description="Run when the night succeeded.")
    webhook_env: EnvironmentName | None = Field(None, description="Variable that holds the webhook's URL.")
    ping_env: EnvironmentName | None = Field(None, description="Variable that holds the ping's URL.")


def _read_version(text: str) -> str:
    if text != "1":
        raise ValueError(f"{text!r} is not known; write version: 1")
    return text


class JobHead(Keys):
    """What a job is called."""

    version: Annotated[str, *_as(_read_version, "integer", const=1)] = Field(description="Version of this format: 1.")
    name: Annotated[str, *_as(settings.parse_job_name)] | None = Field(
        None, description="Name of the job (the file's stem)."
    )


class JobKeys(JobHead):
    """A batchsum job."""

    taxa: list[TaxonKeys] | None = Field(None, description="What is asked for.")
    taxa_files: list[FilePath] | None = Field(None, description="CSV or TSV files with more taxa.")
    filter_sets: dict[str, FilterSetKeys | None] | None = Field(None, description="Named sets of filters.")
    api: ApiKeys | None = None
    output: OutputKeys | None = None
    guards: GuardKeys | None = None
    notify: NotifyKeys | None = None
