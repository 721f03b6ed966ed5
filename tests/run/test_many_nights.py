"""Two hundred nights of a list in which it is known what changes: no word too many, none too few."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchsum.cli import main
from tests.builders.jobs import rows
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi, listening

FIRST = date(2026, 3, 1)
NIGHTS = 200
OUTAGES = range(60, 63)
"""Nights, counted from 0, on which the server answers nobody;"""
EMPTIED = range(100, 103)
"""on which it says of one taxon that there is nothing;"""
HALVED = 140
"""and on which it has lost half of another."""
JOB = """\
version: 1
taxa: [11320, {taxon: 11520, label: Flu B}, 1335626, 10244]
filter_sets:
  all: {}
  week: {released_since: 7d}
  january: {released_between: [2026-01-01, 2026-02-01]}
api: {requests_per_second: unlimited, attempts: 1, max_outage: 1s}
"""


class Growing(ScriptedNcbi):
    """Four taxa with a thousand records released before 2026: one grows by three a day, one by five every tenth day,
    and two stay as they are."""

    night = 0

    def says(self, question: Question) -> Any:
        if self.night in OUTAGES:
            return 500, "down"
        count = self.count(question.taxon, dict(question.parameters).get("released_since", "")[:10])
        if (self.night in EMPTIED and question.taxon == "1335626") or count == 0:
            return {}
        count -= count // 2 * (self.night == HALVED and question.taxon == "10244")
        # Counted anew each night, as NCBI dates all of it.
        moment = datetime(FIRST.year, FIRST.month, FIRST.day, 2, tzinfo=UTC) + timedelta(days=self.night)
        return {"record_count": count, "assembly_count": count, "resource_updated_on": moment.isoformat()}

    def count(self, taxon: str, since: str) -> int:
        born = [FIRST + timedelta(days=day) for day in range(self.night + 1)]
        grown = {
            "11320": [day for day in born for _ in range(3)],
            "11520": [day for day in born[9::10] for _ in range(5)],
        }
        before = 0 if since > "2026-01-15" else 1000
        return before + sum(day.isoformat() >= since for day in grown.get(taxon, []))


def changes_of(night: int) -> dict[tuple[str, str], str]:
    """What there is to tell of a night, by taxon and filter set."""
    found = dict[tuple[str, str], str]()
    last = OUTAGES.start - 1 if night == OUTAGES.stop else night - 1
    if night in OUTAGES or night == 0:
        return {}
    found["11320", "all"] = "grew"
    if any((one + 1) % 10 == 0 for one in range(last + 1, night + 1)):
        found["11520", "all"] = "grew"
    if night in (EMPTIED.start, EMPTIED.stop):
        word = "became_suspect" if night in EMPTIED else "recovered"
        found |= {("1335626", name): word for name in ("all", "week", "january")}
    if night in (HALVED, HALVED + 1):
        word = "became_suspect" if night == HALVED else "recovered"
        found |= {("10244", name): word for name in ("all", "week", "january")}
    return found


def test_two_hundred_nights_tell_what_changed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, out = tmp_path / "night.yaml", tmp_path / "out/night"
    job.write_text(JOB)
    ncbi = Growing(rate_limit=None)
    ncbi.otherwise = ncbi.says
    wrong = []
    with listening(ncbi):
        for night in range(NIGHTS):
            ncbi.night = night
            monkeypatch.setenv("BATCHSUM_TODAY", (FIRST + timedelta(days=night)).isoformat())
            code = main(["run", str(job), "--base-url", ncbi.base_url])
            told = {
                (row["taxon"], row["filter_set"]): row["change"]
                for row in rows(job, "changes.csv")
                if row["change"] != "rolled"
            }
            if code != 4 and told != changes_of(night):
                wrong.append((night, told, changes_of(night)))
    assert wrong == []
    # What only reads tells the same two hundred nights.
    capsys.readouterr()
    assert main(["history", str(out), "--nights", str(NIGHTS)]) == 0
    head, flu, *_ = (line.split() for line in capsys.readouterr().out.splitlines())
    assert len(head) == 3 + NIGHTS
    assert flu[2:] == ["-" if night in OUTAGES else f"{1003 + 3 * night:,}" for night in range(NIGHTS)]
    assert main(["explain", str(out), "10244", "all", "--nights", str(NIGHTS)]) == 0
    told = capsys.readouterr().out
    assert told.count("500?  suspect") == 1
    assert told.count("no table") == len(OUTAGES)
    assert told.count("1,000  ok") == NIGHTS - len(OUTAGES) - 1
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "All 12 rows answered, nothing in doubt." in page
    assert (out / "state.sqlite3").stat().st_size < 2_000_000
