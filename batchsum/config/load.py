"""load_job(path): a YAML job file, or a CSV, TSV or TXT list alone, to a Job.

Every problem is told at once, in the file itself and in every list it names, each with its line and column.
Nothing is sent, and no message repeats what may be an API key.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from batchsum.config.csv_list import Listing, read_list
from batchsum.config.filter_sets import EVERYTHING
from batchsum.config.problems import OnceAKind, decode, unreadable
from batchsum.config.yaml_job import YamlJob, default_name
from batchsum.config.yaml_text import MOST_BYTES, compose
from batchsum.errors import JobFileError, Problem
from batchsum.model.filters import LOOKS_SECRET, FilterSet
from batchsum.model.job import LIST_SUFFIXES, Job, OutputSettings


def load_job(path: str | Path, *, today: date | None = None) -> Job:
    """The job that a file describes: YAML, or by its suffix `.csv`, `.tsv` or `.txt` a list of taxa alone.

    Paths in the job are relative to the file, and come back so that they can be opened from here. `today`
    (UTC) tells which dates are still to come. Raises JobFileError with all problems, in the order of the file.
    """
    path = Path(path)
    file = str(path)
    today = today or datetime.now(UTC).date()  # a night begins at the midnight of UTC, wherever it is asked from
    listing = Listing(today)
    read = _load_list if path.suffix.lower() in LIST_SUFFIXES else _load_yaml
    try:
        job = read(path, listing)
    except OSError as error:
        raise JobFileError([Problem(file, 1, 1, unreadable(error))]) from error
    others, again = OnceAKind(), OnceAKind()
    for problem, is_same in _listed_again(job) if job else ():
        (again if is_same else others).add(problem.file, problem)  # one message a file, though thousands are doubled
    warnings = _in_order(file, [*listing.warnings, *again.told()])
    problems = _in_order(file, [*listing.problems, *others.told()])
    if problems or job is None:
        raise JobFileError(problems, warnings)
    return replace(job, warnings=warnings)


def _load_list(path: Path, listing: Listing) -> Job:
    listing.sets[EVERYTHING.name] = (EVERYTHING,)
    listing.alone = True
    read_list(path, listing)
    if not listing.rows and not listing.problems:
        message = "there is no taxon below the header; write one a line"
        listing.problems.append(Problem(str(path), 1, 1, message))
    name = default_name(path)
    return Job(path, name, tuple(listing.taxa), (EVERYTHING,), OutputSettings(path.parent / "out" / name))


def _load_yaml(path: Path, listing: Listing) -> Job | None:
    """The job as far as it can be read; None where nothing of it can."""
    file = str(path)
    with path.open("rb") as stream:
        raw = stream.read(MOST_BYTES + 1)  # a byte more than allowed tells, and no more is held
    if len(raw) > MOST_BYTES:
        message = f"more than {MOST_BYTES // 10**6} MB of YAML; move the taxa into a CSV, named by taxa_files"
        raise JobFileError([Problem(file, 1, 1, message)])
    root, problems = compose(decode(file, raw), file)
    if root is None and not problems:
        problems = [Problem(file, 1, 1, "this file is empty; write version: 1 and taxa:")]
    job = YamlJob(path, root, listing).read() if root else None
    listing.problems += problems  # the text's own: the job was read in spite of them, to tell all at once
    return job


def _listed_again(job: Job) -> Iterator[tuple[Problem, bool]]:
    """What to say of each taxon that is listed again with a filter set, and whether it asks the same both times."""
    first: dict[tuple[str, str], FilterSet] = {}
    for listed in job.taxa:
        for named in listed.sets or job.filter_sets:
            row = listed.taxon, named.name
            if row not in first:
                first[row] = named.filters
                continue
            message = f"taxon {listed.taxon} is listed again with filter set {named.name!r}"
            if is_same := first[row] == named.filters:
                message += "; its rows will stand there twice"
            else:
                message += ", but other filters; give this one another name in filter_set"
            assert listed.place is not None, "every taxon that was just read has one"
            yield Problem(*listed.place, message), is_same


def _in_order(file: str, problems: list[Problem]) -> tuple[Problem, ...]:
    """Each once, those of the job file first; no text that looks like a key survives."""
    safe = {replace(one, message=LOOKS_SECRET.sub("...", one.message)) for one in problems}
    return tuple(sorted(safe, key=lambda one: (one.file != file, one)))
