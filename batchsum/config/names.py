"""What is to be said of the names of a job, once NCBI's taxonomy and the lock have been heard.

A locked name is asked by its id whatever the name means by now: that it moved is told, and changes nothing. Any other
is asked as it is written, and what it stands for is learnt night by night.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from batchsum.config.taxa_lock import FILE, LockedTaxon, TaxaLock
from batchsum.errors import Refused
from batchsum.model.job import Job
from batchsum.model.queries import Failure
from batchsum.ncbi.taxonomy import Ask, Lookup, Name, TaxonNode

MOST_SHOWN = 5
"""Candidates that a message names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know of a name. `unknown`, `ambiguous` and `not_a_virus` mean rows without an answer."""

    kind: Literal["unknown", "ambiguous", "not_a_virus", "merged", "same_taxon", "moved"]
    text: str
    """The name or id as written."""
    message: str
    candidates: tuple[TaxonNode, ...] = ()
    """What was perhaps meant, or what it is now."""
    is_host: bool = False

    @property
    def is_problem(self) -> bool:
        return self.kind in ("unknown", "ambiguous", "not_a_virus")


def job_names(job: Job) -> dict[str, int]:
    """The different taxa of a job as written, in order, and how often each is listed."""
    return Counter(listed.taxon for listed in job.taxa)


def job_hosts(job: Job) -> dict[str, str]:
    """The different hosts of the filter sets, each with the first set that asks for it."""
    hosts: dict[str, str] = {}
    for named in job.every_set():
        if named.filters.host:
            hosts.setdefault(named.filters.host, named.name)
    return hosts


async def look_up(ask: Ask, names: Iterable[str]) -> dict[str, Name] | Failure:
    """What NCBI's taxonomy takes these names for tonight, one request a thousand; or why that cannot be told."""
    try:
        return await Lookup(ask).names(names)
    except Refused as error:  # names may be refused where counts are not: the night goes on without them
        return Failure("failed", "refused", str(error))


def moved_names(names: Mapping[str, Name] | Failure, lock: TaxaLock) -> list[str]:
    """Warnings about locked names: one a name that means something else by now, or that nothing could be told."""
    if isinstance(names, Failure):
        return [f"the names of {FILE} could not be looked up tonight: {names}"] if lock else []
    return [finding.message for name in names.values() if (finding := _moved(name, lock.get(name.text)))]


def taxon_findings(names: Mapping[str, Name], lock: TaxaLock) -> Iterator[Finding]:
    """What to say of the taxa of a job, in their order; `lock` is the one that tonight's asking would go by."""
    first: dict[int, str] = {}
    for name in names.values():
        locked = lock.get(name.text)
        finding = _moved(name, locked) if locked else _doubt(name, _called(name.text))
        if finding:
            yield finding
            if finding.is_problem:  # its rows get no answer that another name could share
                continue
        elif name.taxon and name.text.isdigit() and int(name.text) != name.taxon.tax_id:
            yield Finding("merged", name.text, merged(name.text, name.taxon), name.taxa)
        node = locked.node if locked else name.taxon  # the locked id is the one that is asked
        if node is None:
            continue
        other = first.setdefault(node.tax_id, name.text)
        if other != name.text:
            message = f"{_called(name.text)} and {other!r} are one taxon, {node}; their rows share their requests"
            yield Finding("same_taxon", name.text, message, (node,))


def host_findings(names: Iterable[Name]) -> Iterator[Finding]:
    """Hosts that NCBI's taxonomy does not know, or not as one taxon."""
    return (found for name in names if (found := _doubt(name, f"host {name.text!r}", is_host=True)))


def merged(text: str, node: TaxonNode) -> str:
    """In words: an id that NCBI merged into another one."""
    return f"taxon {text} was merged into {node}; write {node.tax_id}"


def moved(text: str, before: TaxonNode, now: TaxonNode) -> str:
    """In words: a name that is not locked, and stands for another taxon than it did."""
    return f"{_called(text)} stands for {now} now, and stood for {before} before; its rows go on with their past"


def _doubt(name: Name, called: str, is_host: bool = False) -> Finding | None:
    if name.is_ambiguous:  # before the next, since taxon is None for several taxa as well
        return Finding("ambiguous", name.text, f"{called} {_several(name)}", name.taxa, is_host)
    if name.taxon is None:
        return Finding("unknown", name.text, f"{called} is not known to NCBI's taxonomy", is_host=is_host)
    if not (is_host or name.taxon.is_virus):
        return Finding("not_a_virus", name.text, f"{called} is {name.taxon}, which is no virus", name.taxa)
    return None


def _moved(name: Name, locked: LockedTaxon | None) -> Finding | None:
    if locked is None or (name.taxon and name.taxon.tax_id == locked.node.tax_id):
        return None
    if name.is_ambiguous:
        now = _several(name)
    else:
        now = f"is {name.taxon} now" if name.taxon else "is not known to NCBI's taxonomy now"
    message = (
        f"{_called(name.text)} was {locked.node} when it was locked on {locked.locked_on}, and {now}; "
        f"{locked.node.tax_id} is asked until its line is removed from {FILE}"
    )
    return Finding("moved", name.text, message, name.taxa)


def _called(text: str) -> str:
    return f"taxon {text}" if text.isdigit() else f"taxon {text!r}"


def _several(name: Name) -> str:
    if not name.taxa:  # NCBI may say that there are several, and name none of them
        return f"stands for more than one taxon; write the Taxonomy ID of one (NCBI: {name.error})"
    more = len(name.taxa) - MOST_SHOWN
    shown = ", ".join(map(str, name.taxa[:MOST_SHOWN])) + (f" and {more:,} more" if more > 0 else "")
    return f"stands for {len(name.taxa):,} taxa; write the id of one: {shown}"
