"""The tables of configs/README.md, made from the code: the keys of a job file and the columns of the two tables.

`python -m tests.builders.reference_tables` writes them into the page; test_docs tells when that was forgotten.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from batchsum.config.schema import API, FILTER_SET, GUARDS, HOLDING, HOLDINGS, JOB, NOTIFY, OUTPUT, TAXON_ENTRY, WINDOWS
from batchsum.output.table import CHANGED, HELD, SUMMARY, Column, count_columns

PAGE = Path(__file__).parents[2] / "configs/README.md"

_SECTIONS = {
    "job keys": ("", JOB),
    "taxon keys": ("", TAXON_ENTRY),
    "filter keys": ("", FILTER_SET),
    "windows keys": ("windows.", WINDOWS),
    "api keys": ("api.", API),
    "output keys": ("output.", OUTPUT),
    "guard keys": ("guards.", GUARDS),
    "holdings keys": ("holdings.", HOLDINGS),
    "file keys": ("", HOLDING),
    "notify keys": ("notify.", NOTIFY),
}
_FORMS = {
    "version": "`1`",
    "taxa": "list, see below",
    "usa_state": "as `CA`",
    "requests_per_second": "`auto`, `unlimited` or a number",
    "released_between": "list of two dates",
}


def tables() -> dict[str, str]:
    """The text of each table, by the name it has in the page."""
    found = {}
    for name, (prefix, shape) in _SECTIONS.items():
        found[name] = _table(["key", "value", "meaning"], _keys(prefix, shape.schema()["properties"]))
    found["summary columns"] = _table(["column", "type", "meaning"], map(_column, _folded(SUMMARY)))
    found["held columns"] = _table(["column", "type", "meaning"], map(_column, HELD))
    found["changes columns"] = _table(["column", "type", "meaning"], map(_column, CHANGED))
    found["counts columns"] = _table(["column", "type", "meaning"], map(_column, count_columns(["SET"])))
    return found


def _table(header: list[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _keys(prefix: str, properties: dict[str, Any]) -> Iterator[list[str]]:
    for name, schema in properties.items():
        yield [f"`{prefix}{name}`", _FORMS.get(name) or _form(schema), _words(schema["description"])]


def _form(schema: dict[str, Any]) -> str:
    """How a value is written, in a few words."""
    if "anyOf" in schema:
        one, *rest = (choice for choice in schema["anyOf"] if choice.get("type") != "null")
        return f"{_form(one)}, or a list" if rest else _form(one)
    kinds = schema.get("type", [])
    kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    if "boolean" in kinds:
        return "`true` or `false`"
    if "enum" in schema:
        return " ".join(f"`{one}`" for one in schema["enum"] if one is not None)
    if "array" in kinds:
        return f"list of {_form(schema['items'])}"
    if "integer" in kinds and "minimum" in schema:
        return f"{schema['minimum']:,} to {schema['maximum']:,}"
    if "[smhdw]" in schema.get("pattern", ""):
        return "duration"
    if "%" in schema.get("pattern", ""):
        return "as `20%`"
    if "examples" in schema:
        return " or ".join(f"`{one}`" for one in schema["examples"])
    return "mapping, see below" if kinds == ["object"] else "text"


def _folded(columns: Iterable[Column]) -> Iterator[Column]:
    """The nine kinds of files as two lines."""
    told = set()
    for column in columns:
        kind = re.fullmatch(r"(\w+)_(file_count|size_mb)", column.name)
        if kind is None or column.name.startswith(("hydrated", "dehydrated")):
            yield column
        elif kind[2] not in told:
            told.add(kind[2])
            words = {"file_count": "Files of this kind in the download", "size_mb": "Their size in MB"}[kind[2]]
            kinds = ", ".join(f"`{one}`" for one in _file_kinds(columns))
            yield Column(
                f"KIND_{kind[2]}", f"{words}{'; KIND is one of ' + kinds if len(told) == 1 else ''}.", column.kind
            )


def _file_kinds(columns: Iterable[Column]) -> list[str]:
    return [one.name.removesuffix("_file_count") for one in columns if one.name.endswith("_file_count")]


def _column(column: Column) -> list[str]:
    kind = "yes" if column.kind == "boolean" else column.kind
    return [f"`{column.name}`", kind, _words(column.about)]


def _words(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return text.replace("|", "\\|").replace("<", "\\<")


def filled(page: str) -> str:
    """The page with its tables as they should be."""
    for name, text in tables().items():
        mark = f"<!-- {name} -->"
        assert page.count(mark) == 1, f"{mark} must stand once in the page"
        before, _, after = page.partition(mark)
        rest = re.sub(r"\A\s*(\|[^\n]*\n)*\s*", "", after)
        page = f"{before}{mark}\n{text}\n\n{rest}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
