"""A night in words: what chat, ping, mail, terminal and log say of it, in one place."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any

from batchsum.model.queries import DOUBTFUL
from batchsum.notify.news import MOST_PROBLEMS, News
from batchsum.store.failures import in_one_line
from batchsum.text import counted

FIRST_NIGHT = "first night, nothing to compare"
MOST_TAXA = 12
"""Taxa whose problems are told; the page and the table have them all."""
_MOST_SETS = 3
_MOST_CHANGES = 20
"""Changes in a message; changes.csv has them all."""
_in_short = partial(shorten, width=160, placeholder=" …")
"""Cut between words only: half of a number would be another number."""


def message(news: News) -> str:
    """The run in a few lines, its heaviest changes included, as a chat shows it."""
    lines = [f"batchsum {summary_line(news)}"]
    lines += [f"• {change_in_words(change, news.names)}" for change in news.changes[:_MOST_CHANGES]]
    if (more := news.change_count - _MOST_CHANGES) > 0:
        lines.append(f"… and {more:,} more")
    # On a first night nothing is a change yet, but somebody should know what does not work. Where there is no table,
    # one row tells for all of them.
    shown = MOST_TAXA if news.first_night else 1 if news.reason else 0
    lines += [f"• {status}: {words}" for status, words in islice(problem_lines(news), shown)]
    lines += [f"• {warning}" for warning in news.warnings if warning.startswith("incomplete:")]
    if news.change_count:
        lines.append(str(Path(news.directory) / "changes.csv"))
    # Chat programs read these three: a label must not call a whole channel.
    return "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def summary_line(news: News) -> str:
    """`respiratory, night of 2026-11-23: 3 of 150 rows have no count to rely on, new tonight; 5 changes`."""
    if news.reason:
        return verdict(news)
    changes = counted(news.change_count, "change") if news.change_count else "nothing new"
    return f"{verdict(news)}; {FIRST_NIGHT if news.first_night else changes}"


def verdict(news: News) -> str:
    """The first question in the morning, whether the night can be relied on, and the second: is that new?"""
    whose = news.job + (f", night of {news.night}" if news.night else "")
    if news.reason:
        return f"{whose}: no new table (exit code {news.exit_code}): {news.reason}"
    rows, doubtful = counted(sum(news.counts.values()), "row"), sum(news.counts[status] for status in DOUBTFUL)
    if not doubtful:
        held = any(warning.startswith("incomplete:") for warning in news.warnings)
        answered = "answered" if rows == "1 row" else "all answered"
        return f"{whose}: {rows}, {answered}{', but a download of yours is incomplete' if held else ''}"
    new = news.new_problem_count
    age = f"{new:,} of them new tonight" if 0 < new < doubtful else _since(news.problems, news.night)
    return f"{whose}: {doubtful:,} of {rows} {'has' if doubtful == 1 else 'have'} no count to rely on, {age}"


def problem_lines(news: News) -> Iterator[tuple[str, str]]:
    """Status and words of what cannot be relied on, a line for each taxon and reason, the worst taxa first."""
    of_taxon: dict[str, dict[tuple[str, str], list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for problem in news.problems:
        of_taxon[problem["taxon"]][problem["status"], problem["reason"]].append(problem)
    is_told = not news.reason and len({problem["since"] for problem in news.problems}) == 1  # by the verdict
    for taxon, lines in islice(of_taxon.items(), MOST_TAXA):
        for (status, _), rows in lines.items():
            error, named = in_one_line([(row["filter_set"], row["error"]) for row in rows])
            line = f"{news.names.get(taxon, taxon)} / {_few(named.pop(''))}: {_in_short(error)}"
            line += "".join(f"; {words}{_few(sets)}" for words, sets in named.items())
            yield status, line if is_told else f"{line}; {_since(rows, news.night)}"
    if (more := len(of_taxon) - MOST_TAXA) > 0:
        least = "at least " if len(news.problems) == MOST_PROBLEMS else ""  # of the rows beyond nobody knows the taxa
        yield "", f"and {least}{counted(more, 'more taxon', 'more taxa')}"


def change_in_words(change: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`fell: MERS (1335626) / all: 3,000 → 2,900 (-3.3 %)`; `names` are those of the taxa, by the column `taxon`."""
    counts, share = movement(change)
    why = f"; {_in_short(change['error'])}" if change["error"] else ""
    return f"{change['change'].replace('_', ' ')}: {row_name(change, names)}: {counts}{share and f' ({share})'}{why}"


def movement(change: Mapping[str, Any]) -> tuple[str, str]:
    """`3,000 → 2,900` and `-3.3 %`, no power of ten; the latter is empty where there is nothing to divide by."""
    counts = (change["previous_record_count"], change["record_count"])
    before, now = ("none" if count is None else f"{count:,}" for count in counts)
    if (percent := change["change_percent"]) is None:
        return f"{before} → {now}", ""
    return f"{before} → {now}", "<0.1 %" if 0 < abs(percent) < 0.1 else f"{percent:+,.10g} %"


def row_name(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`MERS (1335626) / all`."""
    return f"{names.get(row['taxon'], row['taxon'])} / {row['filter_set']}"


def counts_in_words(counts: Mapping[str, int]) -> str:
    """`2 became suspect, 1 grew`, of counts by status or by word of changes.csv."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def _few(sets: Collection[str]) -> str:
    more = f" and {len(sets) - _MOST_SETS} more" if len(sets) > _MOST_SETS else ""
    return ", ".join(islice(sets, _MOST_SETS)) + more


def _since(problems: Sequence[Mapping[str, Any]], night: str) -> str:
    since = min((problem["since"] for problem in problems), default=night)
    return "new tonight" if since == night else f"since {since}"
