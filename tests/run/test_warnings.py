"""Notes of a night: what is told without making a row suspect, and when nothing is said."""

import pytest

from batchsum.model.filters import FilterSet
from batchsum.run.warnings import fell_together, filters_without_effect
from batchsum.store.rows import KeptRow

SETS = {one.text(): one for one in (FilterSet(), FilterSet(host="human"), FilterSet(refseq_only=True))}


def counted(taxon: str, filters: str, count: int) -> KeptRow:
    return KeptRow(0, taxon, "", filters or "all", filters, "ok", count, None, None, "", "")


def test_a_filter_that_changed_nothing_for_any_taxon() -> None:
    rows = [
        counted(taxon, filters, count)
        for taxon in ("1", "2", "3", "4")
        for filters, count in (("", 10), ("host=human", 10), ("refseq_only=true", 1))
    ]
    assert list(filters_without_effect(rows, SETS)) == [
        "host=human has as many records as all for all of 4 taxa: was it applied?"
    ]
    rows[1] = rows[1]._replace(record_count=9)
    assert list(filters_without_effect(rows, SETS)) == []
    assert list(filters_without_effect(rows[3:9], SETS)) == []  # two taxa prove nothing


@pytest.mark.parametrize(("compared", "fallen", "told"), [(5, 3, False), (5, 4, True), (5, 5, True), (4, 4, False)])
def test_everything_fell_at_once(compared: int, fallen: int, told: bool) -> None:
    assert bool(list(fell_together(compared, fallen))) is told
