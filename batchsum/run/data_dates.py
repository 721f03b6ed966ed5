"""The data date: of which moment the data are that NCBI's answers come from.

NCBI dates its whole resource, so on most nights all answers have the same date, which moves with each of NCBI's own
updates. Such a date says nothing about a row, but it tells which answers may be subtracted from each other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from batchsum.model.queries import moment
from batchsum.run.guards import LONGEST_LAG
from batchsum.run.resume import Night

FEWEST_DATED = 5
"""Dated answers below which their dates are always taken for the resource's."""
LONGEST_SAME = timedelta(days=4)
"""NCBI's data are updated daily: the same date on nights further apart is told."""


class DataDates(NamedTuple):
    """What the dates of a night are."""

    are_common: bool
    """Whether they are the whole resource's; else they are the rows' own."""
    date: str | None = None
    """The common one, as NCBI wrote it; None where there is none."""
    newest_copy: datetime | None = None
    """The newest moment, on a night on which copies answer that are a day apart; None on others."""


def dates_of(night: Night) -> DataDates:
    """What the data dates of tonight's answers are, as far as they have come."""
    dates = data_dates(night.store.count_dates(night.run))
    return dates._replace(newest_copy=newest_copy(night.store.count_later_dates(night.run)))


def data_dates(dates: Mapping[str, int]) -> DataDates:
    """What these dates are, each as NCBI wrote it with the number of answers that have it.

    They are common when at least half of the dated answers share one moment, or nine in ten one of two moments less
    than a day apart; with fewer than five dated answers always. The common one is that of the most answers, the
    later of two.
    """
    counts = Counter[datetime]()
    written: dict[datetime, str] = {}
    for text, count in sorted(dates.items()):  # sorted: of two spellings of a moment always the same one is kept
        if count and (at := moment(text)) is not None:
            counts[at] += count
            written.setdefault(at, text)
    if not counts:
        return DataDates(True)
    ranked = sorted(counts, key=lambda at: (counts[at], at), reverse=True)
    total = counts.total()
    are_common = total < FEWEST_DATED or 2 * counts[ranked[0]] >= total
    if not are_common:  # no moment has half of the answers, so that no other two could have nine in ten
        first, second = ranked[:2]
        are_common = abs(first - second) < LONGEST_LAG and 10 * (counts[first] + counts[second]) >= 9 * total
    return DataDates(are_common, written[ranked[0]] if are_common else None)


def newest_copy(dates: Mapping[str, int]) -> datetime | None:
    """The newest moment of what was asked again, where one in ten answers or more are at least a day older.

    Of what was asked for the first time such dates tell nothing: NCBI may have brought in new data meanwhile.
    """
    moments = [(at, count) for text, count in dates.items() if (at := moment(text)) is not None]
    newest = max((at for at, _ in moments), default=None)
    if newest is None:
        return None
    older = sum(count for at, count in moments if newest - at >= LONGEST_LAG)
    return newest if 10 * older >= sum(dates.values()) else None


# NCBI as a whole, night by night.


def stale_date(nights: Sequence[tuple[date, str]], stale_after: timedelta) -> date | None:
    """The day of NCBI's data, where they have been the same for too long; None where they have not.

    `nights` are those with a common data date, the latest first, each with that date. Too long is a date older than
    `stale_after`, or the same one for more than four days of nights.
    """
    if not nights or (newest := moment(nights[0][1])) is None:
        return None
    tonight = nights[0][0]
    *_, (first, _) = takewhile(lambda one: moment(one[1]) == newest, nights)
    is_old = tonight - newest.date() > stale_after
    return newest.date() if is_old or tonight - first > LONGEST_SAME else None
