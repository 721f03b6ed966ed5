"""One row of the page's table as markup. Every text in it is escaped here, as the template escapes the rest.

A template that is called once for each of 20,000 rows takes four times as long.
"""

from collections.abc import Callable
from html import escape

from batchsum.output.report import plots
from batchsum.output.report.night import ReportRow
from batchsum.report.numbers import day, grouped, percent, signed, words

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
    if row.stale_days is not None:
        remarks += f"<em>nothing newer for {grouped(row.stale_days)} days</em>"
    return remarks
