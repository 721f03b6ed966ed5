"""Pauses grow and never pass their bounds; the server's word wins."""

import time
from collections.abc import Callable
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchsum.model.queries import Failure, Summary
from batchsum.ncbi.client import FIRST_PAUSE, LONGEST_PAUSE, is_final, means_too_fast, pause_before
from batchsum.ncbi.http import seconds_of


@pytest.fixture
def jitter(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets where between the shortest pause, 0, and the longest, 1, each one lies."""

    def between(share: float) -> None:
        monkeypatch.setattr("batchsum.ncbi.client.uniform", lambda low, high: low + share * (high - low))

    return between


def test_pauses_double_up_to_the_longest(jitter: Callable[[float], None]) -> None:
    jitter(1.0)
    assert [pause_before(attempt, None) for attempt in range(2, 10)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_jitter_takes_half_at_most_so_that_pauses_grow(jitter: Callable[[float], None]) -> None:
    jitter(1.0)
    longest = [pause_before(attempt, None) for attempt in range(2, 8)]
    jitter(0.0)
    shortest = [pause_before(attempt, None) for attempt in range(2, 8)]
    assert shortest == [pause / 2 for pause in longest]
    assert all(later >= earlier for earlier, later in zip(longest, shortest[1:], strict=False))


@given(attempt=st.integers(2, 10**6))
def test_no_attempt_is_too_many(attempt: int) -> None:
    assert FIRST_PAUSE / 2 <= pause_before(attempt, None) <= LONGEST_PAUSE


def test_the_server_may_ask_for_more_but_not_for_less(jitter: Callable[[float], None]) -> None:
    jitter(1.0)
    assert pause_before(2, 120.0) == 120.0
    assert pause_before(5, 0.0) == 4.0


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        (Summary(7), True),
        (Failure("rejected", "unknown_taxon"), True),
        (Failure("failed", "http_503"), False),
        (Failure("failed", "timeout"), False),
        (Failure("failed", "bad_answer"), False),
    ],
)
def test_only_what_is_no_answer_is_asked_again(answer: Summary | Failure, final: bool) -> None:
    assert is_final(answer) is final


def test_what_holds_everybody() -> None:
    held = [reason for reason in ("http_429", "http_503", "http_500", "timeout", "connection") if _holds(reason)]
    assert held == ["http_429", "http_503"]
    assert not means_too_fast(Summary(7))


def _holds(reason: str) -> bool:
    return means_too_fast(Failure("failed", reason))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1.5", 1.5), (" 3 ", 3.0), ("999999999", 999999999.0)],
)
def test_retry_after_in_seconds(header: str, seconds: float) -> None:
    assert seconds_of(header) == seconds


def test_retry_after_as_a_moment_counts_from_the_servers_own_clock() -> None:
    sent = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert seconds_of("Wed, 21 Oct 2015 07:28:30 GMT", sent) == 30.0
    assert seconds_of("Wed, 21 Oct 2015 07:27:00 GMT", sent) == 0.0
    assert seconds_of("Wed, 21 Oct 2015 07:28:30", sent) == 30.0


def test_retry_after_as_a_moment_without_a_date_counts_from_ours() -> None:
    assert seconds_of("Wed, 21 Oct 2015 07:28:30 GMT") == 0.0
    in_an_hour = seconds_of(formatdate(time.time() + 3600, usegmt=True), "no date")
    assert in_an_hour is not None
    assert 3000 < in_an_hour <= 3600


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "-3",
        "NaN",
        "inf",
        "1e3",
        "٣",
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +9999999999999999",
    ],
)
def test_nonsense_is_no_retry_after(header: str) -> None:
    assert seconds_of(header) is None


@given(header=st.text(max_size=40), date=st.text(max_size=40))
@example(header="0\x1f", date="")
def test_no_header_breaks_anything(header: str, date: str) -> None:
    seconds = seconds_of(header, date)
    assert seconds is None or seconds >= 0
