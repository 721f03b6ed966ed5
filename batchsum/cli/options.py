"""The options of each command, how their text is read, and what else a command takes from the environment."""

import argparse
import csv
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, time
from functools import partial
from pathlib import Path
from typing import Any

from batchsum.config import values
from batchsum.errors import UsageError
from batchsum.model.filters import parse_choice, parse_date, parse_duration, parse_taxon, parse_text
from batchsum.model.job import FORMATS, ApiSettings, Holding, Job
from batchsum.ncbi.urls import check_base_url


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Declare the options that `data/options.tsv` has for a command."""
    required: Any = None
    text = (Path(__file__).parent / "data" / "options.tsv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        if command not in row["commands"].split():
            continue
        value, into = row["value"], parser
        if value == "required flag":  # one of those that the command has, and only one
            required = required or parser.add_mutually_exclusive_group(required=True)
            value, into = "flag", required
        told = {"metavar": row["shown as"], "default": row["default"], "help": row["help"]}
        settings = {**_reading(value), **{name: one for name, one in told.items() if one}}
        if "type" in settings:  # which reads the default, too
            settings["type"] = partial(_read, settings["type"])
        into.add_argument(*row["option"].split(), **settings)


# How the text of an option is read.


def _read(parse: Callable[[str], Any], text: str) -> Any:
    """What `parse` makes of it. argparse shows no ValueError's words, but those of its own exception."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _holding(text: str) -> Holding:
    """`2697049=ncbi/sars-cov-2.zip`."""
    taxon, _, file = text.partition("=")
    if not (taxon and file.strip()):
        raise ValueError(f"{text!r} is not TAXON=FILE, as in 2697049=ncbi/sars-cov-2.zip")
    if re.search("[\ud800-\udfff]", file):
        raise ValueError(f"{file!r} is not UTF-8, and no table could name it; rename the file")
    return Holding(parse_taxon(taxon), values.parse_path(file), Path(file))


def _shard(text: str) -> tuple[int, int]:
    """`2/5`: the second of five."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= 1000:
        raise ValueError(f"{text!r} is not I/N, a part from 1 to N and at most 1,000 parts, as in 2/5")
    return int(found[1]), int(found[2])


def _time_of_day(text: str) -> time:
    """A time of day: `03:20`."""
    # Two digits of minutes: 3:5 could be meant as 3:05 and as 3:50.
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if not found:
        raise ValueError(f"{text!r} is not a time of day; write it as in 03:20, from 00:00 to 23:59")
    return time(int(found[1]), int(found[2]))


_VALUES: dict[str, dict[str, Any]] = {
    "text": {},
    "line": {"type": parse_text},
    "texts": {"nargs": "+"},
    "optional text": {"nargs": "?"},
    "repeated text": {"action": "append", "default": []},
    "path": {"type": lambda text: Path(text or values.parse_path(text))},
    "paths": {"type": Path, "nargs": "+", "default": []},
    "optional path": {"type": Path, "nargs": "?"},
    "flag": {"action": "store_true"},
    "day": {"type": parse_date},
    "duration": {"type": parse_duration},
    "some time": {
        "type": partial(values.parse_some_time, otherwise="is no time at all; write it as in 6h, or leave it out")
    },
    "time of day": {"type": _time_of_day},
    "rate": {"type": values.parse_requests_per_second},
    "formats": {"type": lambda text: [parse_choice(name, choices=FORMATS) for name in text.split(",")], "default": []},
    "holding": {"type": _holding, "action": "append", "default": []},
    "shard": {"type": _shard},
}
"""What argparse is told of a value, by what the table calls it."""


def _reading(value: str) -> dict[str, Any]:
    """The same also of choices, as `fail|skip|wait`, and of a whole number, as `1 to 1000`, both included."""
    if "|" in value:
        return {"choices": value.split("|")}
    if bounds := re.fullmatch(r"([0-9]+) to ([0-9]+)", value):
        lowest, highest = map(int, bounds.groups())
        return {"type": partial(values.parse_integer, lowest=lowest, highest=highest)}
    return _VALUES[value]


# What is taken from the environment, too.


def server(option: str | None, api: ApiSettings) -> str | None:
    """The base URL to ask; None where nobody names one."""
    # An empty variable is how a shell leaves one out; an empty option is one that was to be filled in.
    url = option if option is not None else os.environ.get("BATCHSUM_BASE_URL") or api.base_url
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
        day = parse_date(text) if text else None
        if day and not 2000 <= day.year < 2100:  # from which filters and guards look back, and windows begin
            raise ValueError(f"{text!r} is not a day from 2000 to 2099")
        return day
    except ValueError as error:
        raise UsageError(f"BATCHSUM_TODAY: {error}") from None
