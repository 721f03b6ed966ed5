"""Names looked up in NCBI's taxonomy, a thousand in one request.

Nothing is called unknown while a taxon that NCBI surely has is not known either: an outage can look like typos.
"""

import difflib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from batchsum.model.queries import CANARY, Failure
from batchsum.ncbi.taxonomy import Lineages, Malformed, Name, Report, TaxonNode, match, parse_page, parse_suggestions

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any] | Failure]]
"""Posts a JSON body to a path below the base URL; gives the JSON object that came, or why none did."""

BATCH = 1000
"""Names in one request, and reports on one page: NCBI's maximum."""
MOST_PAGES = 100
MOST_HALVINGS = 64
"""How often a batch that is refused as a whole is cut in two, to find the name that is in the way."""


class _Unanswered(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


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
        for part in _beginnings(text):
            answer = await self.ask("/taxonomy/taxon_suggest", {"taxon_query": part, "tax_rank_filter": "higher_taxon"})
            if isinstance(answer, Failure):
                break
            try:
                for node, names, may_be_virus in parse_suggestions(answer):
                    if may_be_virus or not viruses:
                        found[node] = max(_likeness(text, name) for name in names)
            except Malformed:
                break
            if found:
                break
        return sorted((node for node in found if found[node] > 0.5), key=lambda node: (-found[node], node.tax_id))[:3]

    async def _batch(self, texts: list[str]) -> dict[str, Name]:
        try:
            return match(texts, await self._reports(texts))
        except _Unanswered as error:
            if error.failure.status != "rejected":
                raise
            if texts == [CANARY]:
                raise _Unanswered(_outage(error.failure.detail)) from None
            await self._require_canary()
            if len(texts) == 1:
                return {texts[0]: Name(texts[0], error=error.failure.detail)}
            if self._halvings == MOST_HALVINGS:
                raise
        self._halvings += 1
        middle = len(texts) // 2
        return {**await self._batch(texts[:middle]), **await self._batch(texts[middle:])}

    async def _require_canary(self) -> None:
        """ncbi/datasets#246, #367, #373: ids that are right are called invalid."""
        if not self._canary_known:
            name = (await self._batch([CANARY]))[CANARY]
            if name.taxon is None:
                raise _Unanswered(_outage(name.error))
            self._canary_known = True

    async def _reports(self, texts: Sequence[str]) -> list[Report]:
        """The reports of all pages: a name of several taxa has several, so there can be more than names."""
        body: dict[str, Any] = {"taxons": list(texts), "returned_content": "METADATA", "page_size": BATCH}
        reports: list[Report] = []
        for _ in range(MOST_PAGES):
            answer = await self.ask("/taxonomy/dataset_report", body)
            if isinstance(answer, Failure):
                raise _Unanswered(answer)
            try:
                page, token = parse_page(answer, self._lineages)
            except Malformed as error:
                raise _Unanswered(Failure("failed", "bad_answer", f"taxonomy report: {error}")) from None
            reports += page
            if not token:
                return reports
            body["page_token"] = token
        raise _Unanswered(Failure("failed", "bad_answer", f"taxonomy report: more than {MOST_PAGES} pages"))


def _outage(detail: str) -> Failure:
    return Failure("skipped", "outage", f"taxon {CANARY}, which NCBI surely has: {detail}")


def _beginnings(text: str) -> list[str]:
    """The text, then ever less of it: suggestions are made for the beginning of a name."""
    words = text.split()
    shorter = [" ".join(words[:length]) for length in range(len(words), 0, -1)]
    first = words[0]
    parts = dict.fromkeys([*shorter[:3], first, first[: max(4, len(first) // 2)], first[:3]])
    return [part for part in parts if len(part) > 2]


def _likeness(text: str, name: str) -> float:
    return difflib.SequenceMatcher(None, text.casefold(), name.casefold()).ratio()
