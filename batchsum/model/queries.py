"""The glossary as frozen dataclasses: what is asked, and what comes back. What a night makes by the million is a
named tuple, which is made in half the time.

Null is never zero: a count that nobody gave is None here and an empty cell in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NamedTuple

from batchsum.model.filters import FilterSet

CANARY = "2697049"
"""SARS-CoV-2: NCBI surely knows it, so its answer tells a wrong taxon from a night when nothing is known."""

FILE_KINDS = (
    "all_genomic_fasta", "genome_gff", "genome_gbff", "rna_fasta", "prot_fasta", "genome_gtf",
    "cds_fasta", "sequence_report", "annotation_report",
)  # fmt: skip

STATUSES = ("ok", "empty", "suspect", "rejected", "failed", "skipped")
"""What can become of a row."""
BELIEVED, DOUBTFUL = STATUSES[:2], STATUSES[2:]


def exit_code_of(counts: Mapping[str, int]) -> int:
    """That of a published night, from its rows by status: 3 where some have no answer that can be believed."""
    return 3 if any(counts.get(status) for status in DOUBTFUL) else 0


@dataclass(frozen=True, slots=True)
class Request:
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


@dataclass(frozen=True, slots=True)
class Query:
    """One taxon × one filter set: one row. Known from night to night by `taxon` and `filter_set`."""

    taxon: str
    filter_set: str
    filters: FilterSet
    label: str = ""
    guards: Guards = Guards()
    asked_as: str = ""
    """The Taxonomy ID that NCBI is asked for; empty: the taxon as written."""

    def requests(self) -> tuple[Request, ...]:
        """The one request of this row; for a window two: since its beginning, and since its end."""
        taxon = self.asked_as or self.taxon
        return tuple([Request(taxon, filters) for filters in self.filters.asked()])


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


@dataclass(frozen=True, slots=True)
class Summary:
    """NCBI's answer about one request, as parsed: v2DownloadSummary of NCBI Datasets.

    `record_count` is None where the answer left it out although something in it contradicts zero.
    """

    record_count: int | None
    assembly_count: int | None = None
    resource_updated_on: str | None = None
    hydrated: Package = Package()
    dehydrated: Package = Package()
    available_files: Mapping[str, FileSummary] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def has_data(self) -> bool:
        """Whether anything beside the count says that there are records."""
        sizes = [self.assembly_count, self.hydrated.estimated_file_size_mb]
        sizes.append(self.dehydrated.estimated_file_size_mb)
        for files in self.available_files.values():
            sizes += [files.file_count, files.size_mb]  # type: ignore[list-item]
        return any(sizes)


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
