"""The page itself: what may run in it is named by its hash, and whatever came from a job or from NCBI is text.

The rows are drawn once, here. Its script only sorts, filters and pages through them, so what is read without a
script, printed or searched is the same table.
"""

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from markupsafe import Markup, escape

from batchsum.atomic import replace_file
from batchsum.output.changes import change_percent
from batchsum.output.files import PAGE
from batchsum.output.report import plots
from batchsum.output.report.digest import advice, digest
from batchsum.output.report.night import ReportNight, ReportRow
from batchsum.store.failures import in_one_line
from batchsum.text import counted, spoken

if TYPE_CHECKING:
    from jinja2 import Environment

WHOLE_TABLE = 2_000
"""Rows up to which the table stands in one piece; longer ones are paged through by the script."""
ROWS_A_PAGE = 500
"""Rows on each page of a longer table."""

_FOLDER = Path(__file__).parent
_LEAST_PERCENT = Decimal("0.1")
_STATUS_LETTERS = {"ok": "", "empty": "", "suspect": "s", "rejected": "r", "failed": "f", "skipped": "k"}
"""As page.js reads them in the nights of a row."""


def replace_page(directory: Path, night: ReportNight) -> None:
    """Put the page of `night` in the place of the one in `directory`."""
    replace_file(directory / PAGE, "".join(render_page(night)).encode(errors="xmlcharrefreplace"))


def write_report(path: Path, night: ReportNight) -> None:
    """Write the page of `night` to `path`, a piece at a time. The same night gives the same bytes."""
    # A lone surrogate (JSON may carry one) has no UTF-8; it becomes a reference that a browser shows as unknown.
    with path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file:
        file.writelines(render_page(night))


def render_page(night: ReportNight) -> Iterator[str]:
    """The page of `night`, in pieces of some kilobytes."""
    drawn, filters = list[str](), dict[str, int]()
    # The digest stands above the table, so its one walk through the rows comes first; they are drawn as they pass.
    facts = digest(replace(night, rows=_drawing(night, drawn, filters)))
    rows = iter(drawn)
    page_size = ROWS_A_PAGE if facts.row_count > WHOLE_TABLE else WHOLE_TABLE
    script = f'"use strict";\n(() => {{\n{_text("trend.js")}{_text("page.js")}}})();\n'
    template = _environment().get_template("page.html.j2")
    stream = template.stream(
        night=night,
        facts=facts,
        style=_text("page.css"),
        script=script,
        usual_days=_usual_days(night),
        host=_host(night.manifest["base_url"]),
        first_rows=islice(rows, page_size),
        more_rows=rows,  # the same iterator: it goes on where first_rows stopped
        filter_texts=filters,
        files=[name for name in night.manifest["files"] if name != PAGE],
        holdings=night.manifest.get("holdings", {}).get("files"),
        left_out=facts.row_count - len(drawn),
        page_size=page_size,
    )
    stream.enable_buffering(200)  # else each expression of the template would be a piece, and a write, of its own
    return iter(stream)


def _drawing(night: ReportNight, drawn: list[str], filters: dict[str, int]) -> Iterator[ReportRow]:
    """The rows of `night`; those that the page carries are put into `drawn` as they pass.

    `filters` is filled with the texts of their filters, numbered: many rows share a few.
    """
    draw = _environment().get_template("row.html.j2").module.table_row  # type: ignore[attr-defined]
    for row in night.rows:
        if row.is_carried:
            drawn.append(draw(row, filters, night))
        yield row


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name fails here, and is no empty place on the page
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        grouped=grouped, difference=difference, day=day, advice=advice,
        night_steps=night_steps, clock=clock, took=took, counted=counted, urlquote=lambda name: quote(name, safe=""),
        soft=soft, acceptance=acceptance, csp_hash=csp_hash,
        in_one_line=lambda rows: in_one_line([(row.kept.filter_set, row.kept.error) for row in rows]),
    )  # fmt: skip
    environment.globals.update(plots=plots)
    return environment


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _usual_days(night: ReportNight) -> int:
    """Days between this night and the one before; 1 where there was none."""
    before = night.previous_date or night.date
    return max((date.fromisoformat(night.date) - date.fromisoformat(before)).days, 1)


def _host(base_url: str) -> str:
    try:
        return urlsplit(base_url).hostname or base_url
    except ValueError:
        return base_url


# The template's filters: numbers, dates and words as the page shows them. What nobody gave is an empty text.


def csp_hash(text: str) -> str:
    """By which the page's policy names the one script and the one style that may run in it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def grouped(number: float | None) -> str:
    return "" if number is None else f"{number:,}"


def difference(row: ReportRow) -> Markup:
    """The change of a row, and how much that is in percent as changes.csv has it, each with its sign and a true minus;
    what nobody would see is little."""
    change, share = row.kept.record_count_change, change_percent(row.kept)
    if not change:
        return Markup("" if change is None else "0")
    words = f"{change:+,}"
    if share:  # none where there were no records before
        percent = f"{share:+,f} %" if abs(share) >= _LEAST_PERCENT else f"<{_LEAST_PERCENT} %"
        words += f" <small>{escape(percent)}</small>"
    return Markup(words.replace("-", "\N{MINUS SIGN}"))


@lru_cache  # few filter sets, many rows
def soft(text: str) -> Markup:
    """The text, which may break behind what names of filter sets are joined with."""
    return Markup(re.sub(r"([_=/;])(?=.)", r"\1<wbr>", str(escape(text))))


def acceptance(rows: Sequence[ReportRow], directory: str) -> str:
    """The command that accepts these rows of a taxon; empty where there is nothing that could be."""
    names = [
        f"{row.kept.taxon}/{row.kept.filter_set}"
        for row in rows
        if row.kept.record_count is not None or row.kept.reason == "refused"
    ]
    command = shlex.join(["batchsum", "accept", directory, *dict.fromkeys(names)])
    return command if names and directory and command.isprintable() else ""


def day(text: str) -> str:
    """The date of a date or date-time; other text as it is."""
    return text[:10] if len(text) > 10 and text[4:5] == text[7:8] == "-" else text


def clock(text: str) -> str:
    """`03:00` of `2026-11-26T03:00:05Z`."""
    return text[11:16]


def night_steps(row: ReportRow) -> str:
    """The nights of a row for the script: for each the letter of its status and the step from the last count."""
    steps, last = [], 0
    for count, status in zip(row.nightly_counts, row.nightly_statuses, strict=True):
        # The step is mostly shorter than the count, and the page has many of them.
        letter = _STATUS_LETTERS.get(status, "")
        steps.append(letter if count is None else f"{letter}{count - last}")
        last = last if count is None else count
    return ",".join(steps)


def took(manifest: Mapping[str, Any]) -> str:
    """How long the run took; empty where the times cannot be read."""
    try:
        began, ended = map(datetime.fromisoformat, (manifest["started_at"], manifest["finished_at"]))
        seconds = (ended - began).total_seconds()
    except (ValueError, TypeError):  # no times, or one with a time zone and one without
        return ""
    return spoken(seconds) if seconds >= 0 else ""
