"""The pipelines in configs/ are run for real as far as this machine can: each ends in the table of one run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.local_ncbi_server import serving
from tests.project.snakemake import BIN, SNAKEMAKE, needs_snakemake

CONFIGS = Path(__file__).parents[2] / "configs"
NIGHT = "2026-11-20"
BATCHSUM = BIN / "batchsum"

JOB = """\
version: 1
name: watch
taxa_files: [lists/taxa.csv]
filter_sets:
  all: {}
  human: {host: human, complete_only: true}
  january: {released_between: [2025-01-01, 2025-02-01]}
  week: {released_since: 7d}
api: {requests_per_second: unlimited, workers: 1}
"""


@dataclass
class Lab:
    """A clean folder with a job, a server behind it, and the table that one run makes of it."""

    directory: Path
    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        self.job = self.directory / "jobs" / "watch.yaml"
        (self.job.parent / "lists").mkdir(parents=True)
        self.job.write_text(JOB)
        (self.job.parent / "lists" / "taxa.csv").write_text("taxon\n2697049\n11320\n1335626\n11250\n11053\n")

    def call(self, *command: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {**self.environment, **variables}
        return subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def must(self, *command: str | Path, **variables: str) -> str:
        done = self.call(*command, **variables)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def table_of_one_run(self) -> bytes:
        self.must(BATCHSUM, "run", self.job, "--out", "one", BATCHSUM_TODAY=NIGHT)
        return (self.directory / "one" / "summary.csv").read_bytes()

    def table(self) -> bytes:
        return (self.directory / "out" / "summary.csv").read_bytes()

    def program(self, name: str, text: str) -> None:
        """Put a program before all others of its name."""
        path = self.directory / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with serving(latency="10ms", as_of=None) as server:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NCBI_", "BATCHSUM_"))}
        yield Lab(tmp_path, {
            **kept, "PATH": f"{tmp_path}/bin:{BIN}:{os.environ['PATH']}", "BATCHSUM_BASE_URL": server.base_url,
            "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"),
        })  # fmt: skip


def snakemake(*options: str) -> list[str | Path]:
    config = ["job=jobs/watch.yaml", "out=out", "shards=3", f"night={NIGHT}"]
    snakefile = CONFIGS / "snakemake" / "Snakefile"
    return [str(SNAKEMAKE), "--snakefile", snakefile, "--cores", "2", *options, "--config", *config]


@needs_snakemake
def test_snakemake_goes_from_a_clean_folder_to_the_table(lab: Lab) -> None:
    told = lab.must(*snakemake())
    assert "ncbi_key=100" in told
    assert told.count("ncbi_key=33") == 3
    assert lab.table() == lab.table_of_one_run()
    assert "Nothing to be done" in lab.must(*snakemake())


KILLS_ONE_SHARD = """\
#!/bin/bash
log=nights/{night}/shards/2-of-3/batchsum.log
if [[ "$*" == *"--shard 2/3"* && ! -e killed-3 ]]; then
    touch "killed-$(($(ls killed-* 2>/dev/null | wc -l) + 1))"
    mkdir -p "${{log%/*}}" && : >"$log"
    {real} "$@" &
    until grep -q "shard 2/3" "$log"; do sleep 0.02; done
    kill -9 $!
    exit 137
fi
exec {real} "$@"
"""


@needs_snakemake
def test_snakemake_goes_on_after_a_killed_shard(lab: Lab) -> None:
    lab.program("batchsum", KILLS_ONE_SHARD.format(real=BATCHSUM, night=NIGHT))
    shards = lab.directory / "nights" / NIGHT / "shards"
    assert lab.call(*snakemake()).returncode != 0
    assert not (shards / "2-of-3" / "shard.json").exists()
    finished = {part: run_id(shards / part) for part in ("1-of-3", "3-of-3")}
    lab.must(*snakemake())
    assert "resumed" in (shards / "2-of-3" / "batchsum.log").read_text()
    assert {part: run_id(shards / part) for part in finished} == finished
    assert lab.table() == lab.table_of_one_run()


def run_id(shard: Path) -> str:
    return str(json.loads((shard / "shard.json").read_text())["run_id"])


@needs_snakemake
def test_snakemake_tells_the_jobs_problems_before_anything_is_asked(lab: Lab) -> None:
    lab.job.write_text("version: 1\ntaxa: [11320]\nfilter_set: {}\n")
    done = lab.call(*snakemake())
    assert done.returncode != 0
    assert "unknown key 'filter_set'" in done.stderr
    assert not (lab.directory / "nights" / NIGHT / "shards" / "1-of-3" / "state.sqlite3").exists()


SBATCH = """\
#!{python}
# Runs at once what Slurm would queue.
import os, pathlib, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith("--")]
script, *words = [word for word in sys.argv[1:] if not word.startswith("--")]
with open("queued", "a") as file:
    print(*options, pathlib.Path(script).name, file=file)
array = [option.partition("=")[2] for option in options if option.startswith("--array=")]
first, last = map(int, (array[0] if array else "1-1").split("-"))
for task in range(first, last + 1):
    environment = {{**os.environ, "SLURM_ARRAY_TASK_ID": str(task)}}
    subprocess.run(["bash", script, *words], env=environment, stdout=subprocess.DEVNULL, check=True)
print("7;cluster")
"""


def test_a_slurm_array_and_its_merge(lab: Lab) -> None:
    lab.program("sbatch", SBATCH.format(python=sys.executable))
    told = lab.must(
        "bash", CONFIGS / "slurm" / "submit.sh", "jobs/watch.yaml", "out", "3", "--account=lab", BATCHSUM_TODAY=NIGHT
    )
    assert told == f"night {NIGHT}: shards 7, merge 7\n"
    first, second = (lab.directory / "queued").read_text().splitlines()
    assert "--array=1-3" in first
    assert "--dependency=afterok:7 " in second
    assert all("--account=lab" in line for line in (first, second))
    assert lab.table() == lab.table_of_one_run()


def test_slurm_gets_nothing_of_a_job_with_problems(lab: Lab) -> None:
    lab.program("sbatch", SBATCH.format(python=sys.executable))
    lab.job.write_text("version: 1\n")
    assert lab.call("bash", CONFIGS / "slurm" / "submit.sh", "jobs/watch.yaml", "out", "3").returncode == 2
    assert not (lab.directory / "queued").exists()


@pytest.mark.parametrize("name", ["submit.sh", "shards.sbatch", "merge.sbatch"])
def test_shell_scripts_are_shell(name: str) -> None:
    subprocess.run(["bash", "-n", CONFIGS / "slurm" / name], check=True)


def module(name: str) -> str:
    return (CONFIGS / "nextflow" / "modules" / "batchsum" / name / "main.nf").read_text()


def script(name: str, block: str = "script", **values: Any) -> str:
    """The shell text of a process, with its values put in as Nextflow would."""
    text = re.search(rf'{block}:\n.*?"""\n(.*?)"""', module(name), re.DOTALL)
    assert text is not None
    values = {"task.process": f"WATCH:BATCHSUM_{name.upper()}", "args": "", **values}
    shell = re.sub(r"(?<!\\)\$\{(.+?)\}", lambda found: str(values[found[1]]), text[1]).replace(r"\$", "$")
    assert not re.search(r"^\t", shell, re.MULTILINE)
    return "set -euo pipefail\n" + "\n".join(line.removeprefix("    ") for line in shell.splitlines())


def check_versions(lab: Lab, name: str) -> None:
    version = lab.must(BATCHSUM, "--version").split()[1]
    versions = yaml.safe_load((lab.directory / "versions.yml").read_text())
    assert versions == {f"WATCH:BATCHSUM_{name.upper()}": {"batchsum": version}}


def test_the_scripts_of_nextflow_make_the_table(lab: Lab) -> None:
    (lab.directory / "job").symlink_to(lab.job.parent)
    names = {"jobfile": "watch.yaml", "today": NIGHT}
    lab.must("bash", "-c", script("check", prefix="watch", **names))
    assert json.loads((lab.directory / "watch.json").read_text())["queries"] == 20
    check_versions(lab, "check")
    (lab.directory / "shards").mkdir()
    for part in (1, 2):
        state = lab.directory / "state" / str(part)
        prefix = f"shards/{part}-of-2"
        lab.must("bash", "-c", script("shard", prefix=prefix, part=part, parts=2, state=state, **names))
        assert (state / "shard.json").exists()
    check_versions(lab, "shard")
    lab.must("bash", "-c", script("merge", prefix="watch", out=lab.directory / "out"))
    check_versions(lab, "merge")
    assert (lab.directory / "watch" / "summary.csv").read_bytes() == lab.table() == lab.table_of_one_run()


@pytest.mark.parametrize(("name", "left"), [("check", "p.json"), ("shard", "p/shard.json"), ("merge", "p/run.json")])
def test_the_stubs_of_nextflow_leave_what_their_processes_declare(lab: Lab, name: str, left: str) -> None:
    lab.must("bash", "-c", script(name, "stub", prefix="p"))
    assert (lab.directory / left).exists()
    check_versions(lab, name)


@pytest.mark.parametrize("name", ["check", "shard", "merge"])
def test_nextflows_modules_have_their_form(name: str) -> None:
    text = module(name)
    assert f"process BATCHSUM_{name.upper()} {{" in text
    meta = yaml.safe_load((CONFIGS / "nextflow" / "modules" / "batchsum" / name / "meta.yml").read_text())
    emitted = re.findall(r"emit: (\w+)", text)
    assert meta["name"] == f"batchsum_{name}"
    assert [*meta["output"]] == emitted
    assert emitted[-1] == "versions"
    for word in ("tag ", "label ", "conda ", "container ", "when:", "task.ext.args", "task.ext.prefix", "stub:"):
        assert word in text, word
    assert text.count("{") == text.count("}")


def test_pipelines_use_options_that_there_are(lab: Lab) -> None:
    told = {name: lab.must(BATCHSUM, name, "--help") for name in ("run", "check", "merge")}
    files = [path for folder in ("snakemake", "slurm", "nextflow") for path in (CONFIGS / folder).rglob("*")]
    used = set()
    for path in files:
        if path.is_file():
            text = path.read_text().replace("\\\n", " ").replace('"\n        "', "")
            used |= {
                (command, option)
                for command, rest in re.findall(r"batchsum (run|check|merge) ([^\n|]*)", text)
                for option in re.findall(r"--[a-z][a-z-]*", rest)
            }
    assert {("run", "--shard"), ("run", "--out"), ("check", "--json")} <= used
    assert [(command, option) for command, option in used if option not in told[command]] == []
