"""The line of a file that a problem is about, with a caret under the place, as compilers show it.

A line that may hold a secret is not shown: the problem's own words avoid it, and so does the excerpt.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from batchsum.filters import LOOKS_SECRET

if TYPE_CHECKING:
    from batchsum.errors import Problem

MOST = 50
"""Problems that are shown with their line."""
_NARROWEST = 20
_MAY_BE_SECRET = re.compile(r"key or token|API key|secret|password|behind \? or #", re.IGNORECASE)


def for_people(problems: Iterable["Problem"]) -> str:
    """The problems as a terminal gets them, with their lines; as anything else gets them, a line each."""
    from batchsum.terminal import is_watched

    if not is_watched():
        return "\n".join(map(str, problems))
    return with_excerpts(problems, shutil.get_terminal_size().columns)


def with_excerpts(problems: Iterable["Problem"], width: int = 100) -> str:
    """Each problem on a line of its own, as ever, the first MOST of them with what they are about below."""
    problems = list(problems)
    hidden = {(problem.file, problem.line) for problem in problems if _MAY_BE_SECRET.search(problem.message)}
    lines = _lines(problem for problem in problems[:MOST] if (problem.file, problem.line) not in hidden)
    shown = []
    for problem in problems:
        shown.append(str(problem))
        text = lines.get((problem.file, problem.line), "")
        if text and problem.column <= len(text) + 1:
            shown += excerpt(text, problem.line, problem.column, width)
    return "\n".join(shown)


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


def _lines(problems: Iterable["Problem"]) -> dict[tuple[str, int], str]:
    """The lines that problems are about, each file read once and no further than needed."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for problem in problems:
        wanted[problem.file].add(problem.line)
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
