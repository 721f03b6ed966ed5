"""Signals in this process; what they do to a whole night is in tests/chaos/test_stopping.py."""

import asyncio
import os
import signal
import threading

import pytest

from batchsum.errors import Interrupted
from batchsum.run.signals import Signals


def stop_oneself(number: int) -> None:
    os.kill(os.getpid(), number)
    for _ in range(1000):  # the interpreter looks for signals between its steps
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_one_is_an_interruption(number: int, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as told, Signals():
        stop_oneself(number)
    assert told.value.exit_code == code
    assert signal.getsignal(number) is before


def test_nobody_takes_it_for_an_error_of_his_own() -> None:
    def careless() -> None:
        with Signals():
            try:
                stop_oneself(signal.SIGTERM)
            except Exception:
                pytest.fail("swallowed")

    with pytest.raises(Interrupted):
        careless()


def test_notes_on_the_way_are_kept() -> None:
    def noting() -> None:
        with Signals():
            try:
                stop_oneself(signal.SIGTERM)
            except KeyboardInterrupt as error:
                error.add_note("run: one")
                raise

    with pytest.raises(Interrupted) as told:
        noting()
    assert told.value.__notes__ == ["run: one"]


def test_in_a_loop_it_cancels_the_task_and_lets_it_tidy_up() -> None:
    tidied = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task
        with signals.cancelling(task):
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.sleep(60)
            finally:
                tidied.append(True)

    with pytest.raises(Interrupted), Signals() as signals:
        asyncio.run(work())
    assert tidied == [True]


def test_one_that_comes_at_the_very_end_is_not_lost() -> None:
    """The work is over, but whoever sent the signal expects that nothing more is done."""

    async def work() -> None:
        task = asyncio.current_task()
        assert task
        with signals.cancelling(task):
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                task.uncancel()

    with pytest.raises(Interrupted), Signals() as signals:
        asyncio.run(work())


def test_a_cancellation_of_somebody_else_stays_one() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task
        with signals.cancelling(task):
            task.cancel()
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError), Signals() as signals:
        asyncio.run(work())


def test_one_may_stand_inside_another() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with Signals():
            with Signals():
                pass
            stop_oneself(signal.SIGTERM)

    with pytest.raises(Interrupted):
        work()
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_nothing_is_touched() -> None:
    before, errors = signal.getsignal(signal.SIGTERM), list[BaseException]()

    def work() -> None:
        try:
            with Signals():
                assert signal.getsignal(signal.SIGTERM) is before
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
