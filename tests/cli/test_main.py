"""The command line: exit codes, what is said and where, and what options mean."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batchsum.cli import COMMANDS, main
from batchsum.run import ask
from batchsum.version import __version__
from tests.builders.jobs import job_text, next_day
from tests.fakes.raw_server import RawServer, answer, delayed, error, never


def night(job: Path, raw: RawServer, *options: object) -> int:
    with next_day(job):
        return main(["run", str(job), "--base-url", raw.base_url, *map(str, options)])


def test_the_version_is_one_line_from_a_program_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-m", "batchsum", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"batchsum {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sleep"],
        ["run"],
        ["run", "job.yaml", "--rps", "0"],
        ["run", "job.yaml", "--rps", "nan"],
        ["run", "job.yaml", "--workers", "0"],
        ["run", "job.yaml", "--deadline", "soon"],
        ["run", "job.yaml", "--deadline", "0s"],
        ["run", "job.yaml", "--if-locked", "steal"],
        ["run", "job.yaml", "--format", "csv,docx"],
        ["run", "job.yaml", "--api-key", "0123456789"],
        ["run", "job.yaml", "--api", "0123456789"],
        ["run", "job.yaml", "--exit-code-on-change", "256"],
    ],
)
def test_usage_errors_are_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "batchsum" in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "job.yaml"], "there is no command 'rnu'; did you mean run?"),
        (["print"], "there is no command 'print'\n"),
        (["completion"], "bash|zsh|fish"),
        (["run", "job.yaml", "--deadline", "6"], "as in 6s, 6m, 6h or 6d"),
        (["run", "job.yaml", "--deadlin=6h"], "unknown '--deadlin'; did you mean --deadline?"),
        (["run", "job.yaml", "another.yaml"], "unknown 'another.yaml'"),
        (["explain", "out", "--night", "3"], "did you mean --nights?"),
        (["--quiet", "run", "job.yaml"], "unknown '--quiet'; write it behind the command"),
        ([__file__], f"there is no command {__file__!r}; write batchsum run {__file__}"),
        (["run", "job.yaml", "--out", ""], "--out: is not the path of a file or directory"),
        (["accept", "out", "11320", "--note", "a\x1b[31m"], "--note: has an invisible character, U+001B"),
    ],
)
def test_a_usage_error_names_the_word_and_a_near_one(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capfd.readouterr().err.splitlines(keepends=True)[0]


@pytest.mark.parametrize("command", ["check", "run"])
def test_no_day_and_no_server_is_not_any_day_or_server(
    job: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    job.write_text(job_text(11320))
    assert main([command, str(job), "--base-url", ""]) == 2
    assert "base URL is empty; write a value, or leave it out" in capfd.readouterr().err
    monkeypatch.setenv("BATCHSUM_TODAY", "0001-01-01")
    assert main([command, str(job)]) == 2
    assert "BATCHSUM_TODAY: '0001-01-01' is not a day from 2000 to 2099" in capfd.readouterr().err


def test_a_run_is_either_begun_anew_or_gone_on_with(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job.write_text(job_text(11320))
    assert main(["run", str(job), "--fresh", "--retry"]) == 2
    assert "--fresh begins the night anew, and --retry keeps most of the last one" in capfd.readouterr().err


def test_a_job_file_with_problems_is_2_and_leaves_nothing(job: Path, raw: RawServer) -> None:
    job.write_text(job_text(11320, nonsense=1))
    assert night(job, raw) == 2
    assert raw.arrivals == []
    assert [path.name for path in job.parent.iterdir()] == ["night.yaml"]


@pytest.mark.parametrize(
    "options",
    [
        ["--base-url", "http://api.ncbi.nlm.nih.gov/datasets/v2"],
        ["--base-url", "https://me:secret@host/v2"],
        ["--base-url", "https://api.ncbi.nlm.nih.gov/datasets/v2", "--rps", "11"],
        ["--base-url", "https://api.ncbi.nlm.nih.gov/datasets/v2", "--rps", "unlimited"],
        ["--api-key-file", "/nowhere/key"],
    ],
)
def test_what_nobody_should_ask_is_2_before_anything_is_made(
    job: Path, options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(job), *options]) == 2
    assert "secret" not in capfd.readouterr().err
    assert not (job.parent / "out/night/state.sqlite3").exists()


def test_the_environment_may_name_the_server(job: Path, raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSUM_BASE_URL", raw.base_url)
    assert main(["run", str(job)]) == 0
    assert raw.counts == {"11320": 1, "11520": 1}


def test_a_change_may_have_an_exit_code(job: Path, raw: RawServer) -> None:
    assert night(job, raw, "--exit-code-on-change", 10) == 0
    raw.on("11320", answer(200, {"record_count": 8}))
    assert night(job, raw, "--exit-code-on-change", 10) == 10
    assert night(job, raw, "--exit-code-on-change", 10) == 0
    raw.on("11520", error(500))
    assert night(job, raw, "--exit-code-on-change", 10) == 3


def test_the_failure_fits_a_mail(tmp_path: Path, raw: RawServer, capfd: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "night.yaml"
    job.write_text(job_text(*range(1, 500), api={"attempts": 1}))
    reasons = [400, 404, 405, 406, 409, 410, 501]
    for number in range(1, 400):
        raw.on(str(number), error(reasons[number % 7], f"number {number} " + "and so on " * 50))
    assert night(job, raw) == 3
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("batchsum: night, night of 2")
    assert lines[0].endswith(": 399 of 499 rows have no count to rely on, new tonight")
    assert len(lines) < 25
    assert max(map(len, lines)) < 250
    assert "  rejected 7 / all: bad_request: number 7 and so on" in err
    assert "and 387 more taxa" in err
    run_id = json.loads((tmp_path / "out/night/run.json").read_bytes())["run_id"]
    for fact in (run_id, "100 ok, 114 rejected, 285 failed", str(tmp_path / "out/night/batchsum.log")):
        assert fact in err


def test_after_the_deadline_the_rest_is_skipped_and_the_table_is_there(
    job: Path, raw: RawServer, capfd: pytest.CaptureFixture[str]
) -> None:
    raw.on("11520", never)
    assert night(job, raw, "--deadline", "1s") == 3
    table = (job.parent / "out/night/summary.csv").read_text().splitlines()
    assert ",ok,7," in table[1]
    assert ",skipped," in table[2]
    assert "deadline: " in table[2]
    assert "skipped  11520 / all: deadline: " in capfd.readouterr().err
    # What was published is over: the next night asks both.
    raw.arrivals.clear()
    raw.on("11520")
    assert night(job, raw) == 0
    assert raw.counts == {"11320": 1, "11520": 1}


def test_what_an_outage_left_unasked_is_not_the_deadlines(job: Path, raw: RawServer, long_pause: None) -> None:
    job.write_text(job_text(11320, *range(1, 30), api={"attempts": 1, "max_outage": "1s"}))
    raw.always(error(500))
    raw.on("11320", answer(200, {"record_count": 7}))
    assert night(job, raw, "--workers", 1, "--deadline", "4s") == 3
    table = (job.parent / "out/night/summary.csv").read_text()
    assert table.count("outage: NCBI does not answer (test taxon 2697049: ") == 22
    assert "deadline" not in table


def test_a_server_that_wants_to_be_left_alone_ends_the_night_at_once(
    job: Path, raw: RawServer, long_pause: None
) -> None:
    raw.on("11520", answer(429, b"", {"Retry-After": "86400"}))
    assert night(job, raw, "--workers", 1, "--deadline", "30s") == 3
    assert "outage: the server wants no request for 86,400 s" in (job.parent / "out/night/summary.csv").read_text()


def test_a_deadline_with_nothing_to_show_is_4(job: Path, raw: RawServer) -> None:
    raw.always(never)
    assert night(job, raw, "--deadline", "1s") == 4
    assert not (job.parent / "out/night/summary.csv").exists()


def test_a_deadline_does_not_cut_what_is_done_in_time(job: Path, raw: RawServer) -> None:
    raw.on("11520", delayed(0.1, answer(200, {"record_count": 9})))
    assert night(job, raw, "--deadline", "1h") == 0


def test_a_bug_is_one_line_and_a_traceback_in_the_log(
    job: Path, raw: RawServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def wrong(*_: object) -> None:
        raise LookupError("seven of nine")

    monkeypatch.setattr(ask.Fetcher, "first_round", wrong)
    assert night(job, raw) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "batchsum: a bug: LookupError; the log has the traceback\n"
    assert "LookupError: seven of nine" in (job.parent / "out/night/batchsum.log").read_text()


def test_a_bug_of_a_command_without_a_log(
    monkeypatch: pytest.MonkeyPatch, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def wrong(*_: object) -> None:
        raise LookupError("seven of nine")

    import logging

    monkeypatch.setattr(logging.getLogger("batchsum"), "handlers", [])
    monkeypatch.setattr("batchsum.cli.check.load_job", wrong)
    assert main(["check", str(job)]) == 1
    assert capfd.readouterr().err == "batchsum: a bug: LookupError; BATCHSUM_DEBUG=1 shows the traceback\n"
    monkeypatch.setenv("BATCHSUM_DEBUG", "1")
    assert main(["check", str(job)]) == 1
    assert "seven of nine" in capfd.readouterr().err


def test_a_night_whose_stderr_is_closed_goes_on(job: Path, raw: RawServer) -> None:
    raw.on("11520", error(404, "no such taxon"))
    command = [sys.executable, "-m", "batchsum", "run", str(job), "--base-url", raw.base_url, "-v"]
    done = subprocess.run(["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 3
    assert done.stdout == b""


def test_whoever_stops_reading_is_no_error(job: Path) -> None:
    check = f"{sys.executable} -m batchsum check {job} --json --base-url http://127.0.0.1:1/v2"
    command = f"{check} | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_where_standard_output_is_closed_the_command_works_all_the_same(job: Path) -> None:
    command = [sys.executable, "-m", "batchsum", "check", str(job), "--base-url", "http://127.0.0.1:1/v2"]
    done = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_output_that_cannot_be_written_is_6(job: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "batchsum", "check", str(job), "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 6
    assert done.stderr == "batchsum: standard output: No space left on device\n"


@pytest.mark.parametrize(
    "words", [["accept", "OUT", "11320"], ["init", "OUT"], ["merge", "table", "OUT"], ["schedule", "job", "--systemd"]]
)
def test_a_directory_that_cannot_be_looked_into_is_no_bug(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / ("a" * 300))  # as a directory of somebody else, but for root as well
    job = tmp_path / "job.yaml"
    job.write_text(f"version: 1\ntaxa: [11320]\noutput: {{dir: {out}}}\n")
    code = main([{"OUT": out, "job": str(job)}.get(word, word) for word in words])
    told = capsys.readouterr().err
    assert "a bug" not in told
    if sys.version_info < (3, 14):  # from there on, what cannot be looked at is taken for missing
        assert code == 6
        assert told.startswith(f"batchsum: {out}")
        assert told.endswith(": File name too long\n")


def test_every_command_has_its_own_help(capfd: pytest.CaptureFixture[str]) -> None:
    for name, *_ in COMMANDS:
        assert main([name, "--help"]) == 0
        assert f"batchsum {name}" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1", "address already in use"), ("nowhere.invalid", ""), ("192.0.2.1", "")]
)
def test_a_server_that_cannot_listen_says_what_to_write(
    host: str, why: str, raw: RawServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--host", host, "--port", str(raw.port)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"batchsum: serve: {host}:{raw.port}: {why}")
    assert told.endswith("; name another --host or --port (0 takes a free one)\n")
