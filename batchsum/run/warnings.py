"""What a person should know of a night that makes no row suspect: told in the log, the summary, run.json and the page.

Each warning is one sentence. What has not moved for too long is told on the night on which that begins, also when the
night is replaced, and in one line of the page for as long as it lasts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from urllib.parse import urlsplit

from batchsum.model.filters import FilterSet
from batchsum.model.queries import BELIEVED
from batchsum.run.completeness import warnings_of_holdings
from batchsum.run.data_dates import stale_date
from batchsum.run.guards import includes
from batchsum.run.learn import moved_tonight
from batchsum.run.resume import Night
from batchsum.store.rows import KeptRow

FEWEST_TAXA = 3
"""Taxa that must agree before a filter is said to have changed nothing."""
FEWEST_ROWS = 5
"""Rows with a past below which nothing is said of a share of them."""
SHARE_OF_A_NIGHT = 0.8
"""From this share on, falling is the night's and not the taxa's."""
_HEARD = (*BELIEVED, "suspect")
_VALUES = ("host", "geo_location", "usa_state", "pangolin_classification")
"""Filters with a value that NCBI must write in the same way."""
MOST_NAMED = 5
MOST_SETS = 100  # the pairs grow with its square, and each is looked at for every taxon
"""Different filter sets up to which each is compared with each."""


def warnings_of(night: Night) -> list[str]:
    """The warnings of a judged night."""
    unlocked = (one.taxon for one in night.job.taxa if one.taxon not in night.plan.lock)
    sets = {filters.text(): filters for filters in night.plan.filter_sets()}
    return [
        *moved_tonight(night.store, night.run.today, unlocked),
        *_of_the_last_night(night),
        *_not_accepted(night.not_accepted()),
        *staleness(night, begins=True),
        *filters_without_effect(night.history.counted(BELIEVED), sets),
        *filters_without_records(
            night.history.with_status(_HEARD), sets, before=night.history.with_status(_HEARD, last_night=True)
        ),
        *fell_together(*night.history.count_fallen()),
        *warnings_of_holdings(night),
    ]


def staleness(night: Night, *, begins: bool = False) -> list[str]:
    """Warnings about what has not moved for too long: a taxon none of whose counts changes, and NCBI's data as a whole.

    With `begins` about what was not so yet on the night before.
    """
    return [*_stale_data(night, begins), *_stale_taxa(night, begins)]


def _stale_data(night: Night, begins: bool) -> Iterator[str]:
    nights, bound = night.history.data_dates(), night.job.guards.stale_after
    is_tonights = bool(nights) and nights[0][0] == night.run.today  # an earlier date says nothing of tonight
    if is_tonights and (data_date := stale_date(nights, bound)) and not (begins and stale_date(nights[1:], bound)):
        yield f"NCBI's data are those of {data_date} still: nothing of it was updated since"


def _stale_taxa(night: Night, begins: bool) -> Iterator[str]:
    """ncbi/datasets#309, #488: taxa without a changed count for `stale_after`, those that wait longest first."""
    today, last = night.run.today, night.history.last_night
    # The shortest bound finds every taxon that may be stale; the bound of each decides.
    found = night.history.unchanged(today - min(one.stale_after for one in night.plan.guards()))
    bounds: dict[str, timedelta] = {}
    for query in night.plan.queries() if found else ():  # of several bounds of a taxon the longest counts
        bounds[query.taxon] = max(query.guards.stale_after, bounds.get(query.taxon, timedelta()))
    stale = [
        f"{name} (since {since})"
        for taxon, name, since in found
        if today - since >= bounds[taxon] and not (begins and last is not None and last - since >= bounds[taxon])
    ]
    if stale:
        yield f"no count has changed for a long time: {_first(stale)}"


def _of_the_last_night(night: Night) -> Iterator[str]:
    """Counts of two servers are compared as if they were one's, and nights in the order of their days."""
    last, now = night.history.last_base_url, night.run.base_url
    if urlsplit(last).hostname != urlsplit(now).hostname:  # a server of one's own may change its port
        yield f"{now} was asked tonight, and is compared with what {last} said on {night.history.last_night}"
    for latest in night.store.runs("published", limit=1):
        if latest.today > night.run.today:
            yield f"the night of {latest.today} was published before this one: is the clock of this machine right?"


def _not_accepted(rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield f"nothing to accept for {_first(rows)}: no answer that can be believed"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def filters_without_effect(rows: Iterable[KeptRow], sets: Mapping[str, FilterSet]) -> Iterator[str]:
    """#326: a filter that changed nothing for any taxon was perhaps not applied. `rows` come taxon by taxon."""
    if not 1 < len(sets) <= MOST_SETS:
        return
    # How many taxa have as many records under both; a pair that differs for one taxon is looked at no more.
    same = {(wide, narrow): 0 for wide in sets for narrow in sets if includes(sets[wide], sets[narrow])}
    names: dict[str, str] = {}
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon = {row.filters: row for row in group}
        names.update((filters, row.filter_set) for filters, row in of_taxon.items())
        for wide, narrow in [*same]:
            if wide in of_taxon and narrow in of_taxon and of_taxon[wide].record_count:  # no filter can change a zero
                if of_taxon[wide].record_count == of_taxon[narrow].record_count:
                    same[wide, narrow] += 1
                else:
                    del same[wide, narrow]
    for (wide, narrow), count in same.items():
        if count >= FEWEST_TAXA:
            yield f"{names[narrow]} has as many records as {names[wide]} for all of {count} taxa: was it applied?"


def filters_without_records(
    rows: Iterable[KeptRow], sets: Mapping[str, FilterSet], *, before: Iterable[KeptRow]
) -> Iterator[str]:
    """#326: filters under which no taxon has a record, while taxa have some without them: told on the first night.

    `rows` and those of the night `before` come taxon by taxon.
    """
    told = {name for name, _ in _without_records(before, sets)}
    yield from (words for name, words in _without_records(rows, sets) if name not in told)


def _without_records(rows: Iterable[KeptRow], sets: Mapping[str, FilterSet]) -> Iterator[tuple[str, str]]:
    """Each such filter set, by name, and the words for it."""
    values = {
        text: {name: value for name in _VALUES if (value := getattr(filters, name))} for text, filters in sets.items()
    }
    # Sets with a date are left out: that nothing is so new is often the truth.
    narrower = [text for text, filters in sets.items() if values[text] and not filters.dates()][:MOST_SETS]
    wider = {narrow: [wide for wide in sets if includes(sets[wide], sets[narrow])] for narrow in narrower}
    if not any(wider.values()):
        return  # nothing to compare: the rows need not be walked through
    names, without, heard = dict[str, str](), Counter[str](), set[str]()
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon = {row.filters: row for row in group}
        # What is suspect had records, or may have them.
        heard |= {filters for filters, row in of_taxon.items() if row.record_count or not row.is_believed}
        for narrow in filter(of_taxon.__contains__, narrower):
            names[narrow] = of_taxon[narrow].filter_set
            without[narrow] += any(
                of_taxon[wide].record_count and values[wide] != values[narrow]
                for wide in wider[narrow]
                if wide in of_taxon
            )
    for narrow in narrower:
        alike = {wide for wide in wider[narrow] if values[wide] == values[narrow]}
        if (count := without[narrow]) and heard.isdisjoint({narrow, *alike}):
            under = f"{names[narrow]} ({', '.join(f'{name}: {value}' for name, value in values[narrow].items())})"
            taxa = "1 taxon has some" if count == 1 else f"{count} taxa have some"
            words = f"no taxon has a record under {under}, and {taxa} without it: is that how NCBI writes it?"
            yield names[narrow], words


def fell_together(compared: int, fallen: int) -> Iterator[str]:
    """#411, #418: where nearly everything falls at once, it is NCBI's night and not the taxa's."""
    if compared >= FEWEST_ROWS and fallen >= SHARE_OF_A_NIGHT * compared:
        yield f"{fallen} of {compared} rows have fewer records than when last believed: NCBI's night, not the taxa's"
