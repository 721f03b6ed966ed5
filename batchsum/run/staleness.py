"""What has not moved for too long: a taxon none of whose counts changes, and NCBI's data as a whole.

It makes no row suspect and stands in no table. It is told on the night on which it begins, also when that night is
replaced, and in one line of the page for as long as it lasts. What tells it are the nights that were, and no date of
NCBI's that moves with every update.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from batchsum.run.data_dates import stale_date
from batchsum.run.resume import Night

MOST_NAMED = 5


class StaleTaxon(NamedTuple):
    """A taxon none of whose counts has changed for its `stale_after`."""

    name: str
    """As people call it."""
    since: date
    """The night of the last change, or the first on which it was counted."""
    begins: bool
    """Whether this was not so yet on the night before."""


def begins_tonight(night: Night) -> list[str]:
    """Warnings about what is stale from tonight on."""
    taxa = [one for one in stale_taxa(night) if one.begins]
    return [*_about_ncbi(night, begins=True), *_about_taxa(taxa)]


def lasts_tonight(night: Night) -> list[str]:
    """The same about all that is stale tonight, for the line of the page."""
    return [*_about_ncbi(night, begins=False), *_about_taxa(stale_taxa(night))]


def stale_taxa(night: Night) -> list[StaleTaxon]:
    """ncbi/datasets#309, #488: taxa without a changed count for `stale_after`, those that wait longest first.

    Of several bounds of a taxon the longest counts.
    """
    bounds: dict[str, timedelta] = {}
    for query in night.plan.queries():
        bounds[query.taxon] = max(query.guards.stale_after, bounds.get(query.taxon, timedelta()))
    today, last = night.run.today, night.history.last_night
    return [
        StaleTaxon(name, since, begins=last is None or last - since < bounds[taxon])
        # The shortest bound finds every taxon that may be stale; the bound of each decides.
        for taxon, name, since in night.history.unchanged(today - min(bounds.values()))
        if today - since >= bounds[taxon]
    ]


def _about_taxa(taxa: Sequence[StaleTaxon]) -> Iterator[str]:
    if taxa:
        named = ", ".join(f"{one.name} (since {one.since})" for one in taxa[:MOST_NAMED])
        more = f" and {len(taxa) - MOST_NAMED:,} more" if len(taxa) > MOST_NAMED else ""
        yield f"no count has changed for a long time: {named}{more}"


def _about_ncbi(night: Night, *, begins: bool) -> Iterable[str]:
    nights, bound = night.history.data_dates(), night.job.guards.stale_after
    is_tonights = bool(nights) and nights[0][0] == night.run.today  # an earlier date says nothing of tonight
    if is_tonights and (data_date := stale_date(nights, bound)) and not (begins and stale_date(nights[1:], bound)):
        yield f"NCBI's data are those of {data_date} still: nothing of it was updated since"
