"""Everything that can be known of a job before asking for it; with `--online`, what its names stand for too.

A problem is what `run` would stop at, and a row that can get no answer: a name that NCBI does not know, knows for
several taxa, or not as a virus, and a host that it cannot find. What gives an answer, if not the expected one, is a
warning.
"""

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from batchsum.cli.options import day_of_environment, server, with_holdings
from batchsum.cli.progress import is_wanted, live
from batchsum.cli.terminal import with_excerpts
from batchsum.config.api_key import find_api_key
from batchsum.config.load import load_job
from batchsum.config.names import Finding, host_findings, job_hosts, job_names, taxon_findings
from batchsum.config.taxa_lock import NO_LOCK, TaxaLock, lock_file, read_lock, write_lock
from batchsum.config.yaml_job import default_name
from batchsum.config.yaml_text import compose, texts
from batchsum.errors import BatchsumError, JobFileError, NothingUsable, OutputError, Problem, UsageError
from batchsum.model.job import LIST_SUFFIXES, Job, OutputSettings
from batchsum.model.queries import Failure
from batchsum.ncbi.taxonomy import Lookup
from batchsum.ncbi.urls import BASE_URL, rate_and_ceiling
from batchsum.output.files import check_targets, read_manifest, require_own_directory
from batchsum.output.formats import format_problems
from batchsum.run.completeness import comparing_requests
from batchsum.run.coverage import OnReading, asked_plan, count_files, require_reader
from batchsum.run.plan import Plan
from batchsum.store.directory import STATE, output_errors
from batchsum.store.held import CountedFile, HeldRow
from batchsum.store.store import Store
from batchsum.text import counted, spoken

RATES = (3, 5, 10)
"""Requests a second: NCBI's limit without a key by its pages, by its server, and with a key."""

MOST_SUGGESTED = 20
"""Unknown names for which near ones are looked for: each costs a request or a few."""
MOST_DATED = 30
"""Filter sets whose dates are shown; `--json` has them all."""


def check_command(arguments: argparse.Namespace) -> int:
    """`batchsum check JOB`; the exit code is that of `run` on the same machine, as far as it can be known."""
    today = day_of_environment() or datetime.now(UTC).astimezone().date()  # the local one, as for a night
    try:
        job = load_job(arguments.job)
        job = with_holdings(replace(job, api=replace(job.api, base_url=server(arguments.base_url, job.api))), arguments)
        lock = read_lock(lock_file(job.path))
    except JobFileError as error:
        if not arguments.json:
            raise
        told = {name: [asdict(one) for one in getattr(error, name)] for name in ("problems", "warnings")}
        print(json.dumps({"file": str(arguments.job), **told}, indent=2))
        return error.exit_code
    stops = list(refusals(job, arguments.api_key_file))
    with live(job.name) if job.holdings.files and is_wanted("auto") else nullcontext() as progress:
        on_reading = progress.reading if progress else lambda words: None
        if arguments.online and not stops:  # where `run` would stop before it asks, nothing is asked here either
            import asyncio

            api_key = find_api_key(arguments.api_key_file, job.api.api_key_file)
            report = asyncio.run(_check_online(job, today, lock, api_key, on_reading))
        else:
            report = check_job(job, today, lock, on_reading)
    key_file = "" if arguments.api_key_file else str(job.api.api_key_file or "")
    for stop in dict.fromkeys(map(str, stops)):  # several steps may stop at the same thing
        report["problems"].append(_about_job(job, stop, key_file if stop.startswith(key_file) else ""))
    # Excerpts are for a terminal; a pipe gets one line a problem.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    print(json.dumps(report, indent=2, ensure_ascii=False) if arguments.json else describe(report, width))
    if stops:  # the first is the one that `run` would meet
        return stops[0].exit_code
    return UsageError.exit_code if report["problems"] else 0


def check_job(
    job: Job, today: date, lock: TaxaLock = NO_LOCK, on_reading: OnReading = lambda words: None
) -> dict[str, Any]:
    """Queries, requests after sharing, seconds at each rate, and what is odd; ready for JSON."""
    plan = Plan(job, today, lock)
    rows = [(query.taxon, query.filter_set, query.filters) for query in plan.queries()]
    files, held = count_files(plan, lock, on_reading)
    warnings = [asdict(warning) for warning in job.warnings]
    lost = Counter(row.file for row in held if row.record_count is None)
    for one in files:
        problem = one.problem
        if rows_lost := lost[one.file]:
            problem += f"; {counted(rows_lost, 'row')} of {plan.query_count:,} will be skipped (use: count)"
        warnings += [_about_job(job, words, one.file) for words in (problem, *one.remarks) if words]
    for name in filter(None, (job.notify.webhook_env, job.notify.ping_env)):
        if name not in os.environ:
            words = f"{name} is not set here, and nothing is sent without it; cron has an environment of its own"
            warnings.append(_about_job(job, words, name))
    rest = asked_plan(plan, held) if files else plan
    comparing = sum(request not in rest for request in comparing_requests(plan, files, held))
    asked = rest.request_count + comparing
    report: dict[str, Any] = {
        "job": job.name,
        "file": str(job.path),
        "taxa": len({taxon for taxon, _, _ in rows}),
        "filter_sets": len({(name, filters) for _, name, filters in rows}),
        "queries": plan.query_count,
        "requests": asked,
        "seconds": {str(rate): round(asked / rate, 1) for rate in RATES},
        "problems": [],
        "warnings": warnings,
        "dates": {name: filters.text() for name, filters in plan.dated_sets().items()},
        "lock": {"file": str(lock_file(job.path)), "taxa": sum(taxon in lock for taxon in job_names(job))},
    }
    if files:
        saved = plan.request_count - rest.request_count
        report["holdings"] = _holdings(job, today, files, held, saved, comparing)
    return report


def _holdings(
    job: Job, today: date, files: list[CountedFile], held: list[HeldRow], saved: int, comparing: int
) -> dict[str, Any]:
    """What is covered by which file, and the requests that this saves and costs."""
    covers = Counter(row.file for row in held if row.record_count is not None)
    told = [
        {
            "file": one.file, "taxon": one.taxon, "day": str(one.day), "age_days": (today - one.day).days,
            "held_record_count": one.record_count, "rows": covers[one.file],
        }
        for one in files if one.day
    ]  # fmt: skip
    return {"use": job.holdings.use, "saved_requests": saved, "comparing_requests": comparing, "files": told}


def refusals(job: Job, api_key_file: Path | None = None) -> Iterator[BatchsumError]:
    """What `run` would stop at on this machine before it asks anything, in the order in which it would."""
    refusal = partial(_refusal, job.output.dir)
    yield from refusal(require_own_directory, job)
    yield from refusal(find_api_key, api_key_file, job.api.api_key_file)
    yield from refusal(_require_output, job.output)
    yield from map(UsageError, format_problems(job))
    yield from refusal(require_reader, job)
    yield from refusal(_require_state, job.output.dir)
    base_url = job.api.base_url or BASE_URL
    yield from refusal(rate_and_ceiling, job.api.requests_per_second, urlsplit(base_url).hostname or "")
    if job.api.shared_limit:
        from batchsum.ncbi.pacing_redis import SharedLimit

        # Made, but not connected: it tells whether its package is here.
        yield from refusal(SharedLimit, job.api.shared_limit, base_url, None)


def _refusal(directory: Path, step: Callable[..., object], *arguments: object) -> Iterator[BatchsumError]:
    """What a step of `run` raises, if it does."""
    try:
        with output_errors(directory):
            step(*arguments)
    except BatchsumError as error:
        yield error


def _require_state(directory: Path) -> None:
    """OutputError where the last night cannot be read, or nothing more be kept."""
    state = directory / STATE
    if directory.is_dir():
        read_manifest(directory)
    if state.exists() and state.stat().st_size:  # one that is missing is made by the night
        if not os.access(state, os.W_OK):
            raise OutputError(f"{state} cannot be written; look at its rights, or name another --out")
        with Store(state) as store:
            store.last_run("open")


def _require_output(output: OutputSettings) -> None:
    """OutputError where there is no such directory and none can be made, or what it holds cannot be replaced."""
    # `run` makes what is missing, so the nearest folder that exists decides.
    there = next(one for one in (output.dir, *output.dir.absolute().parents) if one.exists())
    if not there.is_dir():
        raise OutputError(f"{there} is a file, and no directory can be made there; write another output.dir (--out)")
    check_targets(there, [f"summary.{name}" for name in output.formats] if there == output.dir else ())


async def _check_online(
    job: Job, today: date, lock: TaxaLock, api_key: str | None, on_reading: OnReading
) -> dict[str, Any]:
    """The report of `check_job` with what NCBI's taxonomy says of every name, once what was learnt is in taxa.lock.

    Each problem and warning about a name has its `kind`, the `taxon` or `host` as written, the number of `rows`
    it stands in, the first of them as `file`, `line` and `column` (null where that is not known), and the
    `candidates`. Raises NothingUsable where the taxonomy gives no answer.
    """
    from batchsum.run.night import job_client

    counts, hosts = job_names(job), job_hosts(job)
    async with job_client(job, job.api.base_url, api_key) as client:
        lookup = Lookup(client.post)
        names = _require(await lookup.names(counts))
        found_hosts = _require(await lookup.names(hosts))
        findings = await _with_near_names([*taxon_findings(names, lock), *host_findings(found_hosts.values())], lookup)
    lock = lock.with_names(names.values(), today)
    report = check_job(job, today, lock, on_reading)
    places = {listed.taxon: listed.place for listed in reversed(job.taxa)}  # the first counts
    for finding in findings:
        told = {**_about_job(job, finding.message), "kind": finding.kind}
        if finding.is_host:
            told |= {"message": f"filter set {hosts[finding.text]!r}: {finding.message}", "host": finding.text}
        else:
            told |= {"taxon": finding.text, "rows": counts[finding.text]}
            told |= dict(zip(("file", "line", "column"), places[finding.text] or (), strict=False))
        shown = ("tax_id", "scientific_name", "rank")
        told["candidates"] = [{name: getattr(node, name) for name in shown} for node in finding.candidates]
        report["problems" if finding.is_problem else "warnings"].append(told)
    report["online"] = {"names": len(names), "hosts": len(found_hosts)}
    report["lock"]["written"] = write_lock(lock_file(job.path), lock)
    return report


def _require(names: dict[str, Any] | Failure) -> dict[str, Any]:
    if isinstance(names, Failure):
        raise NothingUsable(f"NCBI's taxonomy gives no answer, so no name was checked and no lock written: {names}")
    return names


async def _with_near_names(findings: list[Finding], lookup: Lookup) -> list[Finding]:
    """The findings, unknown names with those that they were perhaps meant to be."""
    # Ids that look alike have nothing in common, so none is suggested.
    unknown = [one for one in findings if one.kind == "unknown" and not one.text.isdigit()]
    near = {}
    for one in unknown[:MOST_SUGGESTED]:
        if candidates := tuple(await lookup.near(one.text, viruses=not one.is_host)):
            message = f"{one.message}; near: {', '.join(map(str, candidates))}"
            near[one] = replace(one, message=message, candidates=candidates)
    return [near.get(one, one) for one in findings]


def describe(report: dict[str, Any], width: int = 0) -> str:
    """The report as people read it; on a terminal of some `width`, with the lines it is about."""
    problems, lock = report["problems"], report["lock"]
    taxa = counted(report["taxa"], "taxon", "taxa")
    name = "" if report["job"] == default_name(Path(report["file"])) else f"job {report['job']}: "
    found = counted(len(problems), "problem") if problems else "no problem found"
    lines = [
        f"{report['file']}: {name}{found}",
        f"  {taxa}, {counted(report['filter_sets'], 'filter set')}: {counted(report['queries'], 'query', 'queries')}",
        f"  {counted(report['requests'], 'request')} (two rows that ask the same share one)",
    ]
    for rate, seconds in report["seconds"].items():
        # At least a second: else a job of few requests would be told to take none.
        lines.append(f"  {spoken(max(1.0, seconds)):>12} at {rate} requests a second")
    lines += _held_lines(report["holdings"]) if "holdings" in report else []
    dated = [f"  filter set {name} tonight: {filters}" for name, filters in report["dates"].items()]
    lines += dated[:MOST_DATED]
    lines += [f"  and {len(dated) - MOST_DATED:,} more with dates"] if dated[MOST_DATED:] else []
    if lock["taxa"] or "online" in report:
        state = {True: ", written", False: ", unchanged"}.get(lock.get("written"), "")
        lines.append(f"  names fixed in {lock['file']}: {lock['taxa']:,} of {report['taxa']:,}{state}")
    warnings = [{**odd, "message": f"warning: {odd['message']}"} for odd in report["warnings"]]
    told = [
        Problem(odd["file"], odd["line"] or 0, odd["column"] or 0, odd["message"]) for odd in (*problems, *warnings)
    ]
    return "\n".join([*lines, *([with_excerpts(told, width)] if width else map(str, told))])


def _held_lines(holdings: dict[str, Any]) -> Iterator[str]:
    for one in holdings["files"]:
        records, rows = counted(one["held_record_count"], "record"), counted(one["rows"], "row")
        days = one["age_days"]
        age = f"{counted(days, 'day')} old" if days >= 0 else f"{counted(-days, 'day')} ahead of tonight"
        yield f"  {one['file']}: {records} of taxon {one['taxon']}, {age}; it covers {rows}"
    if holdings["use"] == "count":
        yield f"  {counted(holdings['saved_requests'], 'request')} saved by counting in files"
    if comparing := holdings["comparing_requests"]:
        yield f"  {counted(comparing, 'request')} above compare the files; up to 24 more where records are missing"


def _about_job(job: Job, message: str, written: str = "") -> dict[str, Any]:
    """A message, at the first value of the job file that is `written` or a path to it; else at no line."""
    place = None
    if written and job.path.suffix.lower() not in LIST_SUFFIXES:
        root, _ = compose(job.path.read_text(encoding="utf-8-sig"), str(job.path))
        name = Path(written).name
        place = next((one for one in texts(root) if Path(str(one.value)).name == name), None) if root else None
    line, column = (place.line, place.column) if place else (None, None)
    return {"file": str(job.path), "line": line, "column": column, "message": message}
