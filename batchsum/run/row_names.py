"""What people call a row: TAXON or TAXON/SET, by taxon, id, label or scientific name, in any case."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from batchsum.errors import UsageError


class RowName(NamedTuple):
    """What a row can be called by."""

    taxon: str
    label: str
    scientific_name: str
    filter_set: str
    tax_id: int | None = None

    def names(self) -> Iterator[str]:
        """All that its taxon can be called by: mails and the page show its id beside a name."""
        return filter(None, (self.taxon, self.label, self.scientific_name, str(self.tax_id or "")))


RowSet = frozenset[tuple[str, str]]
"""Rows by taxon and filter set, as the table has them."""


def named_rows(texts: Sequence[str], rows: Callable[[], Iterable[RowName]]) -> RowSet:
    """The rows that each TAXON or TAXON/SET stands for. UsageError where one stands for none, or for several taxa.

    The longest beginning that is the taxon, id, label or scientific name of a row, in any case, is the taxon: names
    may have slashes. `rows` is called once, and again for the words of an error.
    """
    beginnings = {beginning.casefold() for text in texts for beginning, _ in _splits(text)}
    found: dict[str, dict[str, dict[str, None]]] = {}  # name to taxa, each to its filter sets
    for row in rows() if texts else ():
        for name in row.names():
            if (name := name.casefold()) in beginnings:
                found.setdefault(name, {}).setdefault(row.taxon, {})[row.filter_set] = None
    return frozenset(pair for text in texts for pair in _rows_of(text, found, rows))


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """`a/b/c` as taxon and filter set, the longest taxon first."""
    yield text, ""
    for index in range(len(text) - 1, 0, -1):
        if text[index] == "/":
            yield text[:index], text[index + 1 :]


def _rows_of(
    text: str, found: dict[str, dict[str, dict[str, None]]], rows: Callable[[], Iterable[RowName]]
) -> Iterator[tuple[str, str]]:
    for beginning, filter_set in _splits(text):
        taxa = found.get(beginning.casefold(), {})
        if beginning in taxa:  # as written: it cannot be meant otherwise
            taxa = {beginning: taxa[beginning]}
        if len(taxa) > 1:
            raise UsageError(f"{text}: {beginning} is the name of several taxa; write one of {', '.join(taxa)}")
        for taxon, sets in taxa.items():
            named = [one for one in sets if filter_set in ("", one)]
            named = named or [one for one in sets if one.casefold() == filter_set.casefold()]
            if not named:
                write = f"write {'one of ' if len(sets) > 1 else ''}{', '.join(sets)}"
                if near := difflib.get_close_matches(filter_set, sets, n=1):
                    write = f"did you mean {beginning}/{near[0]}?"
                raise UsageError(f"{text}: {taxon} has no filter set {filter_set}; {write}")
            yield from ((taxon, one) for one in named)
            return
    what = "no row of this job has this name; write TAXON or TAXON/SET, as one word"
    raise UsageError(f"{text}: {what}{_near(text, rows())}")


def _near(text: str, rows: Iterable[RowName]) -> str:
    # No id is like another: two that differ in a digit are two viruses.
    names = {name.casefold(): name for row in rows for name in row.names() if not name.isdigit()}
    near = [
        (difflib.SequenceMatcher(None, beginning, name).ratio(), names[name] + (filter_set and f"/{filter_set}"))
        for beginning, filter_set in _splits(text.casefold())
        for name in difflib.get_close_matches(beginning, names, n=1, cutoff=0.75)
    ]
    return f"; did you mean {max(near)[1]}?" if near else ", as in the columns taxon, tax_id, label and filter_set"
