"""The counts of a row as an inline SVG, and a count in few characters.

Colour comes from the page's style sheet by class, so that a plot follows the theme and prints.
"""

import math
from collections.abc import Sequence

from batchsum.model.queries import BELIEVED

_SPARK_HEIGHT = 20
_STEP = 2
_LEAST_SPAN = 0.01
"""A line spans at least this share of its highest count: a change below a hundredth stays small to the eye."""


def sparkline(counts: Sequence[int | None], statuses: Sequence[str]) -> str:
    """A line through the believed counts, a gap where there was none, a dot tonight, a mark on suspect nights; nothing
    on the first night."""
    known = [count for count in counts if count is not None]
    if not known or len(counts) < 2:
        return ""
    low, high = float(min(known)), max(known)
    # Small and level series stand in the middle of the height, and nothing is divided by zero.
    spare = max(high * _LEAST_SPAN - (high - low), 0) if high > low else 1
    low, span = low - spare / 2, (high - low) + spare

    def height(count: int) -> int:
        return round(2 + (_SPARK_HEIGHT - 4) * (1 - (count - low) / span))

    nights = list(zip(counts, statuses, strict=True))
    heights = [height(count) if count is not None and status in BELIEVED else None for count, status in nights]
    paths = _path("l", _line(heights))
    if heights[-1] is not None:
        # `h0` draws a line of no length, which the style sheet's line caps make a dot.
        paths += _path("e", f"M{_x(len(heights) - 1)} {heights[-1]}h0")
    doubted = [
        f"M{_x(position)} {height(count)}h0"
        for position, (count, status) in enumerate(nights)
        if count is not None and status == "suspect"
    ]
    paths += _path("q", "".join(doubted))
    width = _x(len(counts) - 1) + _STEP
    return f'<svg viewBox="0 0 {width} {_SPARK_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{paths}</svg>'


def _x(position: int) -> int:
    return _STEP * (position + 1)


def _path(name: str, data: str) -> str:
    return f'<path class="{name}" d="{data}"/>' if data else ""


def _line(heights: Sequence[int | None]) -> str:
    """Path data in relative steps; level stretches are drawn as one, which is what most taxa are."""
    data, level, last = [], 0, None
    for position, here in enumerate([*heights, None]):  # the gap at the end ends a level stretch
        if here is not None and here == last:
            level += _STEP
            continue
        if level:
            data.append(f"h{level}")
        level = 0
        if here is not None:
            data.append(f"M{_x(position)} {here}h0" if last is None else f"l{_STEP} {here - last}")
        last = here
    return "".join(data)


def heat_level(count: int) -> int:
    """0 for none, then one level for each power of ten: 1 for 1 to 9, 2 for 10 to 99, ... up to 8."""
    return min(len(str(count)), 8) if count > 0 else 0


def short_count(count: int) -> str:
    """A count in at most four characters: 970, 9.7k, 97k, 1.2M."""
    if count < 1000:
        return str(count)
    for unit, size in (("k", 10**3), ("M", 10**6), ("G", 10**9)):
        value = count / size
        if value < 9.95:  # from here on one decimal would round to 10.0, which is a character too long
            return f"{math.floor(value * 10 + 0.5) / 10:.1f}{unit}"
        if value < 999.5:
            return f"{math.floor(value + 0.5)}{unit}"
    return f"{count:.0e}"
