"""What a published night came to, told from the store: for the terminal, the log, hooks and whoever called."""

import heapq
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchsum.model.job import Job
from batchsum.notify.news import MOST_PROBLEMS, News, changes, published_news
from batchsum.notify.words import FIRST_NIGHT, change_in_words, counts_in_words
from batchsum.output.changes import FAILURES, told_changes, weight
from batchsum.store.failures import FailuresByReason, count_newly_doubtful, doubtful_rows, failures_by_reason
from batchsum.store.history import History
from batchsum.store.store import Run, Store

log = logging.getLogger("batchsum")

MOST_CHANGES = 6
"""Changes that the closing summary shows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a published night came to."""

    directory: Path
    """Where the table is."""
    manifest: Mapping[str, Any]
    """run.json, as it was published."""
    news: News
    """The same night for hooks and messages."""
    failures: tuple[FailuresByReason, ...]
    """Rows that nobody can rely on, by reason, worst first; `news.problems` has them one by one."""
    changes_by_kind: Mapping[str, int]
    """Rows of changes.csv by the word of their change."""
    largest_changes: tuple[Mapping[str, Any], ...]
    """The few rows of changes.csv that matter most, by their columns; failures stand in `failures`."""
    dropped: str = ""
    """What is to be said of an older run that was dropped; mostly empty."""

    @property
    def run_id(self) -> str:
        return self.news.run_id

    @property
    def counts(self) -> dict[str, int]:
        """Rows by status."""
        return self.news.counts

    @property
    def changes(self) -> int:
        """Rows that changed, but for what the calendar does by itself."""
        return sum(told_changes(self.changes_by_kind).values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know beside the rows: moved names, staleness, filters without effect."""
        return tuple(self.manifest["warnings"])

    @property
    def exit_code(self) -> int:
        return self.news.exit_code

    def log(self) -> None:
        """Tell the log what the terminal tells, in names."""
        log.info("run %s: night of %s: %s", self.run_id, self.news.night, counts_in_words(self.counts))
        for one in self.failures:
            log.warning("%s: %s", one, "; ".join(map(str, one.examples)))
        changed = counts_in_words(told_changes(self.changes_by_kind))
        log.info("run %s: %s", self.run_id, FIRST_NIGHT if self.news.first_night else f"changes: {changed or 'none'}")
        for change in self.largest_changes:
            log.info("%s", change_in_words(change, self.news.names))
        for warning in self.warnings:
            log.warning("%s", warning)


def outcome_of(store: Store, run: Run, job: Job, manifest: Mapping[str, Any], dropped: str = "") -> Outcome:
    """The outcome of a judged run, whose manifest this is."""
    history, names = History(store, run), dict[str, str]()
    doubtful, newly_doubtful = doubtful_rows(store, run, MOST_PROBLEMS), count_newly_doubtful(store, run)
    news = published_news(job, manifest, history, doubtful, newly_doubtful)
    # What failed stands in `failures`, and what only rolled is no news.
    shown = (change for change in changes(history, names) if change["change"] not in (*FAILURES, "rolled"))
    largest = heapq.nsmallest(MOST_CHANGES, shown, key=weight)  # a million changes are never held at once
    shown_names = {taxon: names[taxon] for taxon in (change["taxon"] for change in largest) if names[taxon] != taxon}
    news = replace(news, names=news.names | shown_names)
    failures = tuple(failures_by_reason(store, run))
    return Outcome(job.output.dir, manifest, news, failures, history.changes_by_kind(), tuple(largest), dropped)
