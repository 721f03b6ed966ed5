"""`batchsum serve`: the embedded server, in the foreground."""

import argparse
import asyncio
import os

from batchsum.errors import UsageError
from batchsum.local_ncbi import server


def serve_command(arguments: argparse.Namespace) -> int:
    """`batchsum serve`: until SIGTERM or SIGINT."""
    if arguments.rps == "auto":
        raise UsageError("serve --rps: write a number or unlimited; without --rps the limit is as NCBI's")
    try:
        asyncio.run(
            server.serve_forever(
                host=arguments.host,
                port=arguments.port,
                # Without the option NCBI's own limit, and None for no limit.
                requests_per_second={None: "ncbi", "unlimited": None}.get(arguments.rps, arguments.rps),
                latency=arguments.latency,
                as_of=arguments.as_of,
                faults=arguments.fault,
                catalogue=arguments.catalogue,
            )
        )
    except ValueError as error:
        raise UsageError(f"serve: {error}") from None
    except OSError as error:
        # The event loop's own words name the address again, in a form that differs from one Python to the next.
        number = error.errno or 0
        why = os.strerror(number).lower() if number > 0 else error.strerror or str(error)
        raise UsageError(
            f"serve: {arguments.host}:{arguments.port}: {why}; name another --host or --port (0 takes a free one)"
        ) from None
    return 0
