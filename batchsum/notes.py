"""What a person should know of a night that makes no row suspect: told in the log, the summary, run.json and the page.

Pure functions of the kept rows; each note is one sentence.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter

from batchsum.guards import includes
from batchsum.model import FilterSet
from batchsum.store.history import CountedRow

FEWEST_TAXA = 3
"""Taxa that must agree before a filter is said to have changed nothing."""
FEWEST_ROWS = 5
SHARE_OF_A_NIGHT = 0.8
MOST_NAMED = 5
MOST_SETS = 100


def stale(rows: Iterable[tuple[str, int | None]]) -> Iterator[str]:
    """ncbi/datasets#309, #488: taxa about which NCBI has had nothing new for longer than `stale_after`.

    `rows` are the taxon and `stale_days` of each row with a date, in job order; a taxon is stale when all its rows are.
    """
    count, oldest = 0, dict[str, int]()  # of a million only those that will be named
    for taxon, group in groupby(rows, key=itemgetter(0)):
        days = [stale_days for _, stale_days in group]
        stale_days = [number for number in days if number is not None]
        if len(stale_days) == len(days):
            count += taxon not in oldest
            oldest[taxon] = min(stale_days)
            if len(oldest) > MOST_NAMED:
                del oldest[min(reversed(oldest), key=oldest.__getitem__)]
    if oldest:
        named = [f"{taxon} ({days} days)" for taxon, days in sorted(oldest.items(), key=lambda item: -item[1])]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        yield f"nothing new for a long time: {', '.join(named)}{more}"


def filters_without_effect(rows: Iterable[CountedRow], sets: Mapping[str, FilterSet]) -> Iterator[str]:
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
