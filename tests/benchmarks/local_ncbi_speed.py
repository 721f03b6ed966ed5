"""How fast the embedded server answers one cached question, its limit off.

    python tests/benchmarks/local_ncbi_speed.py [SECONDS]

The server runs in one process, the client in this one, over keep-alive connections. The peer, measured in
turns with it, is the least an aiohttp server can do: a handler that returns the same bytes without looking at
the request. Prints answers a second of both (median of five turns) and their ratio.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection

from aiohttp import web

from batchsum.local_ncbi.server import running

CONNECTIONS, TURNS = 16, 5
PATH = "/virus/taxon/11320/genome?host=human&complete_only=true"


async def serve_ours(pipe: Connection) -> None:
    async with running(requests_per_second=None) as base_url:
        pipe.send(base_url)
        await asyncio.to_thread(pipe.recv)


async def serve_peer(pipe: Connection) -> None:
    body = b"x" * 420

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await asyncio.to_thread(pipe.recv)
    await runner.cleanup()


def run(which: str, pipe: Connection) -> None:
    asyncio.run(serve_ours(pipe) if which == "ours" else serve_peer(pipe))


async def ask_until(base_url: str, end: float) -> int:
    host, _, path = base_url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    request = f"GET /{path}{PATH} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(name, int(port))
    answers = 0
    while time.perf_counter() < end:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"not answered: {head!r}")
        await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        answers += 1
    writer.close()
    return answers


async def measure(base_url: str, seconds: float) -> float:
    begun = time.perf_counter()
    counts = await asyncio.gather(*(ask_until(base_url, begun + seconds) for _ in range(CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - begun)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    context = multiprocessing.get_context("spawn")
    servers = {}
    for which in ("ours", "peer"):
        here, there = context.Pipe()
        process = context.Process(target=run, args=(which, there))
        process.start()
        servers[which] = (process, here, here.recv())
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(TURNS):
        for which, (_, _, base_url) in servers.items():
            rates[which].append(asyncio.run(measure(base_url, seconds)))
    for process, pipe, _ in servers.values():
        pipe.send("stop")
        process.join()
    ours, peer = (statistics.median(rates[which]) for which in ("ours", "peer"))
    print(f"embedded server {ours:,.0f}/s   bare aiohttp handler {peer:,.0f}/s   ratio {ours / peer:.2f}")


if __name__ == "__main__":
    main()
