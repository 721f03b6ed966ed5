"""The end of a night as a person reads it in five seconds: the counts, what changed most, what is not believed, where.

Told from what the night left in the output directory. Labels and NCBI's words are text, never markup.
"""

import csv
import heapq
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchsum.output.files import MANIFEST, read_manifest
from batchsum.table.columns import CHANGES
from batchsum.terminal.console import stderr_console
from batchsum.text import spoken

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from batchsum.run.night import Outcome

MOST_CHANGES = 6
MOST_TROUBLES = 4
MOST_NOTES = 4

Line = tuple[tuple[str, str], ...]
"""Pieces of text, each with its style."""

_FILES, _WHY = "  files ", "  why   "
_WHOLE = (_FILES, _WHY)
_STYLES = {"ok": "green", "empty": "dim", "suspect": "bold yellow", "rejected": "yellow", "failed": "red"}
# What is gone comes first and what only the job itself changed last; between them, the largest change.
_RANKS = {"vanished": 0, "fell": 1, "returned": 1, "recovered": 1, "grew": 1, "new": 2, "removed": 2}


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of a night in short."""

    kinds: Counter[str]
    top: list[dict[str, str]]
    """The few that matter most, those with trouble left out: they are told by their reason."""


def read_changes(path: Path) -> Changes:
    """changes.csv, gone through once. Empty where it cannot be read: a summary is no reason to fail."""
    kinds: Counter[str] = Counter()

    def told() -> Iterator[tuple[tuple[int, int, int], dict[str, str]]]:
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file)):
                kinds[row["change"]] += 1
                if row["change"] in _RANKS:
                    yield (_RANKS[row["change"]], -abs(int(row["record_count_change"] or 0)), number), row

    try:
        top = [row for _, row in heapq.nsmallest(MOST_CHANGES, told(), key=lambda one: one[0])]
    except (OSError, ValueError, KeyError):
        return Changes(Counter(), [])
    return Changes(kinds, top)


def closing(outcome: "Outcome", job_name: str, log_file: Path) -> Iterator[Line]:
    """The lines of the summary, each as pieces of text with their style."""
    manifest = read_manifest(outcome.directory)
    yield _headline(outcome, job_name, manifest)
    yield _counts(outcome.counts)
    yield from _changed(read_changes(outcome.directory / "changes.csv"), outcome.changes)
    yield from _troubles(outcome)
    yield from _notes([*outcome.warnings, *([outcome.closed] if outcome.closed else [])])
    yield from _places(outcome, manifest, log_file)


def print_closing(
    outcome: "Outcome", job_name: str, log_file: Path, *, secret: str | None = None, console: "Console | None" = None
) -> None:
    """Write the summary to stderr, a long line cut at the window's edge; what must be copied is never cut."""
    console = console or stderr_console()
    for line in closing(outcome, job_name, log_file):
        if line[0][0] in _WHOLE:
            console.print(_text(line, secret), soft_wrap=True)
        else:
            console.print(_text(line, secret), no_wrap=True, overflow="ellipsis")


def _headline(outcome: "Outcome", job_name: str, manifest: Mapping[str, Any]) -> Line:
    rows = sum(outcome.counts.values())
    line: Line = ((job_name, "bold"), (f"  night of {manifest.get('today', '?')}", ""), (f"  {rows:,} rows", ""))
    try:
        begin, end = (datetime.fromisoformat(manifest[name]) for name in ("started_at", "finished_at"))
    except (KeyError, ValueError):
        return line
    return (*line, (f"  {spoken((end - begin).total_seconds())}", "dim"))


def _counts(counts: Mapping[str, int]) -> Line:
    return tuple((f"  {count:,} {status}", _STYLES.get(status, "red")) for status, count in counts.items() if count)


def _changed(changes: Changes, count: int) -> Iterator[Line]:
    if not count:
        yield (("nothing changed since the last night", "dim"),)
        return
    kinds = ", ".join(f"{changes.kinds[kind]:,} {kind.replace('_', ' ')}" for kind in CHANGES if changes.kinds[kind])
    yield ((f"{count:,} changed", "bold"), (f"  {kinds}", ""))
    counts = [_movement(row) for row in changes.top]
    for row, moved in zip(changes.top, counts, strict=True):
        style = "yellow" if row["change"] in ("vanished", "fell") else ""
        shown = moved.ljust(max(map(len, counts)))
        yield ((f"  {row['change']:<9} ", style), (shown, "bold"), (f"  {_name(row)}", ""))
    if (more := count - len(changes.top)) > 0 and changes.top:
        yield ((f"  and {more:,} more in changes.csv", "dim"),)


def _name(row: Mapping[str, str]) -> str:
    return f"{row['label'] or row['taxon']} / {row['filter_set']}"


def _movement(row: Mapping[str, str]) -> str:
    before, now = (f"{int(row[name]):,}" if row[name] else "none" for name in ("previous_record_count", "record_count"))
    percent = f"  {float(row['change_percent']):+.1f} %" if row["change_percent"] else ""
    return f"{before} → {now}{percent}"


def _troubles(outcome: "Outcome") -> Iterator[Line]:
    if not outcome.troubles:
        return
    yield (("not to be relied on", "bold yellow"),)
    for trouble in outcome.troubles[:MOST_TROUBLES]:
        first = trouble.examples[0]
        others = f"  and {trouble.rows - 1:,} more" if trouble.rows > 1 else ""
        yield (
            (f"  {trouble.status:<9} ", _STYLES.get(trouble.status, "red")),
            (f"{first.taxon} / {first.filter_set}  ", ""), (first.error, "bold"), (others, "dim"),
        )  # fmt: skip
    if (more := len(outcome.troubles) - MOST_TROUBLES) > 0:
        yield ((f"  and {more} more reasons", "dim"),)


def _notes(notes: Iterable[str]) -> Iterator[Line]:
    notes = list(notes)
    for note in notes[:MOST_NOTES]:
        yield (("note  ", "bold"), (note, ""))
    if (more := len(notes) - MOST_NOTES) > 0:
        yield ((f"      and {more} more in {MANIFEST}", "dim"),)


def _places(outcome: "Outcome", manifest: Mapping[str, Any], log_file: Path) -> Iterator[Line]:
    names = " ".join(name for name in manifest.get("files", ()))
    yield ((_FILES, "dim"), (f"{outcome.directory}{os.sep}", ""), (f"  {names}", "dim"))
    if outcome.exit_code and outcome.troubles:
        first = outcome.troubles[0].examples[0]
        words = shlex.join([str(outcome.directory), first.taxon, first.filter_set])
        yield ((_WHY, "dim"), (f"batchsum explain {words}", ""), (f"  (log: {log_file})", "dim"))


def _text(line: Line, secret: str | None) -> "Text":
    from rich.text import Text

    def shown(text: str) -> str:
        text = text.replace(secret, "[key]") if secret else text
        # What cannot be seen could still move the cursor.
        return "".join(one if one.isprintable() else " " for one in text)

    return Text.assemble(*((shown(text), style) for text, style in line))
