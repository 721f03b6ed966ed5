"""What people read on stderr: a failure that fits a mail, the summary for whoever watches, and the line of a file that
a problem is about. All of it is words: labels, taxa and what NCBI says are text, and never markup.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

from batchsum.model.filters import LOOKS_SECRET
from batchsum.notify.words import FIRST_NIGHT, counts_in_words, movement, problem_lines, row_name, verdict
from batchsum.output.changes import FAILURES, told_changes
from batchsum.output.files import MANIFEST, PAGE
from batchsum.text import spoken, visible

if TYPE_CHECKING:
    from rich.console import Console

    from batchsum.errors import Problem
    from batchsum.run.outcome import Outcome


WIDEST = 160
MOST_WORDS = 3 * WIDEST
_INDENTED: dict[str, Any] = {
    "initial_indent": "  ", "subsequent_indent": "    ", "break_long_words": False, "break_on_hyphens": False,
}  # fmt: skip


NOBODY_THERE = (OSError, ValueError)
"""What writing to a window that was closed, or to a full disk, fails with: it stops no night."""

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
        with suppress(*NOBODY_THERE):
            print(without_key(text), file=sys.stderr, flush=True)


def is_watched() -> bool:
    """Whether stderr is a terminal, with somebody before it."""
    return sys.stderr is not None and sys.stderr.isatty()


def failure(error: BaseException) -> str:
    """An error that ended a command: what is wrong, then line by line what is known of it."""
    notes = (shorten(note, MOST_WORDS, placeholder=" …") for note in getattr(error, "__notes__", ()))
    return "\n".join([f"batchsum: {error}", *(fill(note, WIDEST, **_INDENTED) for note in notes)])


# The end of a night as a person reads it in five seconds: what cannot be relied on, what changed most, and where it is

MOST_WARNINGS = 4
"""Warnings that are shown one by one."""

_STYLES = {
    r"^\S.*: .*, (all )?answered$": "bold",
    r"^\S.*: .* no count to rely on.*": "bold yellow",
    r"(^  |, )([0-9,]+ )?ok(?=[,;])": "green",
    r"(^  |, )([0-9,]+ )?suspect(?=[ ,;])": "bold yellow",
    r"(^  |, )([0-9,]+ )?rejected(?=[ ,;])|^  (vanished|fell) ": "yellow",
    r"(^  |, )([0-9,]+ )?(failed|skipped)(?=[ ,;])": "red",
    r"^note|^[0-9,]+ changed|([0-9,]+|none) → ([0-9,]+|none)(  \S+ %)?": "bold",
    r"^  (files|page|why|log) |^(first night|nothing changed|  and .* more|      and ).*|; [0-9,]+ rolled.*": "dim",
}
"""What is coloured in the summary."""


def failure_block(outcome: "Outcome", log_file: Path) -> str:
    """The summary as a mail has it, of a table with rows that nobody can rely on."""
    return "batchsum: " + "\n".join(line for line, _ in closing(outcome, log_file))


def print_closing(outcome: "Outcome", log_file: Path, console: "Console | None" = None) -> None:
    """Write the summary to stderr, a long line cut at the window's edge; what must be copied is never cut."""
    from rich.text import Text

    console = console or stderr_console()
    for line, is_whole in closing(outcome, log_file):
        text = Text(visible(without_key(line)))  # what cannot be seen could still move the cursor
        for pattern, style in _STYLES.items():
            text.highlight_regex(pattern, style)
        with suppress(*NOBODY_THERE):
            # What is whole is wrapped by the terminal itself, which copies it as one line.
            console.print(text, soft_wrap=is_whole, no_wrap=True, overflow=None if is_whole else "ellipsis")


def closing(outcome: "Outcome", log_file: Path) -> Iterator[tuple[str, bool]]:
    """The lines of the summary, and whether each is never to be cut."""
    news = outcome.news
    yield verdict(news), True
    for status, words in problem_lines(news):
        yield f"  {status:<9}{words}", True
    begin, end = (datetime.fromisoformat(outcome.manifest[name]) for name in ("started_at", "finished_at"))
    yield f"  {counts_in_words(news.counts)}; {spoken((end - begin).total_seconds())}", False
    for line in _changed(outcome):
        yield line, False
    warnings = [*outcome.warnings, *([outcome.dropped] if outcome.dropped else [])]
    for warning in warnings[:MOST_WARNINGS]:
        yield f"note  {warning}", False
    if (more := len(warnings) - MOST_WARNINGS) > 0:
        yield f"      and {more} more in {MANIFEST}", False
    yield f"  files  {outcome.directory}{os.sep}  {' '.join(outcome.manifest['files'])}", True
    yield f"  page   {outcome.directory / PAGE}", True
    if news.problems:
        worst = [str(outcome.directory), news.problems[0]["taxon"], news.problems[0]["filter_set"]]
        yield f"  why    batchsum explain {shlex.join(worst)}", True
        acceptable = (row for row in news.problems if row["record_count"] is not None or row["reason"] == "refused")
        if row := next(acceptable, None):
            # All rows of the taxon at once only where they are doubted for one reason.
            others = {one["reason"] for one in acceptable if one["taxon"] == row["taxon"]}
            name = row["taxon"] if others == {row["reason"]} else f"{row['taxon']}/{row['filter_set']}"
            yield f"  accept batchsum accept {shlex.join([worst[0], name])}", True
        yield f"  log    {log_file} (run {news.run_id})", True


def _changed(outcome: "Outcome") -> Iterator[str]:
    kinds, changes = told_changes(outcome.changes_by_kind), outcome.largest_changes
    rolled = outcome.changes_by_kind.get("rolled", 0)
    by_calendar = f"; {rolled:,} rolled with the calendar" if rolled else ""
    if outcome.news.first_night:
        yield FIRST_NIGHT
    elif not kinds:
        yield f"nothing changed since the last night{by_calendar}"
    else:
        yield f"{outcome.changes:,} changed: {counts_in_words(kinds)}{by_calendar}"
    moved = ["  ".join(filter(None, movement(change))) for change in changes]
    for change, counts in zip(changes, moved, strict=True):
        name = row_name(change, outcome.news.names)
        yield f"  {change['change']:<10} {counts.ljust(max(map(len, moved)))}  {name}"
    told_above = sum(kinds.get(word, 0) for word in FAILURES)
    if (more := outcome.changes - told_above - len(changes)) > 0:
        yield f"  and {more:,} more in changes.csv"


def stderr_console() -> "Console":
    """No markup and no guesses about words: what is written there comes from jobs and from NCBI."""
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False, highlight=False)


# The line of a file that a problem is about, with a caret under the place, as compilers show it


MOST = 50
"""Problems that are shown with their line."""
_MOST_READ = 2**26  # characters; a file that is no list may be endless
_NARROWEST = 20
_MAY_BE_SECRET = re.compile(r"key or token|API key|secret|password|behind \? or #", re.IGNORECASE)


def with_excerpts(problems: Iterable["Problem"], width: int) -> str:
    """Each problem on a line of its own, as ever, the first MOST of them with the line of the file that they are about.

    A line that may hold a secret is not shown: the message avoids it, and so does the excerpt.
    """
    problems = list(problems)
    # By line and not by place: the excerpt of another problem would show the same secret.
    hidden = {(one.file, one.line) for one in problems if _MAY_BE_SECRET.search(one.message)}
    texts = {name: _lines(name) for name in {one.file for one in problems[:MOST]}}
    lines = []
    for number, one in enumerate(problems):
        lines.append(str(one))
        text = "".join(texts[one.file][one.line - 1 : one.line]) if number < MOST else ""
        if text.strip() and one.column <= len(text) + 1 and (one.file, one.line) not in hidden:
            lines += excerpt(text, one.line, one.column, width)
    return "\n".join(lines)


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


def _lines(name: str) -> list[str]:
    # -sig: a byte order mark is no column.
    with suppress(OSError), Path(name).open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(_MOST_READ).split("\n")
    return []
