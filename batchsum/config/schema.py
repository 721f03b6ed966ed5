"""The shape of a YAML job file as pydantic models: which keys there are, and how each value is read.

The models hold what was written and no defaults: those live in `job`. Each piece of a job (a taxon, a filter
set, a section) is validated by itself, so that one broken piece hides nothing about the others. Pydantic's
own words never reach the user: `complaints` has place and message of each.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from batchsum import filters
from batchsum.config import values
from batchsum.jobfile.filterkeys import FilterSetKeys, GuardKeys
from batchsum.jobfile.keys import LENGTH, Flag, Keys, Text, as_value, not_empty, read_one, whole_number

Duration = Annotated[timedelta, *as_value(filters.parse_duration, pattern=LENGTH, examples=["30s", "10m", "6h", "7d"])]
FilePath = Annotated[str, *as_value(values.parse_path)]
EnvironmentName = Annotated[str, *as_value(values.parse_environment_name, pattern="^[A-Z_][A-Z0-9_]*$")]


def _not_one_text(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"must be a list of words, run without a shell; write [{', '.join(value.split())}]")
    return value


Command = Annotated[
    list[Annotated[str, *as_value(values.parse_argument, "string", "number")]],
    BeforeValidator(_not_one_text),
    AfterValidator(not_empty),
]


class TaxonKeys(Keys):
    """One entry of the list of taxa; a bare ID or name is the same as `{taxon: ...}`."""

    taxon: Annotated[str, *as_value(filters.parse_taxon, "string", "integer")] = Field(
        description="NCBI Taxonomy ID or name."
    )
    label: Text | None = Field(None, description="What the table calls it.")
    filter_sets: Annotated[list[Text], AfterValidator(not_empty)] | None = Field(
        None, description="The filter sets asked for this taxon; all of them where absent."
    )
    guards: GuardKeys | None = Field(None, description="Bounds of this taxon alone.")

    @model_validator(mode="before")
    @classmethod
    def _from_one_value(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str | dict):
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

    @field_validator("base_url", mode="plain")
    @classmethod
    def _read_base_url(cls, value: Any, info: ValidationInfo) -> str:
        allowed = bool(info.data.get("allow_http"))
        url: str = read_one(lambda text: values.check_base_url(text, allowed))(value)
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
    taxa_files: list[FilePath] | None = Field(None, description="CSV or TSV files with more taxa.")
    filter_sets: dict[str, FilterSetKeys | None] | None = Field(None, description="Named sets of filters.")
    api: ApiKeys | None = Field(None, description="The server and how hard it may be asked.")
    output: OutputKeys | None = Field(None, description="Where the table goes, and in which formats.")
    guards: GuardKeys | None = Field(None, description="The bounds within which an answer is believed.")
    notify: NotifyKeys | None = Field(None, description="Who is told.")
