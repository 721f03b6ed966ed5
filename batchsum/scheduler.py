"""A pool of workers on one iterator: as many tasks as workers, however many requests there are."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


async def run_requests(
    requests: Iterable[Q],
    fetch: Callable[[Q], Awaitable[A]],
    *,
    workers: int,
    on_answer: Callable[[Q, A], None],
) -> None:
    """Fetch every request, at most `workers` at a time, and hand each answer over as it comes.

    `fetch` raises only to stop the night: then every worker is cancelled and that error is raised as it is.
    """
    pending = iter(requests)  # shared by all workers: this is the queue

    async def worker() -> None:
        for request in pending:
            on_answer(request, await fetch(request))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
