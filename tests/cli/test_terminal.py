"""What people see: the live line, the closing summary, and the line of a file that a problem is about."""

import io
import json
import re
from collections import deque
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from batchsum.cli import progress
from batchsum.cli.progress import Progress
from batchsum.cli.terminal import excerpt, failure_block, hide, print_closing, with_excerpts
from batchsum.config.load import load_job
from batchsum.errors import Problem
from batchsum.ncbi.outage import Waiting
from batchsum.run.night import run_job
from batchsum.run.outcome import Outcome
from tests.fakes.scripted_ncbi import Question, ScriptedNcbi, scripted_ncbi
from tests.fakes.terminal_window import in_window

JOB = """\
version: 1
taxa:
  - {taxon: 11320, label: Influenza A}
  - {taxon: 11520, label: "[red]Influenza B[/]"}
  - 1335626
filter_sets: {all: {}, human: {host: human}}
api: {requests_per_second: unlimited}
"""

# The live line


def looked_on(done: int = 0, before: int = 0, total: int = 100) -> tuple[Progress, Any]:
    store = SimpleNamespace(count_answers=lambda run: before)
    fetcher = SimpleNamespace(
        done=done,
        is_comparing=False,
        compared=0,
        night=SimpleNamespace(
            plan=SimpleNamespace(request_count=total), run=SimpleNamespace(base_url="https://e.org/v2"), store=store
        ),
        client=SimpleNamespace(pacer=SimpleNamespace(rate=10.0, held_until=-1.0), outage=SimpleNamespace(waiting=None)),
    )
    looking = Progress("watch")
    looking.watch(fetcher)
    return looking, fetcher


def line_of(
    done: int, total: int, rate: float | None, limit: float | None = 10.0, *, held: float = 0.0, width: int = 100
) -> str:
    looking, fetcher = looked_on(done, total=total)
    looking._rate = lambda now, done: rate  # type: ignore[method-assign]
    fetcher.client.pacer = SimpleNamespace(rate=limit, held_until=1000.0 + held)
    line, waits = looking.line(width, 1000.0)
    assert waits == bool(held)
    return line


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (100, "watch  4,512/5,000  90 %  9.8/s of 10  50 s left"),
        (47, "4,512/5,000  90 %  9.8/s of 10  50 s left"),
        (30, "4,512/5,000  90 %  50 s left"),
        (24, "4,512/5,000  50 s left"),
        (12, "4,512/5,000"),
        (8, ""),
        (0, ""),
    ],
)
def test_a_narrow_window_keeps_what_matters_most(width: int, line: str) -> None:
    assert line_of(4512, 5000, 9.8, width=width) == line


@pytest.mark.parametrize(
    ("drawn", "line"),
    [
        (line_of(3, 10, None), "watch  3/10  30 %"),
        (line_of(3, 10, 5.0, None), "watch  3/10  30 %  5.0/s  1 s left"),
        (line_of(3, 10, 0.0), "watch  3/10  30 %  0.0/s of 10"),
        (line_of(3, 10, 5.0, held=12.4), "watch  3/10  30 %  held, 12 s more"),
        (line_of(10, 10, 5.0), "watch  10/10  100 %  judging"),
        (line_of(14, 10, 5.0), "watch  10/10  100 %  asking again: 4"),
        (line_of(0, 0, None, None), "watch  0/0  100 %  judging"),
        (line_of(9_999, 10_000, 5.0), "watch  9,999/10,000  99 %  5.0/s of 10  1 s left"),
    ],
)
def test_the_line_says_what_is_waited_for(drawn: str, line: str) -> None:
    assert drawn == line


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0, 1000), st.integers(0, 200))
def test_the_line_fits_every_window(done: int, more: int, rate: float, width: int) -> None:
    assert len(line_of(done, done + more, rate, width=width)) <= width


def test_the_rate_is_that_of_the_last_seconds() -> None:
    looking, fetcher = looked_on()
    rates = []
    for second in range(60):
        fetcher.done = 10 * second if second < 30 else 300 + 2 * (second - 30)
        rates.append(looking._rate(1000.0 + second, fetcher.done))
    assert rates[0] is None
    assert rates[29] == pytest.approx(10.0)
    assert rates[59] == pytest.approx(2.0)
    assert isinstance(looking._seen, deque)
    assert len(looking._seen) <= progress.WINDOW + 3


def test_what_compares_holdings_is_not_asked_again() -> None:
    looking, fetcher = looked_on()
    fetcher.done, fetcher.is_comparing = 107, True
    assert looking.line(100, 0.0) == ("watch  100/100  100 %  comparing what you hold", False)
    fetcher.done, fetcher.is_comparing, fetcher.compared = 122, False, 22
    assert looking.line(100, 0.0) == ("watch  100/100  100 %  judging", False)
    fetcher.done = 125
    assert looking.line(100, 0.0) == ("watch  100/100  100 %  asking again: 3", False)


def test_answers_of_an_earlier_process_count_as_done() -> None:
    looking, fetcher = looked_on(before=40)
    fetcher.done = 50
    assert looking.line(100, 0.0) == ("watch  90/100  90 %", False)
    fetcher.done = 63
    assert looking.line(100, 0.0) == ("watch  100/100  100 %  asking again: 3", False)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (200, "watch  0/100  0 %  no answer from e.org through the proxy proxy.example.org:3128"
              "  connection: refused  next try in 20 s  gives up in 28 min 00 s"),
        (90, "0/100  no answer from e.org through the proxy proxy.example.org:3128"),
        (12, "0/100"),
    ],
)  # fmt: skip
def test_the_line_says_who_does_not_answer_and_until_when(
    width: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example.org:3128")
    looking, fetcher = looked_on()
    fetcher.client.outage.waiting = Waiting("connection: refused", 1020.0, 2680.0)
    assert looking.line(width, 1000.0) == (line, True)


def test_the_line_says_what_a_server_answers_that_is_no_use() -> None:
    looking, fetcher = looked_on()
    fetcher.client.outage.waiting = Waiting("http_404: does the base URL end in /datasets/v2?", 1020.0, 2680.0)
    line = "0/100  errors from e.org  http_404: does the base URL end in /datasets/v2?"
    assert looking.line(79, 1000.0) == (line, True)


def test_before_anything_is_asked_there_is_no_line() -> None:
    assert Progress("watch").line(100) == ("", False)


@pytest.fixture
def ncbi() -> Any:
    with scripted_ncbi(otherwise=narrower) as server:
        yield server


def write_job(directory: Path, text: str = JOB) -> Path:
    path = directory / "watch.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def slow(question: Question) -> float:
    return 0.4


def narrower(question: Question) -> dict[str, object]:
    """A thousand records, under a filter fewer."""
    return {"record_count": 1000 - 100 * len(question.parameters)}


def test_a_window_shows_the_line_and_then_the_summary(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    ncbi.delay = slow
    drawn = in_window(
        ["run", str(write_job(tmp_path)), "--base-url", ncbi.base_url, "--workers", "2"], pipe_stdout=True
    )
    assert drawn.code == 0
    counts = [int(found[1]) for line in drawn.lines if (found := re.match(r"watch  (\d)/6  \d+ %", line))]
    assert counts == sorted(counts)
    assert {0, 2, 4} & set(counts)
    assert drawn.stdout == ""
    summary = [line.strip() for line in drawn.lines[-5:]]
    assert re.fullmatch(r"watch, night of 2[\d-]+: 6 rows, all answered", summary[0])
    assert re.fullmatch(r"6 ok; \d+ s", summary[1])
    assert summary[3].startswith(f"files  {tmp_path}/out/watch/  summary.csv changes.csv")
    assert drawn.has_colour


@pytest.mark.parametrize("columns", [20, 45])
def test_a_narrow_window_is_never_overrun(columns: int, ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    ncbi.delay = slow
    drawn = in_window(["run", str(write_job(tmp_path)), "--base-url", ncbi.base_url], columns=columns)
    assert any(line.startswith(("0/6", "watch  0/6")) for line in drawn.lines)
    assert all(
        len(line) <= columns for line in drawn.lines if not line.startswith(("watch, night of ", "  files ", "  page "))
    )


def test_no_color_is_obeyed(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    ncbi.delay = slow
    drawn = in_window(["run", str(write_job(tmp_path)), "--base-url", ncbi.base_url], NO_COLOR="1")
    assert "6 ok" in drawn.raw
    assert not drawn.has_colour


@pytest.mark.parametrize("words", [["--progress", "never"], ["--quiet"], ["--verbose"]])
def test_nothing_moves_where_nobody_wants_it(words: list[str], ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    drawn = in_window(["run", str(write_job(tmp_path)), "--base-url", ncbi.base_url, *words])
    assert drawn.code == 0
    assert "\x1b[?25l" not in drawn.raw
    assert ("6 ok" in drawn.raw) is ("--quiet" not in words)


def test_a_dumb_terminal_gets_no_codes(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    drawn = in_window(["run", str(write_job(tmp_path)), "--base-url", ncbi.base_url], TERM="dumb")
    assert "6 ok" in drawn.raw
    assert "\x1b" not in drawn.raw


def test_always_into_a_file_is_lines(
    ncbi: ScriptedNcbi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from batchsum.cli import main

    ncbi.delay = slow
    monkeypatch.setattr(progress, "SECONDS_A_LINE", 0.05)
    assert main(["run", str(write_job(tmp_path)), "--base-url", ncbi.base_url, "--progress", "always"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(r"(watch  \d/6  \d+ %.*\n)+", told.err)


def test_a_window_that_is_closed_stops_no_night(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("gone")

    job = load_job(write_job(tmp_path))
    drawing = Console(file=Closed(), force_terminal=True)
    with progress.live("watch", drawing) as looking:
        outcome = run_job(job, base_url=ncbi.base_url, on_asking=looking.watch)
    print_closing(outcome, tmp_path / "log", console=drawing)
    assert outcome.counts["ok"] == 6


# The closing summary


def summary_of(outcome: Outcome, width: int = 120) -> list[str]:
    shown = io.StringIO()
    print_closing(outcome, Path("watch.log"), Console(file=shown, width=width, markup=False))
    return shown.getvalue().splitlines()


@pytest.fixture
def second_night(ncbi: ScriptedNcbi, tmp_path: Path) -> Outcome:
    job = load_job(write_job(tmp_path))
    run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 22))
    ncbi.answers = {
        "11320": {"record_count": 1250},
        "11320?host=human": {"record_count": 3},
        "11520": {"record_count": 990},
        "1335626": (400, {"code": 3, "message": "no \x1b[31mtaxon\x07 of this name is valid"}),
    }
    return run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 23))


def test_the_summary_tells_counts_changes_troubles_and_places(second_night: Outcome) -> None:
    lines = summary_of(second_night)
    assert lines[0] == "watch, night of 2026-11-23: 2 of 6 rows have no count to rely on, new tonight"
    assert lines[1].startswith("  suspect  Influenza A (11320) / human: fell: 3 is 99.7 % below 900")
    assert lines[1].endswith("900 of 2026-11-22")  # that it is new tonight has been said of all
    assert re.fullmatch(r"  4 ok, 2 suspect; \d+ s", lines[3])
    assert lines[4] == "4 changed: 2 became suspect, 1 fell, 1 grew"
    assert lines[5] == "  fell       1,000 → 990  -1 %     [red]Influenza B[/] (11520) / all"
    assert lines[6] == "  grew       1,000 → 1,250  +25 %  Influenza A (11320) / all"
    assert lines[-3].startswith("  why    batchsum explain ")
    assert lines[-2] == f"  accept batchsum accept {second_night.directory} 11320/human"
    assert lines[-1] == f"  log    watch.log (run {second_night.run_id})"
    assert lines[-4] == f"  page   {second_night.directory / 'report.html'}"
    assert "summary.csv changes.csv" in lines[-5]
    assert not any(character in line for line in lines for character in "\x1b\x07")


def test_long_lines_are_cut_but_for_what_is_to_be_copied(second_night: Outcome) -> None:
    lines = summary_of(second_night, width=40)
    *told, why, accept, log = lines
    assert accept.startswith("  accept batchsum accept ")
    assert why.startswith("  why    batchsum explain ")
    assert log.startswith("  log    watch.log (run ")
    whole = ("watch, night of ", "  files", "  page", "  suspect", "  rejected")
    assert all(len(line) <= 40 for line in told if not line.startswith(whole))
    assert any(line.endswith("…") for line in told)
    assert any(line.startswith("  suspect") and line.endswith(" of 2026-11-22") for line in told)


def test_the_summary_never_repeats_the_key(second_night: Outcome) -> None:
    hide("Influenza")
    shown = "\n".join(summary_of(second_night))
    assert "Influenza" not in shown
    assert "[key] A (11320) / all" in shown


def test_a_quiet_night_is_said_to_be_one(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = load_job(write_job(tmp_path))
    first = summary_of(run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 22)))
    assert first[0] == "watch, night of 2026-11-22: 6 rows, all answered"
    assert first[2] == "first night, nothing to compare"
    lines = summary_of(run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 23)))
    assert lines[2] == "nothing changed since the last night"
    assert len(lines) == 5


def test_what_only_rolled_is_no_change(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    text = JOB.replace("{all: {}, human: {host: human}}", "{all: {}, week: {released_since: 7d}}")
    job = load_job(write_job(tmp_path, text))
    run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 22))
    ncbi.answers = {"11320?released_since=2026-11-16T00:00:00Z": {"record_count": 905}}
    rolled = run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 23))
    assert (rolled.changes, rolled.news.change_count) == (0, 0)
    assert summary_of(rolled)[2] == "nothing changed since the last night; 1 rolled with the calendar"
    ncbi.answers = {"11320": {"record_count": 1100}, "11320?released_since=2026-11-17T00:00:00Z": {"record_count": 907}}
    grown = summary_of(run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 24)))
    assert grown[2:4] == [
        "1 changed: 1 grew; 1 rolled with the calendar", "  grew       1,000 → 1,100  +10 %  Influenza A (11320) / all",
    ]  # fmt: skip
    assert grown[4].startswith("  files")


def test_a_problem_that_lasts_is_told_with_its_first_night(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = load_job(write_job(tmp_path))
    run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 22))
    ncbi.answers = {"11320": {"record_count": 1}}
    run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 23))
    ncbi.answers["11520"] = {"record_count": 1}
    outcome = run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 25))
    told = [re.sub(": fell.*;", ": ...;", line) for line in failure_block(outcome, Path("watch.log")).splitlines()]
    assert told[:3] == [
        "batchsum: watch, night of 2026-11-25: 2 of 6 rows have no count to rely on, 1 of them new tonight",
        "  suspect  Influenza A (11320) / all: ...; since 2026-11-23",
        "  suspect  [red]Influenza B[/] (11520) / all: ...; new tonight",
    ]
    assert f"  page   {outcome.directory / 'report.html'}" in told
    assert f"  why    batchsum explain {outcome.directory} 11320 all" in told


@pytest.mark.parametrize(
    ("human", "named"),
    [({"record_count": 1}, "11320"), ({"record_count": 900, "resource_updated_on": "2020-01-01"}, "11320/all")],
)
def test_what_is_doubted_for_one_reason_is_accepted_in_one_command(
    ncbi: ScriptedNcbi, tmp_path: Path, human: dict[str, Any], named: str
) -> None:
    job = load_job(write_job(tmp_path))
    ncbi.answers = {"11320?host=human": {"record_count": 900, "resource_updated_on": "2026-11-20"}}
    run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 22))
    ncbi.answers = {"11320": {"record_count": 1}, "11320?host=human": human}
    outcome = run_job(job, base_url=ncbi.base_url, today=date(2026, 11, 23))
    assert f"  accept batchsum accept {outcome.directory} {named}" in summary_of(outcome)


# The line a problem is about

SECRET = "0123456789abcdef0123456789abcdef0123"


def test_a_problem_is_shown_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("version: 1\ntaxa: [11320]\nfilter_sets: {human: {hots: human}}\n")
    drawn = in_window(["check", str(path)])
    assert drawn.code == 2
    first, line, caret = drawn.raw.splitlines()
    assert first.rstrip() == f"{path}:3:23: unknown key 'hots'; did you mean 'host'?"
    assert line.rstrip() == "    3 | filter_sets: {human: {hots: human}}"
    assert line[caret.index("^") :].startswith("hots")


def test_a_warning_is_shown_with_its_line_too(tmp_path: Path) -> None:
    path = tmp_path / "job.csv"
    path.write_text("taxon,label\n11320,Influenza A\n11320,again\n")
    drawn = in_window(["check", str(path)])
    assert drawn.code == 0
    place = drawn.lines.index("    3 | 11320,again")
    assert drawn.lines[place - 1].startswith(f"{path}:3:1: warning: ")
    assert drawn.lines[place + 1] == "      | ^"


def test_programs_get_a_line_each_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from batchsum.cli import main

    path = tmp_path / "job.yaml"
    path.write_text("version: 2\ntaxa: [0011320]\n")
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(": ")[0] for line in told.err.splitlines()] == [f"{path}:1:10", f"{path}:2:8"]
    assert main(["check", str(path), "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"taxa: [{SECRET}]", "taxon: is wrong"),
        ("api: {api_key: hidden-words}", "'api_key': a key or token does not belong in a job file; put it elsewhere"),
        ("notify: {webhook_env: https://h.example/hidden-words}", "webhook_env: is an address, which may be secret"),
        ("api: {base_url: 'https://u:hidden-words@e.org'}", "base_url: holds a user name or password; a key belongs"),
        ("api: {base_url: 'https://e.org?api_key=hidden-words'}", "base_url: has something behind ? or #; write it"),
    ],
)
def test_a_line_that_may_hold_a_secret_is_not_shown(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"version: 1\n{line}\n")
    shown = with_excerpts([Problem(str(path), 2, 1, message), Problem(str(path), 2, 4, "something else")], 100)
    assert "hidden-words" not in shown
    assert SECRET not in shown
    assert shown.splitlines()[0] == f"{path}:2:1: {message}"


@given(st.text(max_size=80), st.integers(1, 90), st.integers(0, 120))
def test_the_caret_stands_inside_the_window(text: str, column: int, width: int) -> None:
    from rich.cells import cell_len

    line, caret = excerpt(text, 7, column, width)
    assert line.isprintable()
    assert len(line) <= max(width, len("    7 | ") + 20)
    at = min(column - 1, len(text))
    if width >= 120 and at < len(text):
        assert cell_len(caret) - 1 == cell_len(line[: len("    7 | ") + at])


def test_the_caret_is_under_its_place_in_a_long_line() -> None:
    line, caret = excerpt("a" * 500 + "X" + "b" * 500, 3, 501, 80)
    assert line[caret.index("^")] == "X"
    assert len(line) == 80


def test_lines_that_are_not_there_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"version: 1\r\n\xff\xfe\r\n")
    problems = [Problem(str(path), line, column, "wrong") for line, column in ((1, 10), (1, 99), (2, 1), (9, 1))]
    problems.append(Problem(str(tmp_path / "gone.yaml"), 1, 1, "missing"))
    shown = with_excerpts(problems, 80).splitlines()
    assert [line for line in shown if ": wrong" in line or ": missing" in line] == [str(one) for one in problems]
    assert shown[1:3] == ["    1 | version: 1", "      |          ^"]


def test_of_many_problems_the_first_are_shown_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("taxon\n" * 200)
    shown = with_excerpts([Problem(str(path), line, 1, "wrong") for line in range(1, 201)], 80).splitlines()
    assert len(shown) == 200 + 2 * 50
