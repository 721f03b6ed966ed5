"""Names looked up in NCBI's taxonomy, and its answers about them parsed.

A name stands for a taxon only where NCBI answers with that one alone: none is unknown, several are ambiguous.
Nothing is called unknown while a taxon that NCBI surely has is not known either: an outage can look like typos.

Source: `v2reportsTaxonomyDataReportPage` and `v2SciNameAndIds` of NCBI's OpenAPI document for Datasets v2.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import islice
from sys import intern
from typing import Any

from batchsum.model.queries import CANARY, Failure
from batchsum.ncbi.parse import BadAnswer, checked_text, field_in, objects_in, text_in
from batchsum.text import one_line

VIRUSES = 10239
"""The Taxonomy ID that every virus has above it."""

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any] | Failure]]
"""Posts a JSON body to a path below the base URL; gives the JSON object that came, or why none did."""

BATCH = 1000
"""Names in one request, and reports on one page: NCBI's maximum."""
MOST_PAGES = 100  # page tokens that lead round in a circle would never end
MOST_HALVINGS = 64
"""How often a batch that is refused as a whole is cut in two, to find the name that is in the way."""

Lineages = dict[tuple[int, ...], tuple[int, ...]]
"""Each list of parents with the tuple that stands for it: taxa side by side share one."""

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


Report = tuple[list[str], TaxonNode | None, str]
"""One report of a page: what it answers, and the taxon or the error."""


@dataclass(slots=True)
class Lookup:
    """NCBI's taxonomy, behind whatever can post a question to it.

    Source: `POST /taxonomy/dataset_report` and `POST /taxonomy/taxon_suggest`.
    """

    ask: Ask
    _canary_known: bool = False
    _halvings: int = 0
    _lineages: Lineages = field(default_factory=dict)

    async def names(self, texts: Iterable[str]) -> dict[str, Name] | Failure:
        """What each different text stands for, in their order; or why that cannot be told now."""
        found: dict[str, Name] = {}
        pending = iter(dict.fromkeys(texts))
        try:
            while batch := list(islice(pending, BATCH)):
                found.update(await self._batch(batch))
            if any(not name.taxa for name in found.values()):
                await self._require_canary()
        except _Unanswered as error:
            return error.failure
        return found

    async def near(self, text: str, *, viruses: bool = True) -> list[TaxonNode]:
        """Up to three taxa with a name like `text`, the nearest first. A courtesy: where it fails, none."""
        found: dict[TaxonNode, float] = {}
        # Suggestions are made for the beginning of a name, so ever less of the text is tried.
        for part in dict.fromkeys(text[: max(3, len(text) // cut)].strip() for cut in (1, 2, 4, len(text))):
            answer = await self.ask("/taxonomy/taxon_suggest", {"taxon_query": part, "tax_rank_filter": "higher_taxon"})
            if isinstance(answer, Failure):
                break
            try:
                for node, names, may_be_virus in parse_suggestions(answer):
                    if may_be_virus or not viruses:
                        pairs = (SequenceMatcher(None, text.casefold(), name.casefold()) for name in names)
                        found[node] = max(pair.ratio() for pair in pairs)
            except BadAnswer:
                break
            if found:  # less of the text would only find more that is farther away
                break
        return sorted((node for node in found if found[node] > 0.5), key=lambda node: (-found[node], node.tax_id))[:3]

    async def _batch(self, texts: list[str]) -> dict[str, Name]:
        try:
            return match(texts, await self._reports(texts))
        except _Unanswered as error:
            if error.failure.status != "rejected":
                raise
            if texts == [CANARY]:  # else the canary would be asked about itself for ever
                raise _Unanswered(_outage(error.failure.detail)) from None
            await self._require_canary()
            if len(texts) == 1:
                return {texts[0]: Name(texts[0], error=error.failure.detail)}
            if self._halvings == MOST_HALVINGS:
                raise
        # One name can have the whole batch refused: the half without it is answered.
        self._halvings += 1
        middle = len(texts) // 2
        return {**await self._batch(texts[:middle]), **await self._batch(texts[middle:])}

    async def _require_canary(self) -> None:
        """During outages NCBI has called ids invalid that are right: ncbi/datasets#246, #367, #373."""
        if not self._canary_known:
            name = (await self._batch([CANARY]))[CANARY]
            if name.taxon is None:
                raise _Unanswered(_outage(name.error))
            self._canary_known = True

    async def _reports(self, texts: Sequence[str]) -> list[Report]:
        """The reports of all pages: a name of several taxa has several, so there can be more than names."""
        body: dict[str, Any] = {"taxons": list(texts), "returned_content": "METADATA", "page_size": BATCH}
        reports: list[Report] = []
        try:
            for _ in range(MOST_PAGES):
                answer = await self.ask("/taxonomy/dataset_report", body)
                if isinstance(answer, Failure):
                    raise _Unanswered(answer)
                page, token = parse_page(answer, self._lineages)
                reports += page
                if not token:
                    return reports
                body["page_token"] = token
            raise BadAnswer(f"more than {MOST_PAGES} pages")
        except BadAnswer as error:
            raise _Unanswered(Failure("failed", "bad_answer", f"taxonomy report: {error}")) from None


def parse_page(page: Mapping[str, Any], lineages: Lineages) -> tuple[list[Report], str]:
    """The reports of one page and the token of the next, empty on the last. Raises BadAnswer."""
    return [_report(report, lineages) for report in objects_in(page, "reports")], text_in(page, "next_page_token")


def _report(report: Mapping[str, Any], lineages: Lineages) -> Report:
    queries = [checked_text(query, "query") for query in field_in(report, "query", list)]
    if requested := text_in(field_in(field_in(report, "warning", dict), "replaced_id", dict), "requested"):
        queries.append(requested)  # of a merged id: match() looks for the one that was asked
    value = field_in(report, "taxonomy", dict)
    if not value:
        errors = [text_in(error, "message") or text_in(error, "reason") for error in objects_in(report, "errors")]
        return queries, None, one_line(next(filter(None, errors), ""))
    parents = tuple(map(_tax_id, field_in(value, "parents", list)))
    node = TaxonNode(
        tax_id=_tax_id(value.get("tax_id")),
        scientific_name=one_line(text_in(field_in(value, "current_scientific_name", dict), "name")),
        rank=_rank(value),
        parents=lineages.setdefault(parents, parents),
    )
    return [*queries, *(str(_tax_id(one)) for one in field_in(value, "secondary_tax_ids", list))], node, ""


def match(texts: Sequence[str], reports: Iterable[Report]) -> dict[str, Name]:
    """Each text with its reports. NCBI repeats what it was asked, maybe in another case of letters."""
    taxa: dict[str, dict[int, TaxonNode]] = {text: {} for text in texts}
    errors: dict[str, str] = {}
    folded: dict[str, list[str]] = {}  # several spellings of a job may be one to NCBI
    for text in texts:
        folded.setdefault(_fold(text), []).append(text)
    for queries, node, error in reports:
        for query in queries:
            for text in [query] if query in taxa else folded.get(_fold(query), []):
                if node is None:
                    errors.setdefault(text, error)
                else:
                    taxa[text][node.tax_id] = node  # by id, so that one taxon told twice is one
    silent = "NCBI's answer does not mention it"
    return {
        text: Name(text, tuple(nodes.values()), "" if nodes else errors.get(text, silent))
        for text, nodes in taxa.items()
    }


def parse_suggestions(answer: Mapping[str, Any]) -> Iterator[tuple[TaxonNode, list[str], bool]]:
    """The taxa suggested, the names of each, and whether it may be a virus. Raises BadAnswer."""
    for one in objects_in(answer, "sci_name_and_ids"):
        node = TaxonNode(_tax_id(one.get("tax_id")), one_line(text_in(one, "sci_name")), _rank(one))
        names = [node.scientific_name, text_in(one, "common_name"), text_in(one, "matched_term")]
        yield node, names, text_in(one, "group_name") in ("", "viruses")


class _Unanswered(Exception):
    """Ends a lookup at once, wherever in a batch it is; `Lookup.names` gives the Failure as its value."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _outage(detail: str) -> Failure:
    return Failure("skipped", "outage", f"taxon {CANARY}, which NCBI surely has: {detail}")


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _rank(value: Mapping[str, Any]) -> str:
    return intern(one_line(text_in(value, "rank")).lower().replace("_", " ") or "no rank")


def _tax_id(value: Any) -> int:
    """A Taxonomy ID, which NCBI writes as a number or, in some answers, as its digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
        raise BadAnswer("a Taxonomy ID is no number above 0")
    return value
