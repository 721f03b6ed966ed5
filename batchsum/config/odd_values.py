"""Filter values that NCBI surely does not write so: no reason not to ask, but one to warn, with what was perhaps meant.

A name that nobody here can judge (a host, a lineage) is left in peace: it may be right.
Source: `model/data/places.tsv`, INSDC's list of countries with NCBI's continents; beside it `place_synonyms.tsv`, names
that are no misspelling of those, so that likeness does not find them.
"""

import difflib
import os
import re
import shlex
import shutil
import unicodedata
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path

from batchsum.model.filters import USA_STATES, FilterSet, data_table


def odd_filters(filters: FilterSet, today: date) -> Iterator[tuple[str, str]]:
    """The filter that is odd, and why."""
    for name in ("released_since", "updated_since"):
        day = getattr(filters, name)
        if isinstance(day, date) and day > today:
            written = "released_between" if filters.released_before else name
            yield written, f"{day} is in the future; nothing can be that new"
    match filters.resolve(today):  # of a fixed and a relative date, which comes first is known on the day only
        case FilterSet(released_since=date() as begin, released_before=date() as end) if begin >= end:
            yield "released_between", f"begins on {begin} tonight and ends on {end}; nothing lies between"
    if "*" in (lineage := filters.pangolin_classification):
        meant = lineage.replace("*", "").rstrip(".")
        hint = f"; write {meant!r}, and each lineage below it by its own name" if meant else ""
        yield "pangolin_classification", f"{lineage!r} has a *, and NCBI looks for exactly this text{hint}"
    if re.search(r"[\[\](){}]", filters.host):
        instead = _without_brackets(filters.host)
        yield "host", f"{filters.host!r} has brackets, which NCBI does not write; write {instead}"
    if filters.geo_location:
        yield from _odd_place(filters.geo_location)


def odd_line(line: str) -> str:
    """What a line of a .txt with one taxon a line has that is seldom in a name; empty where there is nothing."""
    if match := re.search(r"[,;|]", line):
        return f"{line!r} is taken for one name, with its {match[0]}; a list with columns has a header and ends in .csv"
    if "#" in line:
        return f"{line!r} is taken for one name, with its #; a comment stands on a line of its own"
    if match := re.match(r"([0-9]{3,})\s", line):
        return f"{line!r} is taken for one name; if {match[1]} is an id, write it alone"
    return ""


def odd_program(command: str, directory: Path) -> str:
    """Why a hook cannot be run from `directory`; empty where it can."""
    if "/" not in command:
        missing = f"{command}: there is no such program on PATH; write its path, as ./{command}"
        return "" if shutil.which(command) else missing
    path = directory / command
    if not path.is_file():
        return f"{command}: there is no such program; write its path, absolute or from the job file"
    return "" if os.access(path, os.X_OK) else f"{command} cannot be executed; type: chmod +x {shlex.quote(str(path))}"


def _without_brackets(host: str) -> str:
    """The id or the name in a host like `Homo sapiens [9606]` or `Homo sapiens (human)`."""
    if tax_id := re.search(r"[\[({]\D*([0-9]+)\s*[\])}]", host):
        return tax_id[1]
    names = [name for part in re.split(r"[\[\](){}]", host) if (name := part.strip())]
    return repr(names[0]) if names else "a Taxonomy ID or a name"


def _odd_place(place: str) -> Iterator[tuple[str, str]]:
    if ":" in place:
        country, _, inside = (part.strip() for part in place.partition(":"))
        meant = _places().get(country.casefold()) or _near_place(country) or country
        state = _state(inside) if meant == "USA" else ""
        why = f"is a place inside a country, and NCBI takes the country; write {meant!r}{state}"
        yield "geo_location", f"{place!r} {why}"
    elif place.casefold() not in _places():
        if state := _state(place, by_code=False):  # two letters may as well be a country's, as CA or GA
            hint = f"; write 'USA'{state}"
        else:
            hint = f"; did you mean {near!r}?" if (near := _near_place(place)) else ""
        yield "geo_location", f"{place!r} is neither a continent nor in INSDC's list of countries{hint}"


def _state(text: str, by_code: bool = True) -> str:
    """` with usa_state: CA` where the text is a US state."""
    for code, name in USA_STATES.items():
        if text.casefold() == name.casefold() or (by_code and text == code):
            return f" with usa_state: {code}"
    return ""


@cache
def _places() -> dict[str, str]:
    """Countries and continents as NCBI writes them, by their names in lower case."""
    names = {name for country, continent, *_ in data_table("places.tsv") for name in (country, continent) if name}
    return {name.casefold(): name for name in sorted(names)}


@cache
def _near_place(text: str) -> str | None:
    """The place that was perhaps meant: `Viet Nam` for Vietnam."""
    without_accents = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    folded = without_accents.casefold()
    if meant := dict(data_table("place_synonyms.tsv")).get(folded):
        return meant
    near = difflib.get_close_matches(folded, _places(), n=1, cutoff=0.75)
    # `Republic of Ghana`: no word like it, but the name is there.
    near += sorted((name for name in _places() if re.search(rf"\b{re.escape(name)}\b", folded)), key=len, reverse=True)
    return _places()[near[0]] if near else None
