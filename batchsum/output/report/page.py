"""The page itself: what may run in it is named by its hash, and whatever came from a job or from NCBI is text.

The rows are drawn once, here. Its script only sorts, filters and pages through them, so what is read without a
script, printed or searched is the same table.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from heapq import merge
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from batchsum.output.report import plots
from batchsum.output.report.digest import advice, digest, headline, is_noteworthy, subline
from batchsum.output.report.night import Night, ReportRow
from batchsum.text import counted, spoken

if TYPE_CHECKING:
    from jinja2 import Environment


WHOLE_TABLE = 2_000
"""Rows up to which the table stands in one piece; longer ones are paged through by the script."""
PAGE = 500
"""Rows on each page of a longer table."""
MOST_ROWS = 20_000
"""Rows the page carries, a size that a browser opens at once; of a longer table those in trouble and those that changed
come before the quiet ones."""

_FOLDER = Path(__file__).parent
_ICONS = {"good": "#1a7f4b", "look": "#b26a00", "bad": "#b3261e"}


def write_report(path: Path, night: Night) -> None:
    """Write the page of `night` to `path`, a piece at a time. The same night gives the same bytes."""
    # A lone surrogate (JSON may carry one) has no UTF-8; it becomes a reference that a browser shows as unknown.
    with path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file:
        file.writelines(render(night))


def render(night: Night) -> Iterator[str]:
    """The page of `night`, in pieces of some kilobytes."""
    table = _Table()
    facts = digest(replace(night, rows=table.drawn(night.rows)))
    rows = table.close()
    first = facts.row_count if facts.row_count <= WHOLE_TABLE else PAGE
    style = _text("page.css")
    script = f'"use strict";\n(() => {{\n{_text("trend.js")}{_text("page.js")}}})();\n'
    stream = (
        _environment()
        .get_template("page.html.j2")
        .stream(
            night=night,
            facts=facts,
            headline=headline(facts),
            subline=subline(facts, night),
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            icon=_icon(facts.mood),
            host=_host(night.base_url),
            first_rows=islice(rows, first),
            more_rows=rows,
            filter_texts=table.filters,
            left_out=max(facts.row_count - MOST_ROWS, 0),
            page_size=PAGE if facts.row_count > WHOLE_TABLE else WHOLE_TABLE,
        )
    )
    stream.enable_buffering(200)
    return iter(stream)


class _Table:
    """The rows that the page carries, drawn as they pass: at most MOST_ROWS, the noteworthy before the quiet."""

    def __init__(self) -> None:
        self.filters: dict[str, int] = {}
        """Texts of the rows' filters, numbered."""
        self._noteworthy: list[tuple[int, str]] = []
        self._quiet: list[tuple[int, str]] = []

    def drawn(self, rows: Iterable[ReportRow]) -> Iterator[ReportRow]:
        for position, row in enumerate(rows):
            mine = self._noteworthy if is_noteworthy(row) else self._quiet
            if len(self._noteworthy) + len(self._quiet) < MOST_ROWS:
                mine.append((position, self._draw(row)))
            elif mine is self._noteworthy and self._quiet:
                self._quiet.pop()
                mine.append((position, self._draw(row)))
            yield row

    def close(self) -> Iterator[str]:
        """The rows in job order."""
        return (drawn for _, drawn in merge(self._noteworthy, self._quiet))

    def _draw(self, row: ReportRow) -> str:
        return table_row(row, lambda text: self.filters.setdefault(text, len(self.filters)))


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        grouped=grouped, signed=signed, percent=percent, day=day, words=words, advice=advice,
        clock=clock, took=took, counted=counted, urlquote=lambda name: quote(name, safe=""),
    )  # fmt: skip
    environment.globals.update(known_as=known_as, sparkline=sparkline, plots=plots)
    return environment


def _host(base_url: str) -> str:
    try:
        return urlsplit(base_url).hostname or base_url
    except ValueError:
        return base_url


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _icon(mood: str) -> str:
    """A dot in the tab's title; an address of its own, so that no browser asks a server for one."""
    dot = f"<circle cx='4' cy='4' r='4' fill='{_ICONS[mood]}'/>"
    return "data:image/svg+xml," + quote(f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'>{dot}</svg>")


def clock(text: str) -> str:
    """`03:00` of an ISO 8601 time; other text as it is."""
    moment = _moment(text)
    return f"{moment:%H:%M}" if moment else text


def took(night: Night) -> str:
    """How long the run took; empty where the times cannot be read."""
    began, ended = _moment(night.started_at), _moment(night.finished_at)
    try:
        seconds = (ended - began).total_seconds() if began and ended else -1.0
    except TypeError:
        return ""
    return spoken(seconds) if seconds >= 0 else ""


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


# One row of the page's table as markup. Every text in it is escaped here, as the template escapes the rest. A
# template that is called once for each of 20,000 rows takes four times as long.


_LETTERS = {"ok": "", "empty": "", "suspect": "s", "rejected": "r", "failed": "f", "skipped": "k"}


def table_row(row: ReportRow, filter_number: Callable[[str], int]) -> str:
    """`row` as an element; `filter_number` is where the text of its filters stands among those of the page."""
    updated, share = day(row.resource_updated_on), percent(row)
    return (
        f'<tr class="{escape(row.status)}"{_data(row, filter_number)}><td><th scope="row">{known_as(row)}'
        f"<td><bdi>{escape(row.filter_set)}</bdi><td>{escape(row.status)}<td>{grouped(row.record_count)}"
        f"<td>{signed(row.record_count_change)}{f' <small>{escape(share)}</small>' if share else ''}"
        f"<td>{sparkline(row)}"
        f"<td{_attribute('v', row.resource_updated_on if updated != row.resource_updated_on else '')}>{escape(updated)}"
        f"<td>{grouped(row.size_mb)}<td>{_remarks(row)}</tr>\n"
    )


def known_as(row: ReportRow) -> str:
    """The label and, beside it, the taxon; where both are the same, that is for the script alone."""
    if not row.label:
        return f"<bdi>{escape(row.taxon)}</bdi>"
    hidden = " hidden" if row.label == row.taxon else ""
    return f"<bdi>{escape(row.label)}</bdi> <small{hidden}>{escape(row.taxon)}</small>"


def sparkline(row: ReportRow) -> str:
    if len(row.nightly_counts) < 2:
        return ""
    return plots.sparkline(row.nightly_counts, row.nightly_statuses)


def command(row: ReportRow) -> str:
    """NCBI's command for a shell, unless it holds what cannot be seen: a line's end or a turn of direction."""
    return row.download_command if row.download_command.isprintable() else ""


def history(row: ReportRow) -> str:
    """The nights of a row for the script: for each the letter of its status and the step from the last count."""
    told, last = [], 0
    for count, status in zip(row.nightly_counts, row.nightly_statuses, strict=True):
        letter = _LETTERS.get(status, "")
        if count is None:
            told.append(letter)
            continue
        told.append(f"{letter}{count - last}")
        last = count
    return ",".join(told)


def _data(row: ReportRow, filter_number: Callable[[str], int]) -> str:
    """What the script shows of an opened row."""
    data = _attribute("h", history(row)) if row.nightly_counts else ""
    if row.filters:
        data += f' data-f="{filter_number(row.filters)}"'
    if row.previous_record_count is not None:
        data += f' data-b="{row.previous_record_count}"'
    data += _attribute("c", command(row)) + _attribute("m", "\n".join(row.messages))
    return data if row.is_believed else data + _attribute("p", " ".join(row.phids))


def _attribute(name: str, text: str) -> str:
    return f' data-{name}="{escape(text)}"' if text else ""


def _remarks(row: ReportRow) -> str:
    remarks = ""
    if row.change and not row.is_believed and row.change != "new":
        remarks = f"<i{_attribute('w', row.change)}>new tonight</i>"
    elif row.change:
        remarks = f"<i>{escape(words(row.change))}</i>"
    if row.error:
        remarks += f"<b>{escape(row.error)}</b>"
    return remarks


# Numbers, dates and words as the page shows them. Null is never zero: what nobody gave is an empty text.


def grouped(number: float | None) -> str:
    return "" if number is None else f"{number:,}"


def signed(number: int | None) -> str:
    """With its sign and a true minus, `0` for zero."""
    if not number:
        return "" if number is None else "0"
    return f"+{number:,}" if number > 0 else f"\N{MINUS SIGN}{-number:,}"


def percent(row: ReportRow) -> str:
    """The size of the change; its sign stands before it."""
    change, previous = row.record_count_change, row.previous_record_count
    if not change or not previous:
        return ""
    share = 100 * abs(change) / previous
    if share < 0.05:
        return "<0.1 %"
    return f"{share:,.1f} %" if share < 1000 else f"{share:,.0f} %"


def day(text: str) -> str:
    """The date of a date or date-time; other text as it is."""
    return text[:10] if len(text) > 10 and text[4:5] == text[7:8] == "-" else text


def words(name: str) -> str:
    return name.replace("_", " ")
