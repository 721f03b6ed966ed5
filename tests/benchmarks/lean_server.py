"""The least a server can do: one answer from memory for every question, so that what is measured is the client.

Runs in a process of its own (`lean_server()`), for the other core. It looks for the ends of requests only, so
it takes GET alone.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SUMMARY = b"""{"record_count":1240311,"assembly_count":1240311,"resource_updated_on":"2026-01-15T06:41:16Z",
"hydrated":{"estimated_file_size_mb":4821,"url":"https://api.ncbi.nlm.nih.gov/datasets/v2/virus/taxon/11320/genome/download",
"cli_download_command_line":"datasets download virus genome taxon 11320 --host human --complete-only"},
"available_files":{"all_genomic_fasta":{"file_count":1,"size_mb":2210.5},"genome_gff":{},"cds_fasta":{"file_count":1,"size_mb":1180.25},
"prot_fasta":{"file_count":1,"size_mb":640.125},"annotation_report":{"file_count":1,"size_mb":310.5},
"sequence_report":{"file_count":1,"size_mb":480}}}""".replace(b"\n", b"")


def http(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nNCBI-PHID: 939B8A0D0F3C61C50000000000000001\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


class _Connection(asyncio.Protocol):
    """Answers as many requests as have ended; a part of one waits for its rest."""

    answer = http(SUMMARY)
    _rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\r\n\r\n")
        self._transport.write(self.answer * len(whole))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started this goes


@contextmanager
def lean_server() -> Iterator[str]:
    """The base URL of such a server, until the block ends."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
