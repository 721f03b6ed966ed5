"""Names and taxa in NCBI's words, and its answers about them parsed.

A name stands for a taxon only where NCBI answers with that one alone: none is unknown, several are ambiguous.

Source: `v2reportsTaxonomyDataReportPage` and `v2SciNameAndIds` of NCBI's OpenAPI document for Datasets v2.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

from batchsum.ncbi.document import one_line

VIRUSES = 10239

_AMBIGUOUS = re.compile(r"ambiguous|more than one|multiple (?:taxa|taxids|matches)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TaxonNode:
    """One taxon of NCBI's taxonomy."""

    tax_id: int
    scientific_name: str
    rank: str = "no rank"
    """As taxonomists write it: `species`, `no rank`."""
    parents: tuple[int, ...] = ()
    """The taxa above it, from the root down; empty where NCBI did not tell."""

    @property
    def is_virus(self) -> bool:
        """False only where NCBI told what is above it, and Viruses is not among that."""
        return not self.parents or VIRUSES in (self.tax_id, *self.parents)

    def __str__(self) -> str:
        return f"{self.tax_id} ({self.scientific_name})" if self.scientific_name else str(self.tax_id)


@dataclass(frozen=True, slots=True)
class Name:
    """A name or an id as somebody wrote it, and the taxa that NCBI takes it for."""

    text: str
    taxa: tuple[TaxonNode, ...] = ()
    error: str = ""
    """What NCBI says of a name without a taxon."""

    @property
    def taxon(self) -> TaxonNode | None:
        """The one taxon it stands for, or None."""
        return self.taxa[0] if len(self.taxa) == 1 else None

    @property
    def is_ambiguous(self) -> bool:
        return len(self.taxa) > 1 or (not self.taxa and bool(_AMBIGUOUS.search(self.error)))


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a page: what it answers, and the taxon or the error."""

    queries: Sequence[str]
    node: TaxonNode | None
    error: str = ""


class Malformed(ValueError):
    """An answer that is not what the specification promises; says in a few words what is broken."""


Lineages = dict[tuple[int, ...], tuple[int, ...]]


def parse_page(page: Mapping[str, Any], lineages: Lineages) -> tuple[list[Report], str]:
    """The reports of one page and the token of the next, empty on the last. Raises Malformed.

    Taxa side by side share the tuple of what is above them, kept in `lineages`.
    """
    return [_report(report, lineages) for report in _objects(page, "reports")], _text(page, "next_page_token")


def _report(report: Mapping[str, Any], lineages: Lineages) -> Report:
    queries = [_is_text(query, "query") for query in _list(report, "query")]
    if requested := _text(_object(_object(report, "warning"), "replaced_id"), "requested"):
        queries.append(requested)
    value = _object(report, "taxonomy")
    if not value:
        errors = [_text(error, "message") or _text(error, "reason") for error in _objects(report, "errors")]
        return Report(queries, None, one_line(next(filter(None, errors), "")))
    parents = tuple(map(_tax_id, _list(value, "parents")))
    node = TaxonNode(
        tax_id=_tax_id(value.get("tax_id")),
        scientific_name=one_line(_text(_object(value, "current_scientific_name"), "name")),
        rank=_rank(value),
        parents=lineages.setdefault(parents, parents),
    )
    return Report([*queries, *(str(_tax_id(one)) for one in _list(value, "secondary_tax_ids"))], node)


def match(texts: Sequence[str], reports: Iterable[Report]) -> dict[str, Name]:
    """Each text with its reports. NCBI repeats what it was asked, maybe in another case of letters."""
    taxa: dict[str, dict[int, TaxonNode]] = {text: {} for text in texts}
    errors: dict[str, str] = {}
    folded: dict[str, list[str]] = {}
    for text in texts:
        folded.setdefault(_fold(text), []).append(text)
    for report in reports:
        for query in report.queries:
            for text in [query] if query in taxa else folded.get(_fold(query), []):
                if report.node is None:
                    errors.setdefault(text, report.error)
                else:
                    taxa[text][report.node.tax_id] = report.node
    silent = "NCBI's answer does not mention it"
    return {
        text: Name(text, tuple(nodes.values()), "" if nodes else errors.get(text, silent))
        for text, nodes in taxa.items()
    }


def parse_suggestions(answer: Mapping[str, Any]) -> Iterator[tuple[TaxonNode, list[str], bool]]:
    """The taxa suggested, the names of each, and whether it may be a virus. Raises Malformed."""
    for one in _objects(answer, "sci_name_and_ids"):
        node = TaxonNode(_tax_id(one.get("tax_id")), one_line(_text(one, "sci_name")), _rank(one))
        names = [node.scientific_name, _text(one, "common_name"), _text(one, "matched_term")]
        yield node, names, _text(one, "group_name") in ("", "viruses")


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _rank(value: Mapping[str, Any]) -> str:
    return intern(one_line(_text(value, "rank")).lower().replace("_", " ") or "no rank")


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name) or {}
    if not isinstance(inner, dict):
        raise Malformed(f"{name} is no object")
    return inner


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    items = value.get(name) or []
    if not isinstance(items, list):
        raise Malformed(f"{name} is no list")
    return items


def _objects(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = _list(value, name)
    if not all(isinstance(item, dict) for item in items):
        raise Malformed(f"{name} is no list of objects")
    return items


def _text(value: Mapping[str, Any], name: str) -> str:
    return _is_text(value.get(name) or "", name)


def _is_text(text: Any, name: str) -> str:
    if not isinstance(text, str):
        raise Malformed(f"{name} is no text")
    return text


def _tax_id(value: Any) -> int:
    """A Taxonomy ID, which NCBI writes as a number or, in some answers, as its digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
        raise Malformed("a Taxonomy ID is no number above 0")
    return value
