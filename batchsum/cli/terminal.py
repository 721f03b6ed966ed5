"""What is said on stderr: plain lines, and a failure that fits a mail. Whoever watches sees `closing` instead."""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from batchsum.text import counted

if TYPE_CHECKING:
    from batchsum.model.job import Job
    from batchsum.run.night import Outcome

WIDEST = 160
MOST_WORDS = 3 * WIDEST
_INDENTED: dict[str, Any] = {
    "initial_indent": "  ", "subsequent_indent": "    ", "break_long_words": False, "break_on_hyphens": False,
}  # fmt: skip
MOST_TROUBLES = 6
MOST_WARNINGS = 5


def say(text: str, *, secret: str | None = None) -> None:
    """Write to stderr. Where nobody can be told, because it is closed or its disk is full, the work goes on."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(text.replace(secret, "[key]") if secret else text, file=sys.stderr, flush=True)


def is_watched() -> bool:
    """Whether stderr is a terminal, with somebody before it."""
    return sys.stderr is not None and sys.stderr.isatty()


def failure(error: BaseException) -> str:
    """An error that ended a command: what is wrong, then line by line what is known of it."""
    notes = (_short(note, MOST_WORDS) for note in getattr(error, "__notes__", ()))
    return "\n".join([f"batchsum: {error}", *(fill(note, WIDEST, **_INDENTED) for note in notes)])


def failure_block(outcome: "Outcome", job: "Job", log_file: Path) -> str:
    """A table that was published, but with rows that nobody can rely on."""
    rows = sum(outcome.counts.values())
    missing = rows - outcome.counts["ok"] - outcome.counts["empty"]
    have = "has" if missing == 1 else "have"
    lines = [f"batchsum: {job.name}: {missing:,} of {counted(rows, 'row')} {have} no count to rely on"]
    for trouble in outcome.troubles[:MOST_TROUBLES]:
        lines.append(f"  {trouble}")
        lines += [f"    {_short(str(example))}" for example in trouble.examples]
        if more := trouble.rows - len(trouble.examples):
            lines.append(f"    and {more:,} more")
    if more := len(outcome.troubles) - MOST_TROUBLES:
        lines += [f"  and {more} more reasons"] * (more > 0)
    lines.append(f"  rows:  {_counts(outcome)}; {outcome.changes:,} changed")
    lines += [f"  also:  {one}" for one in _also(outcome)]
    lines += [f"  run:   {outcome.run_id}", f"  table: {outcome.directory}{os.sep}", f"  log:   {log_file}"]
    if outcome.troubles:
        first = outcome.troubles[0].examples[0]
        lines.append(f"  more:  batchsum explain {shlex.join([str(outcome.directory), first.taxon, first.filter_set])}")
    return "\n".join(lines)


def _also(outcome: "Outcome") -> list[str]:
    """What is to be said beside the rows: of a run that was dropped, and the warnings of this one."""
    told = [outcome.closed] if outcome.closed else []
    told += map(_short, outcome.warnings[:MOST_WARNINGS])
    if (more := len(outcome.warnings) - MOST_WARNINGS) > 0:
        told.append(f"and {more:,} more warnings, in run.json")
    return told


def _counts(outcome: "Outcome") -> str:
    return ", ".join(f"{count:,} {status}" for status, count in outcome.counts.items() if count)


def _short(line: str, most: int = WIDEST) -> str:
    return line if len(line) <= most else line[: most - 1] + "…"
