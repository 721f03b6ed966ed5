"""Many failures in a row, of several requests, are doubt; one failing request never is."""

from batchsum.ncbi.outage import DISTINCT_REQUESTS, FAILURES_IN_A_ROW, LONGEST_PROBE_PAUSE, Outage


def failed(keys: list[str]) -> Outage:
    outage = Outage(max_outage=600.0)
    outage.spoke()
    for key in keys:
        outage.failed(key)
    return outage


def test_one_request_that_fails_for_ever_is_no_outage() -> None:
    assert not failed(["a"] * 1000).in_doubt


def test_a_few_failing_requests_are_no_outage() -> None:
    assert not failed(["a", "b", "c"][: DISTINCT_REQUESTS - 1] * 100).in_doubt


def test_many_failures_of_several_requests_are_doubt() -> None:
    keys = [f"key {number % DISTINCT_REQUESTS}" for number in range(FAILURES_IN_A_ROW)]
    assert not failed(keys[:-1]).in_doubt
    assert failed(keys).in_doubt


def test_an_answer_in_between_ends_the_doubt() -> None:
    outage = failed([str(number) for number in range(100)])
    outage.answered()
    assert not outage.in_doubt
    for number in range(FAILURES_IN_A_ROW - 1):
        outage.failed(str(number))
    assert not outage.in_doubt


def test_what_failed_before_an_answer_counts_no_more() -> None:
    outage = failed(["a", "b", "c"])
    outage.answered()
    for _ in range(FAILURES_IN_A_ROW):
        outage.failed("d")
    assert not outage.in_doubt


def test_an_outage_is_total_until_something_was_answered() -> None:
    outage = failed(["a"])
    assert outage.is_total
    outage.answered()
    outage.failed("b")
    assert not outage.is_total


def test_probes_become_rarer_and_end_with_max_outage() -> None:
    outage = Outage(max_outage=600.0)
    assert [outage.probe_pause(probe, 7.0, 7.0) for probe in range(1, 7)] == [5, 10, 20, 40, 60, 60]
    assert outage.probe_pause(10**6, 7.0, 7.0) == LONGEST_PROBE_PAUSE
    assert outage.probe_pause(9, 597.0, 7.0) == 10.0
    assert outage.probe_pause(9, 607.0, 7.0) is None


def test_before_the_first_word_one_failure_is_doubt() -> None:
    outage = Outage(max_outage=600.0)
    assert not outage.in_doubt
    outage.failed("a")
    assert outage.in_doubt
    outage.spoke()
    assert not outage.in_doubt


def test_to_be_left_alone_for_longer_than_a_night_waits_is_final() -> None:
    outage = Outage(max_outage=600.0)
    outage.stay_away(86400.0)
    assert outage.in_doubt
    assert outage.is_final
    assert "86,400 s" in outage.given_up
