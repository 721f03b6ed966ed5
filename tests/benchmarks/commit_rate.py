"""How many answers a second does the journal bring to the disk?

    python -m tests.benchmarks.commit_rate [--quick]

Every answer is put as it comes from the client, and all are committed when the clock stops. The peer is sqlite3
alone on the same disk: the same texts in groups of the same size, rollback journal, full sync. The size of the
groups is what the journal makes of a flood; the peer gets the number of groups that the journal needed.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

from batchsum.model.queries import Attempt, Reply
from batchsum.ncbi.parse import parse_answer
from batchsum.store.journal import Journal
from batchsum.store.store import Run, Store, dump_reply
from tests.benchmarks.lean_server import SUMMARY
from tests.benchmarks.measure import Result, medians, tell

ATTEMPT = Attempt("2026-01-15T03:00:00.123Z", 0.345, "answered", 200, "939B8A0D0F3C61C50000000000000001")


def keys(count: int) -> Iterator[str]:
    return (f"/virus/taxon/{10_000 + number}/genome?host=human&complete_only=true" for number in range(count))


def begin(store: Store) -> Run:
    with store.transaction():
        return store.begin_run(
            "benchmark", started_at=datetime.now(UTC).isoformat(), today=date(2026, 1, 15), base_url="http://127.0.0.1",
            job_hash="", generation=0,
        )  # fmt: skip


def journal(count: int, groups: list[int]) -> float:
    """Seconds until `count` answers are committed; the sizes of the groups are added to `groups`."""
    replies = [Reply(parse_answer(200, SUMMARY), (ATTEMPT,)) for _ in range(count)]
    with tempfile.TemporaryDirectory() as directory, Store(Path(directory, "state.sqlite3")) as store:
        run, commit = begin(store), store.keep_answers

        def counted(run: Run, group: Sequence[tuple[str, int, Reply]]) -> None:
            groups.append(len(group))
            commit(run, group)

        store.keep_answers = counted  # type: ignore[method-assign, assignment]
        began = time.perf_counter()
        with Journal(store, run) as book:
            for key, reply in zip(keys(count), replies, strict=True):
                book.put(key, 1, reply)
        return time.perf_counter() - began


def bare_sqlite(count: int, group: int) -> float:
    """The same texts, made beforehand."""
    texts = dump_reply(Reply(parse_answer(200, SUMMARY), (ATTEMPT,)))
    rows = [(1, key, 1, *texts) for key in keys(count)]
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(sqlite3.connect(Path(directory, "peer.sqlite3"), isolation_level=None)) as base,
    ):
        base.execute("PRAGMA journal_mode = TRUNCATE")
        base.execute("PRAGMA synchronous = FULL")
        base.execute("CREATE TABLE answers (a, b, c, d, e, f, g, PRIMARY KEY (a, b)) WITHOUT ROWID")
        began = time.perf_counter()
        for start in range(0, count, group):
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, '')", rows[start : start + group])
            base.execute("COMMIT")
        return time.perf_counter() - began


def measure(count: int, turns: int) -> Result:
    groups: list[int] = []
    journal(count, groups)
    group = max(1, count // len(groups))
    ours, bare = medians(turns, lambda: journal(count, []), lambda: bare_sqlite(count, group))
    figures = f"journal {count / ours:,.0f} answers/s, sqlite3 alone {count / bare:,.0f}/s, groups of about {group:,}"
    return Result("answers committed a second, over 10,000", count / ours / 10_000, 1.0, figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    quick = parser.parse_args().quick
    return tell(measure(10_000 if quick else 50_000, 3 if quick else 5))


if __name__ == "__main__":
    sys.exit(main())
