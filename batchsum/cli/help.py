"""What `--help` says below the options: examples, exit codes, files. Enough to do without any other page.

Plain text and nothing imported: `--help` answers at once.
"""

EXIT_CODES = {
    "0": "every query answered (no records is an answer)",
    "1": "a bug in batchsum",
    "2": "usage or job file; nothing was sent",
    "3": "published, but some rows are suspect, rejected, failed or skipped",
    "4": "nothing usable; last night's files were left alone",
    "5": "the server refused us: key, block, TLS, redirect",
    "6": "output or state cannot be written",
    "75": "another run of this job is under way",  # as EX_TEMPFAIL of sysexits.h: try again later
    "130, 143": "interrupted by SIGINT, SIGTERM; the same command resumes",
}

FILES = {
    "summary.csv": "the table: one row for each taxon and filter set; .tsv .jsonl .parquet .xlsx with --format",
    "changes.csv": "what differs from the last night",
    "counts.csv": "the counts as a matrix: a row for each taxon, a column for each filter set",
    "report.html": "both as a page that needs no network",
    "datapackage.json": "what each column of the two tables means, for programs",
    "run.json": "the manifest: times, counts, digests; replaced last",
    "metrics.prom": "the run in numbers, for Prometheus",
    "state.sqlite3": "the answers as they come, and the nights before",
    "batchsum.log": "what happened, and when",
}
"""What a run leaves in its output directory."""

_PROGRAM = """\
first steps:
  batchsum demo                       two nights against a server that comes along; no network, no key
  batchsum init watch                 a commented job in watch/job.yaml, and its schema for editors
  batchsum check watch/job.yaml       what is wrong with it, what it asks, how long that takes
  batchsum run watch/job.yaml         one night; the same command goes on after an interruption
  batchsum COMMAND --help             the options of a command, with examples

environment:
  NCBI_API_KEY         the key, unless --api-key-file names a file that holds it
  BATCHSUM_BASE_URL    another server than NCBI's
  BATCHSUM_TODAY       the day of the night, YYYY-MM-DD, where a pipeline begins it around midnight UTC
  HTTPS_PROXY          the proxy through which NCBI is reached
  NO_COLOR             no colours on the terminal
  BATCHSUM_DEBUG       the traceback of a bug
"""

_RUN = """\
examples:
  batchsum run job.yaml
  batchsum run taxa.csv --out counts --format csv,parquet
  batchsum run job.yaml --deadline 6h --if-locked skip --api-key-file ~/.config/batchsum/api_key
  batchsum run job.yaml --accept 1335626/human      believe this row's new level

Nothing is printed on success unless stderr is a terminal; on failure a short block says why. Killed at any time,
the same command goes on where it was.
"""

_CHECK = """\
examples:
  batchsum check job.yaml
  batchsum check job.yaml --json | jq .requests

Sends nothing (but with --online): every problem of the job file at once, with its line and what to write instead,
then the rows, the requests after sharing, and how long they take.
"""

_INIT = """\
example:
  batchsum init watch && batchsum check watch/job.yaml

Writes DIR/job.yaml, which runs as it is, and DIR/batchsum.schema.json, by which editors with a YAML language
server know its keys. Files that are there already are left alone (exit code 2).
"""


def _table(title: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join([f"{title}:", *(f"  {name.ljust(width)}{about}" for name, about in rows.items()), ""])


def epilog(command: str) -> str:
    """What stands below the options of a command; of the program itself where `command` is empty."""
    codes = _table("exit codes", EXIT_CODES)
    match command:
        case "":
            return f"{_PROGRAM}\n{codes}"
        case "run":
            return "\n".join([_RUN, _table("files in the output directory", FILES), codes])
        case "check":
            return _CHECK
        case "init":
            return _INIT
        case "completion":
            # Imported here, since it needs shtab, which other commands do without.
            from batchsum.cli.completion import HOW

            return _table("where it goes", HOW)
    return ""
