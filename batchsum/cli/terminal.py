"""What is said on stderr: plain lines, and a failure that fits a mail. Whoever watches sees `closing` instead."""

import csv
import heapq
import os
import re
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, TextIO, cast

from batchsum.model.filters import LOOKS_SECRET
from batchsum.output.files import MANIFEST, read_manifest
from batchsum.output.table import CHANGES
from batchsum.text import counted, spoken

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from batchsum.errors import Problem
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


# stderr as rich draws on it. A window that was closed, or a disk that is full, stops a line and never a
# night.


class _Lenient:
    """A stream whose writes may come to nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding


def stderr_console() -> "Console":
    """No markup and no guesses about words: what is written there comes from jobs and from NCBI."""
    from rich.console import Console

    return Console(file=cast(TextIO, _Lenient(sys.stderr)), markup=False, emoji=False, highlight=False)


# The end of a night as a person reads it in five seconds: the counts, what changed most, what is not
# believed, where. Told from what the night left in the output directory. Labels and NCBI's words are text,
# never markup.


MOST_CHANGES = 6
MOST_ON_SCREEN = 4
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
    yield _counts_line(outcome.counts)
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


def _counts_line(counts: Mapping[str, int]) -> Line:
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
    for trouble in outcome.troubles[:MOST_ON_SCREEN]:
        first = trouble.examples[0]
        others = f"  and {trouble.rows - 1:,} more" if trouble.rows > 1 else ""
        yield (
            (f"  {trouble.status:<9} ", _STYLES.get(trouble.status, "red")),
            (f"{first.taxon} / {first.filter_set}  ", ""), (first.error, "bold"), (others, "dim"),
        )  # fmt: skip
    if (more := len(outcome.troubles) - MOST_ON_SCREEN) > 0:
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


# The line of a file that a problem is about, with a caret under the place, as compilers show it. A line that
# may hold a secret is not shown: the problem's own words avoid it, and so does the excerpt.


MOST = 50
"""Problems that are shown with their line."""
_NARROWEST = 20
_MAY_BE_SECRET = re.compile(r"key or token|API key|secret|password|behind \? or #", re.IGNORECASE)

Place = tuple[str, int, int]
"""File, line and column, counted from 1."""


def with_excerpts(problems: Iterable["Problem"], width: int) -> str:
    """Each problem on a line of its own, as ever, the first MOST of them with what they are about below."""
    problems = list(problems)
    shown = excerpts([((one.file, one.line, one.column), one.message) for one in problems], width)
    lines = []
    for one in problems:
        lines += [str(one), *shown.get((one.file, one.line, one.column), ())]
    return "\n".join(lines)


def excerpts(told: Sequence[tuple[Place, str]], width: int) -> dict[Place, list[str]]:
    """The lines to show below each of the first MOST messages, by the place the message is about."""
    hidden = {place[:2] for place, message in told if _MAY_BE_SECRET.search(message)}
    places = [place for place, _ in told[:MOST] if place[:2] not in hidden]
    texts = _lines(places)
    return {
        place: list(excerpt(texts[place[:2]], *place[1:], width))
        for place in places
        if place[2] <= len(texts.get(place[:2], "")) + 1 and texts.get(place[:2])
    }


def excerpt(text: str, line: int, column: int, width: int) -> Iterator[str]:
    """The line with its number, cut to `width` around `column` (counted from 1), and the caret below."""
    from rich.cells import cell_len

    text = LOOKS_SECRET.sub(lambda found: "." * len(found[0]), text)
    text = "".join(character if character.isprintable() else " " for character in text)
    margin = f"{line:>5} | "
    room = max(width - len(margin), _NARROWEST)
    at = min(column - 1, len(text))
    start = max(0, at - room // 2) if len(text) > room else 0
    piece = text[start : start + room]
    yield margin + piece
    yield f"{'':>5} | " + " " * cell_len(piece[: at - start]) + "^"


def _lines(places: Iterable[Place]) -> dict[tuple[str, int], str]:
    """The lines of these places, each file read once and no further than needed."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for name, line, _ in places:
        wanted[name].add(line)
    found = {}
    for name, numbers in wanted.items():
        try:
            with Path(name).open(encoding="utf-8-sig", errors="replace") as file:
                for number, text in enumerate(islice(file, max(numbers)), start=1):
                    if number in numbers and text.strip():
                        found[name, number] = text.rstrip("\n")
        except OSError:
            continue
    return found
