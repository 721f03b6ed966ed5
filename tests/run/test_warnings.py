"""Notes of a night: what is told without making a row suspect, and when nothing is said."""

from datetime import date, timedelta

import pytest

from batchsum.model.filters import FilterSet
from batchsum.model.queries import Guards, Query, Summary, Verdict
from batchsum.run.guards import stale_days
from batchsum.run.warnings import fell_together, filters_without_effect, stale
from batchsum.store.history import KeptRow

SETS = {one.text(): one for one in (FilterSet(), FilterSet(host="human"), FilterSet(refseq_only=True))}


def counted(taxon: str, filters: str, count: int) -> KeptRow:
    return KeptRow(0, taxon, "", filters or "all", filters, "ok", count, None, None, "", "")


def test_of_many_stale_taxa_a_few_are_named() -> None:
    oldest = [("7", 326), ("8", 15)]
    assert list(stale(2, oldest)) == ["nothing new for a long time: 7 (326 days), 8 (15 days)"]
    assert list(stale(6, oldest)) == ["nothing new for a long time: 7 (326 days), 8 (15 days) and 4 more"]
    assert list(stale(0, [])) == []


@pytest.mark.parametrize(("updated", "days"), [("2026-11-09", None), ("2026-11-08T23:59:59Z", 14), ("2026-11-01", 22)])
def test_days_are_told_beyond_the_bound(updated: str, days: int | None) -> None:
    verdict = Verdict("ok", 1, summary=Summary(1, resource_updated_on=updated))
    assert stale_days(Query("1", "all", FilterSet()), verdict, date(2026, 11, 23)) == days
    patient = Query("1", "all", FilterSet(), guards=Guards(stale_after=timedelta(days=99)))
    assert stale_days(patient, verdict, date(2026, 11, 23)) is None


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
