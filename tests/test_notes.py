"""Notes of a night: what is told without making a row suspect, and when nothing is said."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from batchsum.history import CountedRow, KeptRow
from batchsum.model import FilterSet, Guards, Query
from batchsum.notes import fell_together, filters_without_effect, stale

TODAY = date(2026, 11, 23)
SETS = {one.text(): one for one in (FilterSet(), FilterSet(host="human"), FilterSet(refseq_only=True))}


def kept(taxon: str = "1", count: int | None = 10, before: int | None = None, updated: str | None = None) -> KeptRow:
    return KeptRow(0, taxon, "", "all", "", "ok", count, updated, before, "", "")


def counted(taxon: str, filters: str, count: int) -> CountedRow:
    return CountedRow(0, taxon, filters or "all", filters, count)


def test_stale_taxa_are_named_oldest_first() -> None:
    query = Query("1", "all", FilterSet())
    rows = [
        (replace(query, taxon="young"), kept(updated="2026-11-10T00:00:00Z")),
        (replace(query, taxon="old"), kept(updated="2026-11-08T23:59:59Z")),
        (replace(query, taxon="oldest"), kept(updated="2026-01-01")),
        (replace(query, taxon="half"), kept(updated="2026-01-02")),
        (replace(query, taxon="half"), kept(updated="2026-11-20")),
        (replace(query, taxon="silent"), kept(updated=None)),
        (replace(query, taxon="patient", guards=Guards(stale_after=timedelta(days=999))), kept(updated="2025-11-10")),
    ]
    assert list(stale(rows, TODAY)) == [
        "nothing new for more than 14 days: oldest (since 2026-01-01), old (since 2026-11-08)"
    ]
    assert list(stale(rows[:1], TODAY)) == []


def test_of_many_stale_taxa_a_few_are_named() -> None:
    rows = [(Query(str(n), "all", FilterSet()), kept(updated=f"2026-01-{n:02}")) for n in range(1, 10)]
    (note,) = stale(rows, TODAY)
    assert note.endswith("5 (since 2026-01-05) and 4 more")


def test_a_filter_that_changed_nothing_for_any_taxon() -> None:
    rows = [
        counted(taxon, filters, count)
        for taxon in ("1", "2", "3", "4")
        for filters, count in (("", 10), ("host=human", 10), ("refseq_only=true", 1))
    ]
    assert list(filters_without_effect(rows, SETS)) == [
        "host=human has as many records as all for all of 4 taxa: was it applied?"
    ]
    rows[1] = replace(rows[1], record_count=9)
    assert list(filters_without_effect(rows, SETS)) == []
    assert list(filters_without_effect(rows[3:9], SETS)) == []  # two taxa prove nothing


@pytest.mark.parametrize(("falling", "told"), [(3, False), (4, True), (5, True)])
def test_everything_fell_at_once(falling: int, told: bool) -> None:
    rows = [kept(count=9 if n < falling else 10, before=10) for n in range(5)]
    assert bool(list(fell_together([*rows, kept(), kept(count=None, before=3)]))) is told
