"""The store: what is committed stays, a run has one owner, and errors name the file and what to do."""

import multiprocessing
import sqlite3
import threading
from datetime import date
from pathlib import Path

import pytest

from batchsum.errors import Locked, OutputError
from batchsum.model.queries import Attempt, Failure, FileSummary, Package, Reply, Summary
from batchsum.store.store import Run, Store


def begin(store: Store, run_id: str = "one") -> Run:
    with store.transaction():
        return store.begin_run(
            run_id, started_at="2026-11-23T03:00:00Z", today=date(2026, 11, 23), base_url="http://127.0.0.1/v2",
            job_hash="hash", generation=0,
        )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


REPLY = Reply(
    Summary(
        7, hydrated=Package(3, "https://x"), available_files={"genome_gff": FileSummary(1, 0.5)}, messages=("a", "b")
    ),
    (Attempt("2026-11-23T03:00:01.000Z", 0.5, "http_503", 503, "PHID1"), Attempt("…", 0.1, "answered", 200, "PHID2")),
)
FAILED = Reply(Failure("failed", "timeout", "no answer"), (Attempt("…", 60.0, "timeout", None, "PHID3"),))
SKIPPED = Reply(Failure("skipped", "outage", "down"), (Attempt("…", 0.1, "http_503", 503, "PHID4"),))


def test_answers_come_back_as_they_were(path: Path) -> None:
    with Store(path) as store:
        run = begin(store)
        store.keep_answers(run, [("/a", 1, REPLY), ("/b", 1, FAILED), ("/c", 1, SKIPPED)])
    with Store(path) as store:
        found = store.last_run("open")
        assert found == run
        assert store.answer(run, "/a") == (1, REPLY)
        assert store.answer(run, "/b") == (1, FAILED)
        assert store.answer(run, "/z") is None
        assert store.answered(run) == {"/a", "/b"}
        assert store.count_answers(run) == 2
        assert store.count_http_statuses(run) == {"200": 1, "503": 2, "none": 1}


def test_a_second_answer_takes_the_place_of_the_first(path: Path) -> None:
    with Store(path) as store:
        run = begin(store)
        store.keep_answers(run, [("/a", 1, FAILED)])
        store.keep_answers(run, [("/a", 2, REPLY)])
        assert store.answer(run, "/a") == (2, REPLY)


def test_many_answers_are_kept_at_once_and_of_one_request_every_one(path: Path) -> None:
    replies = [(f"/{number}", 1, Reply(Summary(number))) for number in range(250)]
    again = [("/7", 2, Reply(Summary(number))) for number in (70, 71)]
    with Store(path) as store:
        run = begin(store)
        store.keep_answers(run, [*replies, *again])
        assert store.count_answers(run) == 250
        found = store.every_answer(run, ["/7", "/249"])
    assert found == {"/7": [Summary(7), Summary(70), Summary(71)], "/249": [Summary(249)]}


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    with Store(path) as store:
        run = begin(store)

        def close_and_fail() -> None:
            with store.transaction():
                store.move(run, "open", "closed")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            close_and_fail()
        assert store.last_run("open") == run
        with store.transaction():
            assert store.move(run, "open", "closed")


def test_a_run_moves_only_from_the_state_it_is_in(path: Path) -> None:
    with Store(path) as store:
        run = begin(store)
        with store.transaction():
            assert store.move(run, "open", "publishing", "what")
            assert not store.move(run, "open", "closed")
        found = store.last_run("publishing")
        assert found
        assert found.publication == "what"


@pytest.mark.parametrize("how", ["taken over", "closed"])
def test_whoever_lost_its_run_is_told_at_its_next_commit(path: Path, how: str) -> None:
    with Store(path) as first, Store(path) as second:
        run = begin(first)
        first.keep_answers(run, [("/a", 1, REPLY)])
        found = second.last_run("open")
        assert found
        with second.transaction():
            if how == "closed":
                second.move(found, "open", "closed")
            else:
                taken = second.take_over(found, job_hash="hash2", generation=3)
                assert (taken.run_id, taken.generation) == (run.run_id, 3)
                assert taken.owner != run.owner
        with pytest.raises(Locked, match="taken over run one"):
            first.keep_answers(run, [("/b", 1, REPLY)])
        assert second.answer(found, "/b") is None
        assert second.answer(found, "/a") is not None


def test_what_is_abandoned_ends_and_leaves_nothing(path: Path) -> None:
    """A thread that writes a million rows stops when nobody wants them any more."""
    with Store(path) as store:
        run = begin(store)
        started, told = threading.Event(), list[BaseException]()

        def endless() -> None:
            def rows():  # type: ignore[no-untyped-def]
                number = 0
                while True:
                    number += 1
                    started.set()
                    store.query("SELECT 1")
                    yield (run.run, f"/{number}", 1, "answered", "{}", "[]")

            try:
                with store.transaction():
                    store.write("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, '')", rows())
            except sqlite3.Error as error:
                told.append(error)

        thread, late = threading.Thread(target=endless), threading.Thread(target=endless)
        thread.start()
        assert started.wait(10)
        canceller = threading.Thread(target=store.abandon)  # any thread may say so: the one that opened it goes on
        canceller.start()
        canceller.join(10)
        late.start()  # cut off before it began
        for one in (thread, late):
            one.join(10)
            assert not one.is_alive()
        assert [str(error) for error in told] == ["abandoned", "abandoned"]
        with store.transaction():
            pass
        assert store.count_answers(run) == 0
        store.keep_answers(run, [("/a", 1, REPLY)])
        assert store.count_answers(run) == 1


def _open(path: Path) -> None:
    with Store(path) as store:
        assert store.last_run("open") is None


def test_several_may_make_the_file_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open, args=(path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4


def test_an_empty_file_is_made_anew(path: Path) -> None:
    path.touch()
    _open(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no database " * 400, "is damaged .*move it away to begin anew"), (None, "unable to open database file")],
)
def test_what_is_no_state_says_so(path: Path, content: bytes | None, words: str) -> None:
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(OutputError, match=words) as told:
        Store(path)
    assert str(path) in str(told.value)
