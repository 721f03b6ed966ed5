"""A ScriptedNcbi that knows names too: what each stands for is scripted, and what is looked up is remembered."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes import scripted_ncbi
from tests.fakes.scripted_ncbi import PREFIX, ScriptedNcbi

LINEAGE = (1, 10239, 2559587)


def node(tax_id: int, name: str = "", *parents: int, **fields: Any) -> dict[str, Any]:
    """A taxon as NCBI reports it; a virus unless its parents say otherwise."""
    return {
        "tax_id": tax_id,
        "current_scientific_name": {"name": name or f"Virus {tax_id}"},
        "parents": list(parents or LINEAGE),
        **fields,
    }


@dataclass
class ScriptedTaxonomy(ScriptedNcbi):
    """`names` maps what is asked to the taxa it stands for; an id that is not there stands for itself."""

    names: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    fault: Any = None
    """A whole answer, (status, body), to every lookup."""
    page: int = 1000
    """Reports on one page at most."""
    looked_up: list[list[str]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.keys.add(request.headers.get("api-key"))
        if request.path == f"{PREFIX}/taxonomy/dataset_report" and request.method == "POST":
            return self._reply(*(self.fault or self._page(json.loads(await request.read()))))
        if request.path == f"{PREFIX}/taxonomy/taxon_suggest":
            return self._reply(*(self.fault or (200, {})))
        return await super().answer(request)

    def _page(self, body: dict[str, Any]) -> tuple[int, Any]:
        start = int(body.get("page_token", 0))
        if not start:
            self.looked_up.append(body["taxons"])
        size = min(self.page, body["page_size"])
        every = [report for text in body["taxons"] for report in self._reports(text)]
        more = {"next_page_token": str(start + size)} if start + size < len(every) else {}
        return 200, {"reports": every[start : start + size], **more}

    def _reports(self, text: str) -> list[dict[str, Any]]:
        taxa = self.names.get(text, [node(int(text))] if text.isdigit() else [])
        if not taxa:
            return [{"query": [text], "errors": [{"message": f"The taxonomy name '{text}' is not recognized."}]}]
        return [{"query": [text], "taxonomy": taxon} for taxon in taxa]

    def _reply(self, status: int, body: Any) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type="application/json")


@contextmanager
def scripted_taxonomy(**fields: Any) -> Iterator[ScriptedTaxonomy]:
    with scripted_ncbi.listening(ScriptedTaxonomy(**fields)) as ncbi:
        yield ncbi
