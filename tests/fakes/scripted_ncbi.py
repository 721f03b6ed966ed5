"""An NCBI that says exactly what a test scripts, on a loopback port, and remembers what it was asked."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from aiohttp import web

PREFIX = "/datasets/v2"


@dataclass(frozen=True)
class Question:
    """One arrival: taxon and parameters, decoded."""

    taxon: str
    parameters: tuple[tuple[str, str], ...]
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """`TAXON` or `TAXON?name=value&...`, the way the scripts name a question."""
        return self.taxon + (
            "?" + "&".join(f"{name}={value}" for name, value in self.parameters) if self.parameters else ""
        )


@dataclass
class ScriptedNcbi:
    """`answers` maps a question's text to a body, or to (status, body); `otherwise` is asked for all others."""

    base_url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    otherwise: Callable[[Question], Any] = lambda question: {"record_count": 7, "assembly_count": 7}
    delay: Callable[[Question], float] = lambda question: 0.0
    rate_limit: str | None = None
    """What it tells of its limit. A limit that is told holds back what follows in the first second of a night."""
    asked: list[Question] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        return Counter(question.text for question in self.asked)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        taxon = path.removeprefix(f"{PREFIX}/virus/taxon/").removesuffix("/genome")
        if path.startswith(f"{PREFIX}/taxonomy/"):  # a word for good, so that nobody asks again after a pause
            return web.json_response({"code": 7, "message": "names are told to nobody here"}, status=403)
        if not path.startswith(f"{PREFIX}/virus/taxon/") or "/" in taxon:
            return web.json_response({"code": 5, "message": f"no such endpoint: {path}"}, status=404)
        question = Question(unquote(taxon), tuple(parse_qsl(query)), dict(request.headers))
        self.asked.append(question)
        scripted = self.answers.get(question.text)
        if scripted is None:
            scripted = self.otherwise(question)
        status, body = scripted if isinstance(scripted, tuple) else (200, scripted)
        if pause := self.delay(question):
            await asyncio.sleep(pause)
        headers = {"NCBI-PHID": f"TEST{len(self.asked):08}"}
        if self.rate_limit:
            headers["X-RateLimit-Limit"] = self.rate_limit
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)


@contextmanager
def scripted_ncbi(**fields: Any) -> Iterator[ScriptedNcbi]:
    """A ScriptedNcbi that listens, in a thread of its own, until the block ends."""
    with listening(ScriptedNcbi(**fields)) as ncbi:
        yield ncbi


N = TypeVar("N", bound=ScriptedNcbi)


@contextmanager
def listening(ncbi: N) -> Iterator[N]:
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    done = asyncio.Event()

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(ncbi.answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ncbi.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}"
        ready.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield ncbi
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
