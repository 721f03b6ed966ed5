"""One record of a data report: the fields that the filters ask for, in whichever spelling they come.

NCBI's package spells them in camel case (`releaseDate`), `datasets summary ... --as-json-lines` in snake case
(`release_date`): each stands here in both. Virus, host and location stay JSON in the record, since a report has few
different ones and each needs to be looked into once only.
Source: `v2reportsVirusAssembly` of NCBI's OpenAPI document for Datasets v2.
"""

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

UNREADABLE = (MsgspecError, RecursionError)
"""What reading raises for a line that is no record."""

FLAGS = ("refseq_only", "annotated_only", "complete_only")
"""The filters that are on or off, as `Record.flags` answers them."""

_ABSENT = Raw(b"{}")


class Record(Struct, gc=False):
    """A line without an accession or a virus is none."""

    accession: str
    virus: Raw
    host: Raw = _ABSENT
    location: Raw = _ABSENT
    completeness: str | None = None
    source_database: str | None = None
    sourceDatabase: str | None = None
    is_annotated: bool | None = None
    isAnnotated: bool | None = None
    release_date: str | None = None
    releaseDate: str | None = None
    update_date: str | None = None
    updateDate: str | None = None

    @property
    def updated(self) -> str:
        return self.updateDate or self.update_date or self.releaseDate or self.release_date or ""

    @property
    def flags(self) -> tuple[bool, ...]:
        """Whether it is what each of FLAGS asks for."""
        is_refseq = (self.sourceDatabase or self.source_database) == "RefSeq"
        return is_refseq, bool(self.isAnnotated or self.is_annotated), self.completeness == "COMPLETE"


class _Step(Struct):
    """Of a lineage."""

    tax_id: int | None = None
    taxId: int | None = None
    name: str | None = None


class _Organism(Struct):
    tax_id: int | None = None
    taxId: int | None = None
    lineage: list[_Step] | None = None
    organism_name: str | None = None
    organismName: str | None = None
    sci_name: str | None = None
    sciName: str | None = None
    common_name: str | None = None
    commonName: str | None = None
    pangolin_classification: str | None = None
    pangolinClassification: str | None = None


class _Location(Struct):
    geographic_location: str | None = None
    geographicLocation: str | None = None
    geographic_region: str | None = None
    geographicRegion: str | None = None
    usa_state: str | None = None
    usaState: str | None = None


read_records = Decoder(Record).decode_lines
_read_organism = Decoder(_Organism | None).decode
_read_location = Decoder(_Location | None).decode


def read_organism(raw: bytes) -> tuple[dict[int, set[str]], str]:
    """Of a virus or a host the ids of its lineage from the top down to itself, each with its names in lower case, none
    where it has no id; and its Pango lineage."""
    given = _read_organism(raw) or _Organism()
    itself = given.taxId or given.tax_id
    scientific = given.organismName or given.organism_name or given.sciName or given.sci_name
    steps = [(step.taxId or step.tax_id, step.name) for step in given.lineage or ()]
    names: dict[int, set[str]] = {}
    for tax_id, name in (*steps, (itself, scientific), (itself, given.commonName or given.common_name)):
        if itself and tax_id:
            names.setdefault(tax_id, set()).add((name or "").casefold())
    return names, given.pangolinClassification or given.pangolin_classification or ""


def read_location(raw: bytes) -> tuple[str, str, str]:
    """Region, country and US state, empty where they are not told: `USA: Boston, MA` is in the country USA."""
    given = _read_location(raw) or _Location()
    place = given.geographicLocation or given.geographic_location or ""
    region = given.geographicRegion or given.geographic_region or ""
    return region, place.partition(":")[0].strip(), given.usaState or given.usa_state or ""
