"""configs/README.md and --help are true: their tables are those of the code, and every recipe runs."""

import csv
import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchsum import errors
from batchsum.cli import epilog, main, whole_parser
from batchsum.config.load import load_job
from batchsum.local_ncbi.faults import parse_fault
from tests.builders import reference_tables
from tests.builders.jobs import next_day
from tests.fakes.local_ncbi_server import serving
from tests.fakes.scripted_ncbi import scripted_ncbi
from tests.project.snakemake import SNAKEMAKE, needs_snakemake

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "configs/recipes"
PAGE = reference_tables.PAGE.read_text(encoding="utf-8")


def told_by_help(name: str) -> dict[str, str]:
    """What `--help` tells in a table of two columns."""
    lines = (ROOT / f"batchsum/cli/data/help/{name}.txt").read_text(encoding="utf-8").splitlines()[1:]
    return dict(re.split(" {2,}", line.strip(), maxsplit=1) for line in lines)


EXIT_CODES = told_by_help("exit_codes")
FILES = told_by_help("files")


def options_of(command: str) -> set[str]:
    choices = next(action.choices for action in whole_parser()._actions if isinstance(action.choices, dict))
    return {option for action in choices[command]._actions for option in action.option_strings}


# The page


def test_the_tables_are_those_of_the_code() -> None:
    is_filled = reference_tables.filled(PAGE) == PAGE
    assert is_filled, "the tables of configs/README.md are old: run python -m tests.builders.reference_tables"


def test_every_key_of_the_commented_job_is_in_the_page() -> None:
    text = (ROOT / "configs/nightly.yaml").read_text(encoding="utf-8")
    keys = set(re.findall(r"^ *#?([a-z_]+):", text, re.MULTILINE)) | set(re.findall(r"[{,] ?([a-z_]+):", text))
    told = {key.rpartition(".")[2] for key in re.findall(r"^\| `([a-z_.]+)` \|", PAGE, re.MULTILINE)}
    own_names = {"all", "human", "this_week", "january", "weekly", "region"}
    assert keys - told - own_names == set()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]*)", PAGE):
        assert (reference_tables.PAGE.parent / target).exists(), target
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors(PAGE)


def anchors(page: str) -> set[str]:
    """What a link can lead to in a page: its headings, as they become addresses."""
    headings = (line.lstrip("# ") for line in page.splitlines() if line.startswith("#"))
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def command_lines() -> list[str]:
    inline = re.findall(r"`(batchsum [^`]+)`", PAGE)
    fenced = re.findall(r"^(?:\$ )?(?:[A-Z_]+=\S+ )?(batchsum [^&;\n]+)", PAGE, re.MULTILINE)
    scripts = [epilog(command) for command in ("", "run", "check", "init")]
    shown = [line.strip() for text in scripts for line in text.splitlines() if line.startswith("  batchsum ")]
    return [re.split(r" {3,}|&&|\|", line)[0] for line in (*inline, *fenced, *shown) if "COMMAND" not in line]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_that_is_shown_exists(line: str) -> None:
    _, name, *words = shlex.split(line)
    assert {word for word in words if word.startswith("--")} <= options_of(name)


def test_every_fault_that_is_shown_is_one() -> None:
    shown = re.findall(r"--fault '([^']+)'", PAGE)
    assert len(shown) == 3
    assert all(parse_fault(text) for text in shown)


def test_the_files_of_a_run_are_explained() -> None:
    assert set(FILES) <= set(re.findall(r"^\| `([\w.]+)` \|", PAGE, re.MULTILINE))


def test_every_exit_code_is_explained_in_both_places() -> None:
    raised = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    told = {int(code) for codes in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for code in codes.split(", ")}
    listed = {int(code) for codes in EXIT_CODES for code in codes.split(", ")}
    assert raised - {0} <= told
    assert told == listed - {0}


def guards_that_speak() -> set[str]:
    """The words with which the error of a suspect row begins, as the files that judge write them."""
    judging = [path for name in ("guards", "judge", "neighbours") for path in ROOT.glob(f"batchsum/run/{name}.py")]
    return {word for path in judging for word in re.findall(r'f"([a-z_]+): ', path.read_text(encoding="utf-8"))}


def test_every_guard_is_explained() -> None:
    told = set(re.findall(r"^\| `(\w+):` \|", PAGE, re.MULTILINE))
    assert guards_that_speak() == told, "configs/README.md: the table of guards"


# --help


def test_help_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "exit codes:" in told
    assert "first steps:" in told
    assert main(["run", "--help"]) == 0
    told = capsys.readouterr().out
    for word in (*options_of("run") - {"--api-key", "-h", "-q", "-v"}, "summary.csv", "exit codes:", "examples:"):
        assert word in told, word


def test_the_files_that_help_lists_are_those_of_a_run(tmp_path: Path) -> None:
    job = tmp_path / "job.csv"
    job.write_text("taxon\n11320\n")
    with scripted_ncbi() as ncbi:
        assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    left = {path.name for path in (tmp_path / "out/job").iterdir() if not re.match(r"\.|.*-journal$", path.name)}
    assert left == set(FILES)


# The recipes


def run(job: Path, out: Path, base_url: str) -> int:
    """The night after the last one in `out`."""
    with next_day(job, out):
        return main(["run", str(job), "--out", str(out), "--base-url", base_url, "--rps", "unlimited"])


def table(out: Path, name: str = "summary.csv") -> list[dict[str, str]]:
    with (out / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ncbi() -> Iterator[str]:
    with serving() as server:
        yield server.base_url


def recipes() -> list[str]:
    return sorted(path.name for path in RECIPES.glob("*.yaml"))


def test_every_recipe_is_in_the_page_and_runs(ncbi: str, tmp_path: Path) -> None:
    assert recipes() == sorted(re.findall(r"\(recipes/(\w+\.yaml)\)", PAGE))
    for name in recipes():
        job = load_job(RECIPES / name)
        assert job.name == name.removesuffix(".yaml")
        assert job.warnings == ()
        assert {"parquet", "xlsx"}.isdisjoint(job.output.formats)  # which a plain install cannot write
        assert run(RECIPES / name, tmp_path / name, ncbi) == 0
        assert any(row["status"] == "ok" for row in table(tmp_path / name))


def test_weekly_growth_has_a_row_for_each_country_and_week(ncbi: str, tmp_path: Path) -> None:
    assert run(RECIPES / "weekly_growth.yaml", tmp_path, ncbi) == 0
    rows = table(tmp_path)
    assert len(rows) == 3 * 5 * 8
    assert {row["geo_location"] for row in rows} == {"Brazil", "India", "South Africa", "United Kingdom", "USA"}
    weeks = sorted({row["released_since"] for row in rows})
    assert len(weeks) == 8
    assert rows[0]["filter_set"] == f"by_country/Brazil/{weeks[0]}"


def test_the_refseq_watch_marks_a_single_genome_that_is_missing(tmp_path: Path) -> None:
    with scripted_ncbi(otherwise=lambda question: {"record_count": 8}) as server:
        assert run(RECIPES / "refseq_watch.yaml", tmp_path, server.base_url) == 0
        server.answers["11320?refseq_only=true&annotated_only=true"] = {"record_count": 7}
        assert run(RECIPES / "refseq_watch.yaml", tmp_path, server.base_url) == 3
    (suspect,) = [row for row in table(tmp_path) if row["status"] == "suspect"]
    assert suspect["error"].startswith("fell: 7 is 12.5 % below 8")


def test_download_planning_tells_size_parts_and_command(ncbi: str, tmp_path: Path) -> None:
    assert run(RECIPES / "download_planning.yaml", tmp_path, ncbi) == 0
    rows = {(row["label"], row["filter_set"]): row for row in table(tmp_path)}
    dengue = rows["Dengue", "genomes"]
    assert int(dengue["hydrated_estimated_file_size_mb"]) > 0
    assert dengue["hydrated_cli_download_command_line"].startswith("datasets download virus genome")
    assert int(dengue["all_genomic_fasta_file_count"]) > 0


@contextmanager
def slack() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat's webhook on this machine, and what was posted there."""
    posted: list[dict[str, Any]] = []

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", posted
        finally:
            server.shutdown()
            thread.join()


def test_slack_hears_of_drops_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = RECIPES / "slack_on_drops.yaml"
    with slack() as (address, posted), scripted_ncbi(otherwise=lambda question: {"record_count": 1000}) as server:
        monkeypatch.setenv("SLACK_WEBHOOK", address)
        server.otherwise = lambda question: {"record_count": 1000 - len(question.parameters)}
        assert run(job, tmp_path, server.base_url) == 0
        server.answers = {"11320": {"record_count": 2000}}
        assert run(job, tmp_path, server.base_url) == 0
        assert len(table(tmp_path, "changes.csv")) == 1
        assert posted == []
        server.answers["12637"] = {"record_count": 10}
        server.answers["12637?host=human"] = {"record_count": 9}
        assert run(job, tmp_path, server.base_url) == 3
    (message,) = posted
    first, *lines = message["text"].splitlines()
    assert re.fullmatch(r"slack_on_drops, night of \d{4}-\d\d-\d\d: records went missing", first)
    assert lines[0].startswith("• became_suspect: Dengue / all: 1000 → 10 fell: 10 is 99.0 % below 1,000")
    assert len(lines) == 2


def test_the_hook_escapes_what_a_chat_would_read(tmp_path: Path) -> None:
    change = {
        "change": "fell", "taxon": "1", "label": "<!channel> & co", "filter_set": "all", "error": "",
        "previous_record_count": 2, "record_count": 1,
    }  # fmt: skip
    facts = {"job": "j", "night": "2026-11-23", "changes": [change, {**change, "change": "grew"}]}
    with slack() as (address, posted):
        subprocess.run(
            [sys.executable, RECIPES / "tell_drops.py"],
            input=json.dumps(facts), text=True, timeout=20, check=True, env={**os.environ, "SLACK_WEBHOOK": address},
        )  # fmt: skip
    assert posted == [
        {"text": "j, night of 2026-11-23: records went missing\n• fell: &lt;!channel&gt; &amp; co / all: 2 → 1"}
    ]


@pytest.mark.parametrize("name", ["Snakefile", "main.nf"])
def test_the_command_of_a_pipeline_step_exists(name: str) -> None:
    text = (RECIPES / name).read_text(encoding="utf-8")
    (line,) = re.findall(r"^ *\"?(batchsum run .*?) \|\| \[ \\?\$\? -eq 3 \]", text, re.MULTILINE)
    words = shlex.split(line)
    assert {word for word in words if word.startswith("--")} <= options_of("run")
    assert words[words.index("--if-locked") + 1] == "wait"


def test_nextflows_python_says_what_snakemakes_does() -> None:
    snakemake, nextflow = ((RECIPES / name).read_text(encoding="utf-8") for name in ("Snakefile", "main.nf"))
    shared = [line.strip() for line in snakemake.splitlines() if "csv." in line or "writer." in line]
    assert len(shared) == 4
    assert all(line in nextflow for line in shared)


@needs_snakemake
def test_the_snakemake_step_runs(tmp_path: Path) -> None:
    job = tmp_path / "job.csv"
    job.write_text("taxon\n11320\n11520\n")
    program = tmp_path / "bin" / "batchsum"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m batchsum "$@"\n')
    program.chmod(0o755)
    with scripted_ncbi(answers={"11520": (400, {"code": 3, "message": "The taxonomy name is not valid"})}) as server:
        env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "BATCHSUM_BASE_URL": server.base_url}
        done = subprocess.run(
            [str(SNAKEMAKE), "--cores", "1", "--snakefile", RECIPES / "Snakefile", "--config", f"job={job}"],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (tmp_path / "believed.csv").open(newline="") as file:
        assert [row["taxon"] for row in csv.DictReader(file)] == ["11320"]
