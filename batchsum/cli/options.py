"""The options of each command, what else it takes from the environment, and how their text is read."""

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, time
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from batchsum.config.values import parse_format, parse_integer, parse_path, parse_requests_per_second, parse_some_time
from batchsum.errors import UsageError
from batchsum.model.filters import HIGHEST_TAX_ID, parse_date, parse_duration
from batchsum.model.job import ApiSettings, Holding, Job
from batchsum.ncbi.urls import check_base_url

T = TypeVar("T")


# How the text of an option is read.


def _type(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A `type=` for argparse, which shows no ValueError's words, but those of its own exception."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    return _type(lambda text: parse_integer(text, lowest, highest))


_day = _type(parse_date)
_duration = _type(parse_duration)
_rate = _type(parse_requests_per_second)
_some_time = _type(partial(parse_some_time, otherwise="is no time at all; write it as in 6h, or leave it out"))


@_type
def _holding(text: str) -> Holding:
    """`2697049=ncbi/sars-cov-2.zip`."""
    taxon, _, file = text.partition("=")
    try:
        return Holding(parse_integer(taxon, 1, HIGHEST_TAX_ID), parse_path(file), Path(file))
    except ValueError:
        raise ValueError(f"{text!r} is not TAXON=FILE, as in 2697049=ncbi/sars-cov-2.zip") from None


@_type
def _formats(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(parse_format, text.split(","))))  # each once, in the order given


@_type
def _shard(text: str) -> tuple[int, int]:
    """`2/5`: the second of five."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= 1000:
        raise ValueError(f"{text!r} is not I/N, a part from 1 to N and at most 1,000 parts, as in 2/5")
    return int(found[1]), int(found[2])


@_type
def _time_of_day(text: str) -> time:
    """A time of day: `03:20`."""
    # Two digits of minutes: 3:5 could be meant as 3:05 and as 3:50.
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if not found:
        raise ValueError(f"{text!r} is not a time of day; write it as in 03:20, from 00:00 to 23:59")
    return time(int(found[1]), int(found[2]))


class _NoKey(argparse.Action):
    """There is no option for the key itself; argparse's own words would repeat it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        parser.error("there is no --api-key, since anybody could read it in the process list; use --api-key-file FILE")


# What several commands take.

_FLAG: dict[str, Any] = {"action": "store_true"}
_JOB: dict[str, Any] = {"type": Path, "metavar": "JOB", "help": "job file: YAML, or a list alone as CSV, TSV or TXT"}
_OUT: dict[str, Any] = {"type": Path, "metavar": "OUT", "help": "output directory of a job"}
_KEY_FILE: dict[str, Any] = {"type": Path, "metavar": "FILE", "help": "file with the API key, readable by you alone"}
_HOLDING: dict[str, Any] = {
    "action": "append", "default": [], "type": _holding, "metavar": "TAXON=FILE",
    "help": "what you have downloaded of a taxon: NCBI's zip, or its data_report.jsonl; may be repeated",
}  # fmt: skip


def add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("job", **_JOB)
    add("--out", type=Path, metavar="DIR", help="output directory (the job's output.dir)")
    add("--base-url", metavar="URL", help="server to ask (BATCHSUM_BASE_URL, else the job's, else NCBI's)")
    # Known only to be refused; the value may be missing.
    add("--api-key", action=_NoKey, nargs="?", help=argparse.SUPPRESS)
    add("--api-key-file", **_KEY_FILE)
    add("--rps", type=_rate, metavar="auto|N|unlimited", help="requests a second (the job's, else auto)")
    add("--workers", type=_whole(1, 1000), metavar="N", help="requests under way at once (the job's, else 64)")
    add("--format", type=_formats, default=(), metavar="LIST", help="more formats of the table, as in tsv,jsonl")
    add("--holding", **_HOLDING)
    add("--deadline", type=_some_time, metavar="DURATION", help="time after which the rest is skipped, as 6h")
    add("--start-jitter", type=_duration, metavar="DURATION", help="wait a random part of this before asking")
    add("--shard", type=_shard, metavar="I/N", help="ask the I-th of N parts, and leave its answers for merge")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--fresh", **_FLAG, help="drop an unfinished run instead of resuming it")
    again.add_argument("--retry", **_FLAG, help="ask again what is suspect, failed or skipped of the last night")
    locked = "what to do when another run of this job is under way (default: fail)"
    add("--if-locked", choices=("fail", "skip", "wait"), default="fail", help=locked)
    accept = "believe what NCBI says of this row tonight; may be repeated"
    add("--accept", action="append", default=[], metavar="TAXON[/SET]", help=accept)
    change = "exit code instead of 0 where something changed"
    add("--exit-code-on-change", type=_whole(0, 255), metavar="N", help=change)
    add("-q", "--quiet", **_FLAG, help="no summary on the terminal")
    add("-v", "--verbose", **_FLAG, help="the log on stderr, every attempt included")
    add("--log-file", type=Path, metavar="FILE", help="where the log goes (batchsum.log in the output directory)")
    add("--log-format", choices=("text", "json"), default="text", help="default: text")
    progress = "a line that tells how far the run is (default: auto, on a terminal only)"
    add("--progress", choices=("auto", "always", "never"), default="auto", help=progress)


def add_check_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("job", **_JOB)
    add("--online", **_FLAG, help="look every name up in NCBI's taxonomy, and write taxa.lock beside JOB")
    add("--base-url", metavar="URL", help="server to ask (BATCHSUM_BASE_URL, else the job's, else NCBI's)")
    add("--api-key-file", **_KEY_FILE)
    add("--holding", **_HOLDING)
    add("--json", **_FLAG, help="for programs: one object on stdout")


def add_explain_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", **_OUT)
    add("taxon", metavar="TAXON", help="taxon, label or scientific name, in any case")
    add("filter_set", nargs="?", metavar="FILTER_SET", help="needed where the taxon has several")
    add("--nights", type=_whole(1, 10_000), default=30, metavar="N", help="how many of the last nights (30)")


def add_accept_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", **_OUT)
    add("names", nargs="+", metavar="TAXON[/SET]", help="rows to believe, by taxon, label or scientific name")
    add("--note", default="", metavar="TEXT", help="why, for explain, run.json and the log")


def add_history_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", **_OUT)
    add("--format", choices=("table", "csv", "json"), default="table", help="default: table")
    add("--nights", type=_whole(1, 10_000), default=14, metavar="N", help="how many of the last nights (14)")


def add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", **_OUT)


def add_schedule_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("job", **_JOB)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--cron", **_FLAG, help="a line for crontab")
    kind.add_argument("--systemd", **_FLAG, help="a service and its timer")
    at = "time of day on this machine (default: a time at night, fixed by the job's name)"
    add("--at", type=_time_of_day, metavar="HH:MM", help=at)
    add("--api-key-file", type=Path, metavar="FILE", help="file with the API key (the job's api_key_file)")
    add("--out", type=Path, metavar="DIR", help="with --systemd: write the two files there instead of printing them")


def add_merge_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="output directory of the job: its table and history")
    add("shards", type=Path, nargs="+", metavar="SHARD_OUT", help="output directory of a shard")


def add_probe_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--base-url", metavar="URL", help="server to ask (BATCHSUM_BASE_URL, else NCBI's)")
    add("--api-key-file", **_KEY_FILE)
    add("--out", type=Path, default=Path(), metavar="DIR", help="where probe.json goes (this directory)")


def add_init_options(parser: argparse.ArgumentParser) -> None:
    about = "where both files go (this directory)"
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR", help=about)


def add_completion_options(parser: argparse.ArgumentParser) -> None:
    from batchsum.cli.completion import SHELLS  # imported here, since it needs shtab, which other commands do without

    parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete batchsum")


def add_demo_options(parser: argparse.ArgumentParser) -> None:
    about = "output directory (batchsum-demo)"
    parser.add_argument("--out", type=Path, default=Path("batchsum-demo"), metavar="DIR", help=about)


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (127.0.0.1)")
    add("--port", type=int, default=8765, metavar="PORT", help="port to listen on, 0 for a free one (8765)")
    rps = "requests a second that it allows (as NCBI: 5 without a key, 10 with one)"
    add("--rps", type=_rate, metavar="N|unlimited", help=rps)
    add("--latency", metavar="D", help="time an answer takes, such as 200ms")
    add("--as-of", type=_day, metavar="DATE", help="answer as on this day (today, UTC)")
    add("--fault", action="append", default=[], metavar="SPEC", help="trouble on demand, as 'taxon=11320 status=503'")
    add("--catalogue", nargs="+", type=Path, default=[], metavar="FILE", help="serve these records and no others")


# What is taken from the environment, too.


def server(option: str | None, api: ApiSettings) -> str | None:
    """The base URL to ask; None where nobody names one."""
    # `or`, since an empty variable is how a shell leaves one out.
    url = option or os.environ.get("BATCHSUM_BASE_URL") or api.base_url
    try:
        return check_base_url(url, allow_http=api.allow_http) if url is not None else None
    except ValueError as error:
        raise UsageError(f"base URL {error}") from None


def with_holdings(job: Job, arguments: argparse.Namespace) -> Job:
    """The job with the files that the command line names; one of the same taxon in the job gives way."""
    given = {one.taxon: one for one in arguments.holding}
    if len(given) < len(arguments.holding):
        raise UsageError("--holding: a taxon is given two files; leave one of both out")
    kept = [one for one in job.holdings.files if one.taxon not in given]
    files = (*kept, *given.values())
    if len({one.file for one in files}) < len(files):
        raise UsageError("--holding: a file is named for two taxa; leave one of both out")
    return replace(job, holdings=replace(job.holdings, files=files))


def day_of_environment() -> date | None:
    """The day of the night where a pipeline says it, so that shards begun on both sides of midnight have the same."""
    text = os.environ.get("BATCHSUM_TODAY")
    try:
        return parse_date(text) if text else None
    except ValueError as error:
        raise UsageError(f"BATCHSUM_TODAY: {error}") from None
