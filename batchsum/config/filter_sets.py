"""Named filter sets: from what was written to one set for each combination of a matrix.

Names are built here and nowhere else: `stem/value/value` for a matrix, `host=human;complete_only=true` for
filters without a name. Values in a name are as the table shows them.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from batchsum.config.yaml_text import YamlNode, place
from batchsum.model.filters import FilterSet, cell_text
from batchsum.model.job import NamedSet, Windows

MOST_SETS = 1_000_000  # a matrix multiplies: six lists of ten values are as many sets for every taxon

EVERYTHING = NamedSet("all", FilterSet())


def expand(name: str, given: Mapping[str, Any]) -> Iterator[NamedSet]:
    """The set called `name`, or those of its matrix, the first key slowest; `given` is what its keys say."""
    values = dict(given)
    matrix, guards, windows = (values.pop(key, {}) for key in ("matrix", "guards", "windows"))
    series = Windows(**windows) if windows else None
    for choice in itertools.product(*matrix.values()):
        filters = {**values, **dict(zip(matrix, choice, strict=True))}
        if between := filters.pop("released_between", None):  # a FilterSet has the two ends only
            filters["released_since"], filters["released_before"] = between
        full = "/".join([name, *map(_written, choice)])
        yield NamedSet(full, FilterSet(**filters), guards, series)


def name_of(filters: FilterSet, written: Mapping[str, str]) -> str:
    """What filters without a name are called; `all` where they leave nothing out.

    Relative dates as `written`: their length in days is an accident of how they are read.
    """
    parts = [
        f"{name}={written[name] if isinstance(getattr(filters, name), timedelta) else cell}"
        for name, cell in filters.cells().items()
        if cell
    ]
    return ";".join(parts) or EVERYTHING.name


def overlaps(entry: YamlNode) -> Iterator[tuple[YamlNode, str]]:
    """Keys of a filter set that say the same thing twice: where, and what is wrong."""
    if not isinstance(entry.value, dict):
        return
    outside = {key: node for key, (node, value) in entry.value.items() if value.value is not None}
    matrix = place(entry, ["matrix"]).value if "matrix" in outside else None
    inside = {key: node for key, (node, _) in matrix.items()} if isinstance(matrix, dict) else {}
    for key in inside:
        if key in outside and key != "matrix":
            yield inside[key], f"{key} stands inside and outside of the matrix; write it once"
    everywhere = outside | inside
    if "released_between" in everywhere and "released_since" in everywhere:
        message = "released_since beside released_between, which holds a beginning; write one of them"
        yield everywhere["released_since"], message
    for key in ("released_since", "released_between"):
        if key in everywhere and "windows" in outside:
            yield everywhere[key], f"{key} beside windows, which hold their own days; write one of them"


def _written(value: Any) -> str:
    match value:
        case False:  # cell_text() leaves false empty, and the name needs a word for it
            return "false"
        case [date() | timedelta() as begin, date() | timedelta() as end]:
            return f"{cell_text(begin)}..{cell_text(end)}"
    return cell_text(value)


def is_named_as_window(name: str, sets: Mapping[str, Iterable[NamedSet]]) -> bool:
    """Whether a window of `sets` may have this name: SET/YYYY-MM-DD, the day on which it begins."""
    stem, _, day = name.rpartition("/")
    has_windows = any(one.windows for one in sets.get(stem, ()) if one.name == stem)  # `stem` may be a whole matrix
    return has_windows and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day) is not None
