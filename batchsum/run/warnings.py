"""What a person should know of a night that makes no row suspect: told in the log, the summary, run.json and the page.

Each warning is one sentence. Beside `warnings_of` all is pure functions of the kept rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from batchsum.model.filters import FilterSet
from batchsum.model.queries import BELIEVED
from batchsum.run.guards import includes
from batchsum.run.learn import moved_tonight
from batchsum.run.resume import Night
from batchsum.run.staleness import begins_tonight
from batchsum.store.history import KeptRow

FEWEST_TAXA = 3
"""Taxa that must agree before a filter is said to have changed nothing."""
FEWEST_ROWS = 5
"""Rows with a past below which nothing is said of a share of them."""
SHARE_OF_A_NIGHT = 0.8
"""From this share on, falling is the night's and not the taxa's."""
MOST_NAMED = 5
MOST_SETS = 100
"""Different filter sets up to which each is compared with each."""


def warnings_of(night: Night) -> list[str]:
    """The warnings of a judged night."""
    sets = {filters.text(): filters for filters in night.plan.filter_sets()}
    accepted = {(row.taxon, row.filter_set) for row in night.history.accepted()}
    left = [f"{taxon}/{filter_set}" for taxon, filter_set in sorted(night.accept - accepted)]
    return [
        *moved_tonight(night.store, night.run.today, {one.taxon for one in night.job.taxa} - night.plan.lock.taxa()),
        *not_accepted(left),
        *begins_tonight(night),
        *filters_without_effect(night.history.counted(BELIEVED), sets),
        *fell_together(*night.history.count_fallen()),
    ]


def not_accepted(rows: Sequence[str]) -> Iterator[str]:
    """Rows that the user wanted believed, and about which NCBI said nothing that could be."""
    if rows:
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        yield f"nothing to accept for {', '.join(rows[:MOST_NAMED])}{more}: no answer that can be believed"


def filters_without_effect(rows: Iterable[KeptRow], sets: Mapping[str, FilterSet]) -> Iterator[str]:
    """#326: a filter that changed nothing for any taxon was perhaps not applied. `rows` come taxon by taxon."""
    if not 1 < len(sets) <= MOST_SETS:
        return
    pairs = [(wide, narrow) for wide in sets for narrow in sets if includes(sets[wide], sets[narrow])]
    same, differ = dict.fromkeys(pairs, 0), set[tuple[str, str]]()
    names: dict[str, str] = {}
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon = {row.filters: row for row in group}
        names.update((filters, row.filter_set) for filters, row in of_taxon.items())
        for wide, narrow in pairs:
            if wide in of_taxon and narrow in of_taxon and of_taxon[wide].record_count:
                if of_taxon[wide].record_count == of_taxon[narrow].record_count:
                    same[wide, narrow] += 1
                else:
                    differ.add((wide, narrow))
    for (wide, narrow), count in same.items():
        if count >= FEWEST_TAXA and (wide, narrow) not in differ:
            yield f"{names[narrow]} has as many records as {names[wide]} for all of {count} taxa: was it applied?"


def fell_together(compared: int, fallen: int) -> Iterator[str]:
    """#411, #418: where nearly everything falls at once, it is NCBI's night and not the taxa's."""
    if compared >= FEWEST_ROWS and fallen >= SHARE_OF_A_NIGHT * compared:
        yield f"{fallen} of {compared} rows have fewer records than when last believed: NCBI's night, not the taxa's"
