"""What people read on stderr: a failure that fits a mail, the summary for whoever watches, and the line of a file that
a problem is about. All of it is words: labels, taxa and what NCBI says are text, and never markup.
"""

import os
import re
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any, TextIO, cast

from batchsum.model.filters import LOOKS_SECRET
from batchsum.output.files import MANIFEST, PAGE
from batchsum.output.table import CHANGES
from batchsum.text import counted, spoken, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from batchsum.errors import Problem
    from batchsum.model.job import Job
    from batchsum.run.outcome import Outcome
    from batchsum.store.failures import DoubtfulRow


WIDEST = 160
MOST_WORDS = 3 * WIDEST
_INDENTED: dict[str, Any] = {
    "initial_indent": "  ", "subsequent_indent": "    ", "break_long_words": False, "break_on_hyphens": False,
}  # fmt: skip
MOST_TAXA = 12
"""Taxa whose problems are told; the page and the table have them all."""
MOST_WARNINGS = 5


_secrets: list[str] = []


def hide(secret: str | None) -> None:
    """Take the API key, and no other text, out of all that is said and logged from here on."""
    _secrets[:] = [secret] if secret else []


def without_key(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, "[key]")
    return text


def say(text: str) -> None:
    """Write to stderr. Where nobody can be told, because it is closed or its disk is full, the work goes on."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(without_key(text), file=sys.stderr, flush=True)


def is_watched() -> bool:
    """Whether stderr is a terminal, with somebody before it."""
    return sys.stderr is not None and sys.stderr.isatty()


def failure(error: BaseException) -> str:
    """An error that ended a command: what is wrong, then line by line what is known of it."""
    notes = (_short(note, MOST_WORDS) for note in getattr(error, "__notes__", ()))
    return "\n".join([f"batchsum: {error}", *(fill(note, WIDEST, **_INDENTED) for note in notes)])


def failure_block(outcome: "Outcome", job: "Job", log_file: Path) -> str:
    """A table that was published, but with rows that nobody can rely on: what fits a mail."""
    rows = sum(outcome.counts.values())
    missing = rows - outcome.counts["ok"] - outcome.counts["empty"]
    have = "has" if missing == 1 else "have"
    lines = [f"batchsum: {job.name}: {missing:,} of {counted(rows, 'row')} {have} no count to rely on, {_age(outcome)}"]
    lines += [f"  {status:<9}{words}" for status, words in _problems(outcome)]
    counts = ", ".join(f"{count:,} {status}" for status, count in outcome.counts.items() if count)
    changed = "first night, nothing to compare" if outcome.news.first_night else f"{outcome.changes:,} changed"
    lines.append(f"  rows:  {counts}; {changed}")
    lines += [f"  also:  {one}" for one in _also(outcome)]
    lines += [f"  page:  {outcome.directory / PAGE}", f"  why:   {_explain(outcome)}"]
    lines += [f"  log:   {log_file} (run {outcome.run_id})"]
    return "\n".join(lines)


def _problems(outcome: "Outcome") -> Iterator[tuple[str, str]]:
    """Status and words of what cannot be relied on, a line for each taxon and reason, the worst taxa first."""
    of_taxon: dict[str, dict[tuple[str, str], list[DoubtfulRow]]] = defaultdict(lambda: defaultdict(list))
    for row in outcome.doubtful:
        of_taxon[row.kept.taxon][row.kept.status, row.kept.reason].append(row)
    for rows in chain.from_iterable(lines.values() for lines in islice(of_taxon.values(), MOST_TAXA)):
        first = rows[0].kept
        sets = list(dict.fromkeys(row.kept.filter_set for row in rows))
        named = ", ".join(sets[:MOST_SETS]) + (f" and {len(sets) - MOST_SETS} more" if len(sets) > MOST_SETS else "")
        # Cut between words only: half of a number would be another number.
        why = shorten(first.error, WIDEST, placeholder=" …")
        yield first.status, f"{first.name_and_id} / {named}: {why}; {_since(rows, outcome.news.night)}"
    if (more := len(of_taxon) - MOST_TAXA) > 0:
        yield "", f"and {counted(more, 'more taxon', 'more taxa')}"


def _age(outcome: "Outcome") -> str:
    """What is the first question in the morning: is this new?"""
    new = sum(row.since == outcome.news.night for row in outcome.doubtful)
    if new and new < len(outcome.doubtful):
        return f"{new:,} of them new tonight"
    return _since(outcome.doubtful, outcome.news.night)


def _since(rows: Sequence["DoubtfulRow"], night: str) -> str:
    since = min((row.since for row in rows), default=night)
    return "new tonight" if since == night else f"since {since}"


def _explain(outcome: "Outcome") -> str:
    """The command that explains the worst row."""
    first = outcome.doubtful[0].kept
    return f"batchsum explain {shlex.join([str(outcome.directory), first.taxon, first.filter_set])}"


def _also(outcome: "Outcome") -> list[str]:
    """What is to be said beside the rows: of a run that was dropped, and the warnings of this one."""
    told = [outcome.dropped] if outcome.dropped else []
    told += map(_short, outcome.warnings[:MOST_WARNINGS])
    if (more := len(outcome.warnings) - MOST_WARNINGS) > 0:
        told.append(f"and {counted(more, 'more warning')}, in {MANIFEST}")
    return told


def _short(line: str, most: int = WIDEST) -> str:
    return line if len(line) <= most else line[: most - 1] + "…"


# stderr as rich draws on it


class _Lenient:
    """A stream whose writes may come to nothing: a window that was closed, or a full disk, stops no night."""

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


# The end of a night as a person reads it in five seconds: what cannot be relied on, what changed most, and where it is

MOST_ON_SCREEN = 4
"""Warnings that are shown one by one."""
MOST_SETS = 3

Line = tuple[tuple[str, str], ...]
"""Pieces of text, each with its style."""

_FILES, _PAGE, _WHY, _PROBLEM = "  files ", "  page  ", "  why   ", "  "
_WHOLE = (_FILES, _PAGE, _WHY, _PROBLEM)
"""How lines begin that are never cut."""
_STYLES = {"ok": "green", "empty": "dim", "suspect": "bold yellow", "rejected": "yellow", "failed": "red"}


def closing(outcome: "Outcome", job_name: str, log_file: Path) -> Iterator[Line]:
    """The lines of the summary, each as pieces of text with their style."""
    yield _headline(outcome, job_name)
    yield _counts_line(outcome.counts)
    if outcome.doubtful:
        yield (("not to be relied on", "bold yellow"), (f", {_age(outcome)}", ""))
        for status, words in _problems(outcome):
            yield ((_PROBLEM, ""), (f"{status:<10}", _STYLES.get(status, "red")), (words, ""))
    yield from _changed(outcome)
    yield from _warnings([*outcome.warnings, *([outcome.dropped] if outcome.dropped else [])])
    yield ((_FILES, "dim"), (f"{outcome.directory}{os.sep}", ""), (f"  {' '.join(outcome.manifest['files'])}", "dim"))
    yield ((_PAGE, "dim"), (str(outcome.directory / PAGE), ""))
    if outcome.doubtful:
        yield ((_WHY, "dim"), (_explain(outcome), ""), (f"  (log: {log_file})", "dim"))


def print_closing(outcome: "Outcome", job_name: str, log_file: Path, console: "Console | None" = None) -> None:
    """Write the summary to stderr, a long line cut at the window's edge; what must be copied is never cut."""
    console = console or stderr_console()
    for line in closing(outcome, job_name, log_file):
        if line[0][0] in _WHOLE:
            # Wrapped by the terminal itself, which copies it as one line.
            console.print(_text(line), soft_wrap=True)
        else:
            console.print(_text(line), no_wrap=True, overflow="ellipsis")


def _headline(outcome: "Outcome", job_name: str) -> Line:
    begin, end = (datetime.fromisoformat(outcome.manifest[name]) for name in ("started_at", "finished_at"))
    rows = counted(sum(outcome.counts.values()), "row")
    return (
        (job_name, "bold"), (f"  night of {outcome.news.night}", ""), (f"  {rows}", ""),
        (f"  {spoken((end - begin).total_seconds())}", "dim"),
    )  # fmt: skip


def _counts_line(counts: Mapping[str, int]) -> Line:
    return tuple((f"  {count:,} {status}", _STYLES.get(status, "red")) for status, count in counts.items() if count)


def _changed(outcome: "Outcome") -> Iterator[Line]:
    if outcome.news.first_night:
        yield (("first night, nothing to compare", "dim"),)
        return
    if not outcome.changes:
        yield (("nothing changed since the last night", "dim"),)
        return
    kinds = outcome.changes_by_kind
    words = ", ".join(f"{kinds[kind]:,} {kind.replace('_', ' ')}" for kind in CHANGES if kinds.get(kind))
    yield ((f"{outcome.changes:,} changed", "bold"), (f"  {words}", ""))
    counts = [_movement(change) for change in outcome.largest_changes]
    for change, moved in zip(outcome.largest_changes, counts, strict=True):
        style = "yellow" if change["change"] in ("vanished", "fell") else ""
        shown = moved.ljust(max(map(len, counts)))
        name = f"{outcome.news.names.get(change['taxon'], change['taxon'])} / {change['filter_set']}"
        yield ((f"  {change['change']:<9} ", style), (shown, "bold"), (f"  {name}", ""))
    if (more := outcome.changes - len(counts)) > 0 and counts:
        yield ((f"  and {more:,} more in changes.csv", "dim"),)


def _movement(change: Mapping[str, Any]) -> str:
    counts = (change["previous_record_count"], change["record_count"])
    before, now = ("none" if count is None else f"{count:,}" for count in counts)
    percent = f"  {change['change_percent']:+g} %" if change["change_percent"] is not None else ""
    return f"{before} → {now}{percent}"


def _warnings(warnings: Sequence[str]) -> Iterator[Line]:
    for warning in warnings[:MOST_ON_SCREEN]:
        yield (("note  ", "bold"), (warning, ""))
    if (more := len(warnings) - MOST_ON_SCREEN) > 0:
        yield ((f"      and {more} more in {MANIFEST}", "dim"),)


def _text(line: Line) -> "Text":
    from rich.text import Text

    # What cannot be seen could still move the cursor.
    return Text.assemble(*((visible(without_key(text)), style) for text, style in line))


# The line of a file that a problem is about, with a caret under the place, as compilers show it


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
    """The lines to show below each of the first MOST messages, by the place the message is about.

    A line that may hold a secret is not shown: the message avoids it, and so does the excerpt.
    """
    # By line and not by place: the excerpt of another problem would show the same secret.
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

    # As many dots as characters, so that the caret stays below its place.
    text = LOOKS_SECRET.sub(lambda found: "." * len(found[0]), text)
    text = visible(text)
    margin = f"{line:>5} | "
    room = max(width - len(margin), _NARROWEST)
    at = min(column - 1, len(text))
    start = max(0, at - room // 2) if len(text) > room else 0
    piece = text[start : start + room]
    yield margin + piece
    yield f"{'':>5} | " + " " * cell_len(piece[: at - start]) + "^"  # not len: some characters are two columns wide


def _lines(places: Iterable[Place]) -> dict[tuple[str, int], str]:
    """The lines of these places, each file read once and no further than needed."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for name, line, _ in places:
        wanted[name].add(line)
    found = {}
    for name, numbers in wanted.items():
        try:
            # -sig: a byte order mark is no column.
            with Path(name).open(encoding="utf-8-sig", errors="replace") as file:
                for number, text in enumerate(islice(file, max(numbers)), start=1):
                    if number in numbers and text.strip():
                        found[name, number] = text.rstrip("\n")
        except OSError:
            continue
    return found
