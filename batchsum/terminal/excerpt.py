"""The line of a file that a problem is about, with a caret under the place, as compilers show it.

A line that may hold a secret is not shown: the problem's own words avoid it, and so does the excerpt.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
