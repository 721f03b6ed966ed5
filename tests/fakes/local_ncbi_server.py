"""The embedded server in a thread of its own, and the plain HTTP to ask it with: tests stay synchronous."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from batchsum.local_ncbi.server import running


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server that runs; `ask` sends one request to a path below the base URL."""

    base_url: str

    def ask(
        self,
        path: str,
        query: Mapping[str, str | Sequence[str]] | None = None,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> Reply:
        parts = urlsplit(self.base_url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        target = f"{parts.path}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        with closing(connection):
            connection.request(
                method or ("GET" if body is None else "POST"),
                target,
                content,
                {"Accept": "application/json", **(headers or {})},
            )
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())

    def summary(self, taxon: str | int, **filters: Any) -> Any:
        """The document of a summary that must be answered 200."""
        reply = self.ask(f"/virus/taxon/{quote(str(taxon), safe='')}/genome", filters)
        assert reply.status == 200, reply.body
        return reply.json

    def count(self, taxon: str | int, **filters: Any) -> int:
        return int(self.summary(taxon, **filters)["record_count"])


@contextmanager
def serving(**options: Any) -> Iterator[Served]:
    """A server with these options of `running`, without a limit unless one is given."""
    ready, stop = threading.Event(), threading.Event()
    outcome: dict[str, Any] = {}

    async def serve() -> None:
        async with running(**{"requests_per_second": None, **options}) as base_url:
            outcome["base_url"] = base_url
            ready.set()
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as exc:
            outcome["error"] = exc
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait()
        if "base_url" in outcome:
            yield Served(outcome["base_url"])
    finally:
        stop.set()
        thread.join()
    if "error" in outcome:
        raise outcome["error"]
