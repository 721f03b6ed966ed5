"""Sixty nights on which nothing is wrong: growth, quiet taxa, withdrawals, copies that lag, an update amid the asking.

No row may be doubted and nothing may be told, whether NCBI dates its whole resource or each row has its own date.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.builders.jobs import manifest, night, rows, write_job
from tests.fakes.scripted_ncbi import Question
from tests.fakes.scripted_taxonomy import node, scripted_taxonomy

FIRST, NIGHTS = date(2026, 6, 1), 60
GENUS = 500
JOB = f"""\
version: 1
taxa: [{GENUS}, 501, 502, {{taxon: 503, label: Quiet}}, some virus]
filter_sets:
  all: {{}}
  human: {{host: human}}
  fortnight: {{released_since: 14d}}
  weekly: {{windows: {{every: 7d, last: 3}}}}
api: {{requests_per_second: unlimited, attempts: 3}}
"""
TAXA = {"501": 9, "502": 4, "503": 1, "some virus": 2}
"""Most records that are released in a day."""


@dataclass
class SteadyNcbi:
    """What NCBI has, day by day; the genus has all that its species have."""

    has_common_dates: bool
    chance: Random = field(default_factory=lambda: Random(20))
    released: dict[str, Counter[date]] = field(default_factory=dict)
    today: date = FIRST
    is_updating: bool = False
    """Whether the data of today come in while it is asked."""
    asked: int = 0
    turns: Counter[str] = field(default_factory=Counter)
    """How often each question was asked."""

    def __post_init__(self) -> None:
        for taxon, most in TAXA.items():
            self.released[taxon] = Counter({FIRST - timedelta(days=400): 300 * most})
            for day in range(-30, NIGHTS):
                # Nothing comes on Sundays; of the quietest taxon something comes every nine days.
                count = self.chance.randrange(most + 1) if (FIRST + timedelta(days=day)).weekday() != 6 else 0
                self.released[taxon][FIRST + timedelta(days=day)] = count if taxon != "503" else day % 9 == 0

    def answer(self, question: Question) -> Any:
        self.asked += 1
        self.turns[question.text] += 1
        # By lot, but the same in whatever order the questions come.
        lot = Random(f"d {self.today} {question.text} {self.turns[question.text]}")
        if lot.random() < 0.002:  # each costs a pause
            return 503, "try again"
        parameters = dict(question.parameters)
        state = self.today - timedelta(days=self.is_updating and self.asked < 10)
        since = date.fromisoformat(parameters.get("released_since", "2000-01-01")[:10])
        taxa = list(TAXA) if question.taxon == str(GENUS) else [question.taxon]
        matching = [
            day for taxon in taxa for day, count in self.released[taxon].items() if count and since <= day <= state
        ]
        count = sum(self.released[taxon][day] for taxon in taxa for day in {*matching})
        withdrawn = (state - FIRST).days // 20 if "released_since" not in parameters else 0
        count = (count - withdrawn) // (2 if "host" in parameters else 1)
        if self.has_common_dates:  # of one of two copies, the other of which is some minutes younger
            minute = 11 if lot.random() < 0.85 else 14
            return {"record_count": count, "resource_updated_on": f"{state}T04:{minute}:00Z"}
        # Each taxon has a time of day of its own; a withdrawal gives no row another date.
        minute = 7 * [str(GENUS), *TAXA].index(question.taxon)
        last = max(matching, default=None)
        return {"record_count": count, "resource_updated_on": last and f"{last}T05:{minute:02}:00Z"}


@pytest.mark.parametrize("has_common_dates", [True, False], ids=["common dates", "rows' own dates"])
def test_sixty_normal_nights_raise_no_alarm(tmp_path: Path, has_common_dates: bool) -> None:
    job = write_job(tmp_path, JOB)
    model = SteadyNcbi(has_common_dates)
    told = Counter[str]()
    names = {"some virus": [node(777, "Virus quidam", 1, 10239, GENUS)]}
    names |= {taxon: [node(int(taxon), "", 1, 10239, GENUS)] for taxon in ("501", "502", "503")}
    with scripted_taxonomy(otherwise=model.answer, names=names, rate_limit=None) as ncbi:
        for number in range(NIGHTS):
            model.today, model.asked = FIRST + timedelta(days=number), 0
            model.is_updating = number % 7 == 5
            code = night(job, ncbi, day=model.today)
            assert [(number, row["taxon"], row["filter_set"], row["error"]) for row in rows(job) if row["error"]] == []
            assert code == 0
            assert manifest(job)["warnings"] == []
            assert (manifest(job)["data_date"] is not None) is has_common_dates
            told.update(row["change"] for row in rows(job, "changes.csv"))
    assert told["grew"] > 100
    assert told["rolled"] > 100
    assert bool(told["updated"]) is not has_common_dates
    assert set(told) <= {"grew", "fell", "rolled", "returned", "vanished", "updated", "new", "removed"}
