"""The shape of a YAML job file: which keys there are, how each value is read, and one sentence of each for editors.

From the parts to the whole: values, filters and their sets, the sections, the job, its JSON Schema. What is absent has
no default here: those live in `model/job.py`.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from batchsum.config import values
from batchsum.config.shape import Entries, Key, Keys, ListOf, Value, or_null
from batchsum.model.filters import (
    HIGHEST_TAX_ID,
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


def _length(parse: Callable[[str], Any], **looks: Any) -> Value:
    return Value(parse, {"type": "string", "pattern": "^ *[0-9]{1,9} *[smhdw] *$", **looks})


def _whole_number(lowest: int, highest: int) -> Value:
    """A whole number from `lowest` to `highest`, both included."""
    looks = {"type": "integer", "minimum": lowest, "maximum": highest}
    return Value(lambda text: values.parse_integer(text, lowest, highest), looks)


def _one_of(parse: Callable[[str], str], choices: tuple[str, ...]) -> Value:
    return Value(parse, {"type": "string", "enum": [*choices]})


TEXT = Value(parse_text, {"type": ["string", "number"]})
FLAG = Value(parse_boolean, {"type": ["boolean", "string"], "enum": [True, False, "yes", "no"]})
HOST = Value(parse_tax_id_or_name, {"type": ["string", "integer"]})
TAXON = Value(parse_taxon, {"type": ["string", "integer"]})
PATH = Value(values.parse_path)
DURATION = _length(parse_duration, examples=["30s", "10m", "6h", "7d"])


# Filter sets: each filter with one value, or with a list of values in the matrix.

_TWO_DATES = "must be two dates, [from, to), as in [2025-01-01, 2025-02-01]"


def _in_order(pair: list[date | timedelta]) -> list[date | timedelta]:
    if len(pair) != 2:
        raise ValueError(_TWO_DATES)
    match pair:
        case [date() as begin, date() as end] if begin >= end:
            raise ValueError(f"begins on {begin} and ends on {end}; write the earlier date first")
        case [timedelta() as begin, timedelta() as end] if begin <= end:
            raise ValueError(f"begins {begin.days}d back and ends {end.days}d back; write the longer time first")
    return pair


MOMENT = Value(parse_moment, {"type": "string", "examples": ["2025-01-15", "7d"]})
WINDOW = ListOf(MOMENT, check=_in_order, instead=lambda _: _TWO_DATES, looks={"minItems": 2, "maxItems": 2})
ACCESSIONS = ListOf(Value(parse_accession), takes_one=True)
SEQUENCES = ListOf(_one_of(parse_sequence_type, SEQUENCE_TYPES), takes_one=True)
REPORTS = ListOf(_one_of(parse_report_type, REPORT_TYPES), takes_one=True)

_FILTERS = {
    "accessions": Key(ACCESSIONS, "Only these nucleotide accessions."),
    "refseq_only": Key(FLAG, "Only RefSeq genomes."),
    "annotated_only": Key(FLAG, "Only annotated genomes."),
    "released_since": Key(MOMENT, "Released on or after this day; 7d is a week before the night."),
    "updated_since": Key(MOMENT, "Updated on or after this day; 7d is a week before the night."),
    "host": Key(HOST, "Taxonomy ID or name of the host, at any rank."),
    "pangolin_classification": Key(TEXT, "Pango lineage; SARS-CoV-2 only."),
    "geo_location": Key(TEXT, "Continent or country where the sample was collected."),
    "usa_state": Key(_one_of(parse_usa_state, tuple(USA_STATES)), "Two-letter code of the US state or territory."),
    "complete_only": Key(FLAG, "Only complete genomes."),
    "include_sequence": Key(SEQUENCES, "Sequences in the estimated download."),
    "aux_report": Key(REPORTS, "Reports in the estimated download."),
    "released_between": Key(WINDOW, "[from, to): released on or after the first day, before the second."),
}

GUARDS = Keys(
    max_drop=Key(
        Value(values.parse_percent, {"type": "string", "pattern": "^[0-9.]+ *%$"}),
        "Share of the records that may be missing against the highest of 14 nights (20%).",
    ),
    min_drop=Key(_whole_number(0, 10**12), "Records that must be missing before a drop is looked at (5)."),
    stale_after=Key(_length(values.parse_staleness), "Tell when nothing was updated for so long (14d)."),
    allow_zero=Key(FLAG, "Believe it when all records vanish (false)."),
)

WINDOWS = Keys(
    every=Key(
        _length(values.parse_window),
        "Length of a window in whole days, as 7d.",
        required="the length of a window, as in every: 7d",
    ),
    last=Key(
        _whole_number(1, 1000),
        "How many windows, the latest of which has ended when the night begins.",
        required="how many windows, as in last: 12",
    ),
)

FILTER_SET = Keys(
    # One combination of the lists for each filter set; the first key changes slowest.
    matrix=Key(
        Keys(**{name: Key(ListOf(one.shape), one.about) for name, one in _FILTERS.items()}),
        "One filter set for each combination of these.",
    ),
    windows=Key(WINDOWS, "One filter set for each of a series of release windows, weeks beginning on Mondays."),
    guards=Key(GUARDS, "Bounds of this filter set alone."),
    **_FILTERS,
)

TAXON_ENTRY = Keys(
    taxon=Key(TAXON, "NCBI Taxonomy ID or name.", required="an NCBI Taxonomy ID or a name as its value"),
    label=Key(TEXT, "What the table calls it."),
    filter_sets=Key(ListOf(TEXT), "The filter sets asked for this taxon; all of them where absent."),
    guards=Key(GUARDS, "Bounds of this taxon alone."),
)


# The sections.

API = Keys(
    allow_http=Key(FLAG, "Allow plain http to another machine (false)."),
    # Whether http is allowed is another key's to say: `yaml_job` looks at both.
    base_url=Key(
        Value(lambda text: check_base_url(text, allow_http=True), {"type": "string", "format": "uri"}),
        "Where NCBI Datasets answers.",
    ),
    api_key_file=Key(PATH, "File that holds the NCBI API key."),
    requests_per_second=Key(
        Value(values.parse_requests_per_second, {"type": ["string", "number"]}), "auto, unlimited or a ceiling."
    ),
    workers=Key(_whole_number(1, 1000), "Requests under way at once (64)."),
    timeout=Key(_length(values.parse_timeout), "Longest time of one attempt (60s)."),
    attempts=Key(_whole_number(1, 20), "Attempts of one request (6)."),
    max_outage=Key(DURATION, "Give the night up after such an outage (30m)."),
    contact=Key(Value(values.parse_contact), "E-mail address or URL, told to NCBI in the User-Agent."),
    shared_limit=Key(
        Value(values.parse_shared_limit),
        "Redis or Valkey that counts the requests of all your machines; no password here.",
    ),
    canary=Key(TAXON, "Taxon that the server surely has records of (2697049)."),
)

OUTPUT = Keys(
    dir=Key(PATH, "Output directory (out/<name> beside the job file)."),
    formats=Key(ListOf(_one_of(values.parse_format, values.FORMATS)), "Formats of the table ([csv])."),
    keep_nights=Key(_whole_number(1, 100_000), "Nights kept in the history (400)."),
)

HOLDING = Keys(
    taxon=Key(
        _whole_number(1, HIGHEST_TAX_ID),
        "Taxonomy ID of the taxon it was downloaded for.",
        required="an NCBI Taxonomy ID as its value",
    ),
    file=Key(
        PATH,
        "NCBI's zip, or its data_report.jsonl, plain or gzipped.",
        required="the path of what was downloaded, as in file: ncbi/sars-cov-2.zip",
    ),
)

HOLDINGS = Keys(
    files=Key(
        ListOf(HOLDING),
        "What you downloaded, each with its taxon.",
        required="files: [{taxon: 2697049, file: ncbi/sars-cov-2.zip}]",
    ),
    use=Key(
        _one_of(values.parse_use, values.USES),
        "compare: every row is asked and both numbers are told (default); count: what a file covers is not asked.",
    ),
    max_age=Key(DURATION, "An older file is told, and counts no row (3d)."),
)


def _as_words(command: str) -> str:
    return f"must be a list of words, run without a shell; write [{', '.join(values.words_of(command))}]"


_COMMAND = ListOf(Value(values.parse_argument, {"type": ["string", "number"]}), instead=_as_words)
_VARIABLE = Value(values.parse_environment_name, {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$"})

NOTIFY = Keys(
    on_change=Key(_COMMAND, "Run when something changed."),
    on_failure=Key(_COMMAND, "Run when the night failed, or has rows without an answer to rely on."),
    on_success=Key(_COMMAND, "Run when the night succeeded."),
    webhook_env=Key(_VARIABLE, "Variable that holds the webhook's URL."),
    ping_env=Key(_VARIABLE, "Variable that holds the ping's URL."),
)


def _read_version(text: str) -> str:
    if text != "1":
        raise ValueError(f"{text!r} is not known; write version: 1")
    return text


# In a list of taxa, most are a bare id or name.
_TAXA = {"type": "array", "items": {"anyOf": [TAXON.schema(), TAXON_ENTRY.schema()]}}

JOB = Keys(
    version=Key(
        Value(_read_version, {"type": "integer", "const": 1}), "Version of this format: 1.", required="version: 1"
    ),
    name=Key(Value(values.parse_job_name), "Name of the job (the file's stem)."),
    min_interval=Key(DURATION, "A start within this time after the last published run does nothing, as 20h."),
    taxa=Key(Entries(_TAXA), "What is asked for."),
    taxa_files=Key(Entries({"type": "array", "items": PATH.schema()}), "CSV, TSV or TXT files with more taxa."),
    filter_sets=Key(
        Entries({"type": "object", "additionalProperties": or_null(FILTER_SET.schema())}), "Named sets of filters."
    ),
    api=Key(API, "Which server is asked, and how hard."),
    output=Key(OUTPUT, "Where the table goes, in which formats, and how many nights are kept."),
    guards=Key(GUARDS, "Within which bounds an answer is believed."),
    holdings=Key(HOLDINGS, "What you hold of it, to be counted and compared."),
    notify=Key(NOTIFY, "Who is told. A command is a list of words, run without a shell."),
)


# The job file as JSON Schema, for editors. It wants NCBI's own spelling where batchsum takes more (lower case,
# BIOSAMPLE), and knows nothing of what lies between two keys: `batchsum check` has the last word.

SCHEMA_FILE = "batchsum.schema.json"


def job_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a YAML job file; ready for JSON."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "A batchsum job"}
    return {**head, **JOB.schema(), "anyOf": [{"required": ["taxa"]}, {"required": ["taxa_files"]}]}
