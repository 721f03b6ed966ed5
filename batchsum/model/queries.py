"""What is asked, what comes back, and what becomes of a row, as frozen dataclasses and named tuples.

Null is never zero: a count that nobody gave is None here and an empty cell in the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from batchsum.model.filters import LIST_FILTERS, FilterSet

# What is asked.

CANARY = "2697049"
"""SARS-CoV-2: NCBI surely knows it, so its answer tells a wrong taxon from a night when nothing is known."""


class Request(NamedTuple):
    """One question to NCBI. Two requests are the same when they send the same."""

    taxon: str
    filters: FilterSet = FilterSet()


@dataclass(frozen=True, slots=True)
class Guards:
    """The bounds within which an answer is believed; the defaults of the contract."""

    max_drop: float = 0.20
    """Share of the records that may go missing, 0 to 1."""
    min_drop: int = 5
    """Records that must be missing before a drop is looked at."""
    stale_after: timedelta = timedelta(days=14)
    allow_zero: bool = False


class Query(NamedTuple):
    """One taxon × one filter set: one row. Known from night to night by its taxon and by what it `asks`."""

    taxon: str
    filter_set: str
    filters: FilterSet
    label: str = ""
    guards: Guards = Guards()
    asked_as: str = ""
    """The Taxonomy ID that NCBI is asked for; empty: the taxon as written."""
    asks: str = ""
    """Its filters in the job's own words: `FilterSet.canonical()`. A relative date is not resolved."""
    series: str = ""
    """What the whole series asks that this window is one of; empty for any other row."""
    is_rolling: bool = False
    """Whether what it asks moves with the night."""

    def requests(self) -> tuple[Request, ...]:
        """The one request of this row; for a window two: since its beginning, and since its end."""
        taxon = self.asked_as or self.taxon
        return tuple([Request(taxon, filters) for filters in self.filters.asked()])  # a generator would be slower


# What comes back. What a night makes by the million is a named tuple, which is made in half the time.

FILE_KINDS = (
    "all_genomic_fasta", "genome_gff", "genome_gbff", "rna_fasta", "prot_fasta", "genome_gtf",
    "cds_fasta", "sequence_report", "annotation_report",
)  # fmt: skip


class Package(NamedTuple):
    """What NCBI estimates of a download, with or without its sequence data (hydrated, dehydrated)."""

    estimated_file_size_mb: int | None = None
    url: str | None = None
    cli_download_command_line: str | None = None
    cli_rehydrate_command_line: str | None = None


class FileSummary(NamedTuple):
    """How many files of one kind a package holds, and their size in megabytes."""

    file_count: int | None = None
    size_mb: float | None = None


class Summary(NamedTuple):
    """NCBI's answer about one request, as parsed: v2DownloadSummary of NCBI Datasets.

    `record_count` is None where the answer left it out although something in it contradicts zero.
    """

    record_count: int | None
    assembly_count: int | None = None
    resource_updated_on: str | None = None
    hydrated: Package = Package()
    dehydrated: Package = Package()
    available_files: Mapping[str, FileSummary] = {}
    messages: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    contradiction: str = ""
    """What cannot be true together in it, where its parts do not show that: a window of two states of the data."""

    def has_data(self) -> bool:
        """Whether anything beside the count says that there are records."""
        sizes = (self.assembly_count, self.hydrated.estimated_file_size_mb, self.dehydrated.estimated_file_size_mb)
        return any(sizes) or any(map(any, self.available_files.values()))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer: a value that reaches the table, never an exception."""

    status: Literal["rejected", "failed", "skipped"]
    reason: str
    """What happened, one word of the contract: `unknown_taxon`, `timeout`, `http_503`, `outage`, ..."""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else f"{self.reason}:"


Answer = Summary | Failure


class Attempt(NamedTuple):
    """One send of a request: when, how long, and what NCBI's staff need to find it in their logs."""

    sent_at: str
    """UTC, ISO 8601."""
    seconds: float
    outcome: str
    """`answered`, or the reason of the Failure."""
    http_status: int | None = None
    phid: str | None = None
    """The NCBI-PHID of the answer, or the one that was sent where none came back."""


class Reply(NamedTuple):
    """What a request ended in, after all its attempts."""

    answer: Answer
    attempts: tuple[Attempt, ...] = ()


def moment(text: str | None) -> datetime | None:
    """A time as NCBI writes it; a plain date is its midnight, UTC."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def combine(answers: Sequence[Answer]) -> Answer:
    """One answer as it is; for a window, since its beginning minus since its end."""
    for status in ("rejected", "failed", "skipped"):  # of a window's two, what will last before what may pass
        for answer in answers:
            if isinstance(answer, Failure) and answer.status == status:
                return answer
    first, *rest = (answer for answer in answers if isinstance(answer, Summary))
    return subtract(first, rest[0]) if rest else first


def subtract(since: Summary, until: Summary) -> Summary:
    counts_known = since.record_count is not None and until.record_count is not None
    return since._replace(
        record_count=_minus(since.record_count, until.record_count) if counts_known else None,
        assembly_count=_minus(since.assembly_count, until.assembly_count),
        # Nothing can be downloaded for a window: only the sizes are kept.
        hydrated=_package_minus(since.hydrated, until.hydrated),
        dehydrated=_package_minus(since.dehydrated, until.dehydrated),
        available_files={
            kind: FileSummary(*map(_minus, files, until.available_files.get(kind, FileSummary())))
            for kind, files in since.available_files.items()
        },
        messages=tuple(dict.fromkeys(since.messages + until.messages)),
        errors=tuple(dict.fromkeys(since.errors + until.errors)),
    )


def _minus(since: Any, until: Any) -> Any:
    """A count, or a size without the noise of binary fractions."""
    return None if since is None else round(since - (until or 0), 6)


def _package_minus(since: Package, until: Package) -> Package:
    return Package(_minus(since.estimated_file_size_mb, until.estimated_file_size_mb))


# What becomes of a row.

STATUSES = ("ok", "empty", "suspect", "rejected", "failed", "skipped")
BELIEVED, DOUBTFUL = STATUSES[:2], STATUSES[2:]

NIGHTS = 14
"""How many published nights back the highest believed count is looked for."""


class Believed(NamedTuple):
    """The last night on which an answer about this query was believed."""

    night: str
    """YYYY-MM-DD."""
    filters: str
    """As sent then: `FilterSet.text()`."""
    record_count: int
    resource_updated_on: str | None
    highest: int
    """The highest believed count of the last nights with these filters, not before an accepted level."""


class Past(NamedTuple):
    """What the nights before tonight say about one query."""

    believed: Believed | None = None
    last_status: str | None = None
    """On the last published night; None where the query was not in it."""
    is_refiltered: bool = False
    """No night asked this, and its taxon and set name stood there last night with other filters."""
    is_next_window: bool = False
    """It was not there last night, but its series was: the calendar brought it."""


class Verdict(NamedTuple):
    """What the table says of one row."""

    status: str
    record_count: int | None = None
    error: str = ""
    summary: Summary | None = None
    previous_record_count: int | None = None

    @property
    def is_believed(self) -> bool:
        return self.status in BELIEVED


def exit_code_of(counts: Mapping[str, int]) -> int:
    """That of a published night, from its rows by status: 3 where some have no answer that can be believed."""
    return 3 if any(counts.get(status) for status in DOUBTFUL) else 0


# A request as NCBI sees it: path, query, and the JSON twin for lists too long for a URL. Nothing a user wrote
# is ever joined into a URL unquoted: no text can change which endpoint is asked.

LONGEST_LIST = 2000
"""Characters of encoded accessions above which the request goes as POST."""


def request_key(request: Request) -> str:
    """Path and query below the base URL: two requests with one key send the same.

    ValueError for a taxon that no quoting keeps in its place.
    """
    if request.taxon in ("", ".", ".."):
        raise ValueError(f"{request.taxon!r} is not the name of a taxon")
    return f"/virus/taxon/{_quoted(request.taxon)}/genome{_query(request.filters)}"


@lru_cache(maxsize=4096)  # few filter sets, many taxa
def _query(filters: FilterSet) -> str:
    query = "&".join(f"{name}={_quoted(value)}" for name, value in filters.parameters())
    return f"?{query}" if query else ""


@lru_cache(maxsize=4096)  # or few taxa, and many sets of the same few values
def _quoted(text: str) -> str:
    return quote(text, safe="")


def post_body(request: Request) -> dict[str, Any] | None:
    """The same request as v2VirusDatasetRequest, or None where its accessions fit a URL."""
    encoded = "&".join(f"accessions={quote(accession)}" for accession in request.filters.accessions)
    if len(encoded) <= LONGEST_LIST:
        return None
    body: dict[str, Any] = {"taxon": request.taxon}
    for name, value in request.filters.parameters():
        if name in LIST_FILTERS:
            body.setdefault(name, []).append(value)
        else:
            body[name] = True if value == "true" and name.endswith("_only") else value
    return body
