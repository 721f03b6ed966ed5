"""Reads a report as a browser without scripts would: its rows, its scripts, its policy."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from batchsum.output.report.night import ReportNight
from batchsum.output.report.page import render_page

_VOID = {"meta", "link", "input", "col", "br", "wbr"}


@dataclass
class Cell:
    text: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    """Text of the elements inside, by name; the first of each."""
    attributes: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Row:
    attributes: dict[str, str | None]
    cells: list[Cell] = field(default_factory=list)


class Page(HTMLParser):
    def __init__(self, night: ReportNight) -> None:
        super().__init__(convert_charrefs=True)
        self.source = "".join(render_page(night))
        self.rows: list[Row] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        """Every script and style: name, attributes, content."""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside_rows = False
        self._inside_row = False
        self._part = ""
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag in ("script", "style"):
            self.raw.append((tag, attributes, ""))
        if attributes.get("id") in ("rows", "more"):
            self._inside_rows = True
        elif self._inside_rows and tag == "tr":
            self.rows.append(Row(attributes))
            self._inside_row = True
        elif self._inside_rows and tag in ("td", "th"):
            self.rows[-1].cells.append(Cell(attributes=attributes))
        elif self._inside_rows and tag not in _VOID:
            self._part = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("tbody", "template"):
            self._inside_rows = False
        self._inside_row = self._inside_row and tag != "tr"
        if tag == self._part:
            self._part = ""

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style") and self.cdata_elem:
            name, attributes, text = self.raw[-1]
            self.raw[-1] = (name, attributes, text + data)
            return
        self.text += data
        if self._inside_row and self.rows[-1].cells:
            cell = self.rows[-1].cells[-1]
            cell.text += data
            if self._part:
                cell.parts[self._part] = cell.parts.get(self._part, "") + data

    def attribute(self, tag: str, name: str, **wanted: str) -> Any:
        """The attribute of the first such element."""
        for element, attributes in self.elements:
            if element == tag and all(attributes.get(key.replace("_", "-")) == value for key, value in wanted.items()):
                return attributes[name]
        raise LookupError(tag)
