"""Each row of a judged night against the rows that include it: wider filter sets of its taxon, and taxa above it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from batchsum.model.queries import BELIEVED
from batchsum.run.guards import includes
from batchsum.run.resume import Night
from batchsum.store.rows import KeptRow
from batchsum.store.store import in_groups

Exceeding = tuple[KeptRow, KeptRow, str]
"""A narrower row, the wider one that it has more records than, and the words for it."""

MOST_NEIGHBOURS = 300  # the pairs grow with its square
"""Different filter sets up to which each is held against each."""


def exceeding(night: Night, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
    """Rows with more records than one that includes them. Of a row told twice, the last words are kept."""
    yield from _exceeding_taxa_above(night, statuses)
    yield from _exceeding_wider_sets(night, statuses)


def with_wider(night: Night) -> Iterator[tuple[KeptRow, str]]:
    """#530: believed rows that no past can judge while a wider row of their taxon is suspect, each with the reason.

    Where all records of a taxon are in doubt, a part of them cannot be told from a part that is lost.
    """
    found = _under_suspects(night) if night.history.counts()["suspect"] else {}
    rows = (
        (query, *found[place]) for place, query in enumerate(night.plan.queries() if found else ()) if place in found
    )
    for group in in_groups(rows):
        pasts = night.history.pasts([row.asked for _, row, _ in group], [row.query for _, row, _ in group])
        for (query, row, why), past in zip(group, pasts, strict=True):
            if query.is_rolling or past.believed is None:  # any other row was judged by its past
                yield row, why


def _under_suspects(night: Night) -> dict[int, tuple[KeptRow, str]]:
    """Believed rows with a suspect one that includes them, by their places in the table, and the words for that."""
    found: dict[int, tuple[KeptRow, str]] = {}
    if wider := _wider_sets(night):
        for rows in _by_taxon(night.history.with_status((*BELIEVED, "suspect"))):
            suspects = {row.filters: row for same in rows.values() for row in same if row.status == "suspect"}
            for filters, same in rows.items() if suspects else ():
                if wide := next((suspects[one] for one in wider[filters] if one in suspects), None):
                    why = f"with_wider: {wide.filter_set}, which includes it, is suspect: {wide.error}"
                    found.update((row.position, (row, why)) for row in same if row.is_believed)
    return found


def _exceeding_taxa_above(night: Night, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
    """#407: more records in a taxon than in one above it, under the same filters."""
    taxa = night.taxa
    above = taxa.ancestors_among(listed.taxon for listed in night.job.taxa)
    if not above:
        return
    wide: dict[tuple[int, str], KeptRow] = {}
    for row in night.history.counted(statuses):
        if (tax_id := taxa.tax_id(row.taxon)) in above and tax_id is not None:
            wide.setdefault((tax_id, row.filters), row)
    for narrow in night.history.counted(statuses):  # a second walk, so that few rows are held in memory
        found = [wide.get((tax_id, narrow.filters)) for tax_id in taxa.ancestors(narrow.taxon) if tax_id in above]
        yield from _exceeds(narrow, filter(None, found))


def _exceeding_wider_sets(night: Night, statuses: tuple[str, ...]) -> Iterator[Exceeding]:
    """#326, #411: more records under a filter than without it."""
    if not (wider := _wider_sets(night)):
        return
    for rows in _by_taxon(night.history.counted(statuses)):
        for filters, same in rows.items():
            for narrow in same:
                yield from _exceeds(narrow, (rows[wide][0] for wide in wider[filters] if wide in rows))


def _wider_sets(night: Night) -> Mapping[str, Sequence[str]]:
    """For each filter set of the job those that include it, all as sent; empty where there is nothing to compare."""
    different = night.plan.filter_sets()
    if not 1 < len(different) <= MOST_NEIGHBOURS:
        return {}
    sets = {filters.text(): filters for filters in different}
    return {narrow: [wide for wide in sets if includes(sets[wide], sets[narrow])] for narrow in sets}


def _exceeds(narrow: KeptRow, wider: Iterable[KeptRow]) -> Iterator[Exceeding]:
    least = min(wider, key=_count, default=None)  # what exceeds any of them exceeds the least
    if least and (here := _count(narrow)) > (there := _count(least)):
        called = least.filter_set if least.taxon == narrow.taxon else f"{least.taxon} {least.filter_set}"
        yield narrow, least, f"exceeds_wider: {here:,} here, but {there:,} in {called}, which includes it"


def _count(row: KeptRow) -> int:
    """Of a row that has one: without a count no row is compared with its neighbours."""
    assert row.record_count is not None
    return row.record_count


def _by_taxon(rows: Iterable[KeptRow]) -> Iterator[dict[str, list[KeptRow]]]:
    """Rows ordered by taxon, as one mapping a taxon: those with the same filters under their text."""
    for _, group in groupby(rows, key=lambda row: row.taxon):
        of_taxon: dict[str, list[KeptRow]] = {}
        for row in group:
            of_taxon.setdefault(row.filters, []).append(row)
        yield of_taxon
