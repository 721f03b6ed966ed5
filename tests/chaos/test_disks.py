"""Disks that are full, limited, in the way or somebody else's: exit code 6, one line, and last night's files intact."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.disturbance import assert_goes_on, assert_never_half
from tests.chaos.stage import Stage, contents


def fails(stage: Stage, **order: object) -> str:
    """The first line of what is said where the night cannot be kept."""
    arrived = len(stage.ncbi.server.arrivals)
    assert stage.run(**order) == 6, stage.programs.stderr
    lines = stage.programs.stderr.splitlines()
    assert lines[0].startswith("batchsum: ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert contents(stage.out) == stage.old
    return lines[0] if len(stage.ncbi.server.arrivals) > arrived else f"nothing asked: {lines[0]}"


@pytest.mark.parametrize("kilobytes", [1, 3, 10, 30, 42, 60])
def test_files_may_not_grow(stage: Stage, kilobytes: int) -> None:
    """As a quota does: every file ends at so many kilobytes, those of the database too."""
    stage.begin()
    fails(stage, largest_file=1024 * kilobytes)
    assert_goes_on(stage)


@pytest.fixture
def small_disk(stage: Stage) -> Iterator[Path]:
    """The output directory on a disk of its own, of a megabyte."""
    stage.begin()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(stage.out)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        shutil.copytree(stage.directory / "first", stage.out, dirs_exist_ok=True)
        yield stage.out
    finally:
        subprocess.run(["umount", str(stage.out)], check=True)


@pytest.mark.parametrize("left", [0, 1, 3, 6, 10, 16, 24, 36])
def test_the_disk_is_full(stage: Stage, small_disk: Path, left: int) -> None:
    """`left` blocks of four kilobytes are free."""
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * 4096)
            except OSError:
                break
        file.truncate(max(0, file.tell() // 4096 - left) * 4096)
    code = stage.run()
    assert code in (6, stage.code), stage.programs.stderr
    assert_never_half(stage)
    if code == 6:
        first, *notes = stage.programs.stderr.splitlines()
        assert "full" in first or "No space" in first
        assert all(line.startswith("  ") for line in notes)
        assert contents(stage.out) == stage.old
    else:
        assert left > 10
    ballast.unlink()
    assert_goes_on(stage)


def test_a_file_where_the_directory_should_be(stage: Stage) -> None:
    shutil.rmtree(stage.out, ignore_errors=True)
    stage.out.write_text("mine")
    try:
        assert stage.run() == 6
        assert str(stage.out) in stage.programs.stderr
        assert stage.programs.stderr.count("\n") == 1
        assert stage.out.read_text() == "mine"
    finally:
        stage.out.unlink()


def test_a_directory_where_the_table_should_be(stage: Stage) -> None:
    stage.begin()
    (stage.out / "summary.csv").unlink()
    (stage.out / "summary.csv").mkdir()
    arrived = len(stage.ncbi.server.arrivals)
    assert stage.run() == 6
    assert "summary.csv is not a file" in stage.programs.stderr
    assert len(stage.ncbi.server.arrivals) == arrived


def spoil_state(state: Path) -> None:
    state.write_bytes(b"this is no database, but a text of some length\n" * 100)


def damage_state(state: Path) -> None:
    with state.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 4)


def age_state(state: Path) -> None:
    _execute(state, "PRAGMA user_version = 99")


def swap_state(state: Path) -> None:
    state.unlink()
    _execute(state, "CREATE TABLE recipes (name TEXT)")


def _execute(state: Path, statement: str) -> None:
    connection = sqlite3.connect(state)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_state, "is damaged (file is not a database); move it away"),
        (damage_state, "is damaged (database disk image is malformed); move it away"),
        (age_state, "was written by a newer batchsum"),
        (swap_state, "is somebody else's database"),
    ],
)
def test_a_state_that_is_none(stage: Stage, spoil: object, words: str) -> None:
    stage.begin()
    spoil(stage.out / "state.sqlite3")  # type: ignore[operator]
    said = fails(stage)
    assert said.startswith("nothing asked: ")
    assert words in said


@pytest.mark.parametrize(
    "text",
    ["not JSON", "[1, 2]", '{"name": "somebody else"}', '{"generation": "1", "files": []}', "[" * 100_000,
     f'{{"generation": {10**23}, "files": {{}}}}'],
    ids=["no_json", "list", "other", "types", "nested", "huge"],
)  # fmt: skip
def test_a_manifest_that_is_none(stage: Stage, text: str) -> None:
    stage.begin()
    (stage.out / "run.json").write_text(text)
    said = fails(stage)
    assert "nothing asked" in said
    assert "run.json is not a manifest of batchsum" in said
    assert (stage.out / "run.json").read_text() == text


def test_the_log_cannot_be_written(stage: Stage) -> None:
    """A table without a log is worth more than none."""
    stage.begin()
    (stage.out / "batchsum.log").unlink()
    (stage.out / "batchsum.log").mkdir()
    assert stage.run() == stage.code
    assert contents(stage.out) == stage.new


def test_the_log_is_turned_over(stage: Stage) -> None:
    stage.begin()
    (stage.out / "batchsum.log").write_bytes(b"x" * 2**20)
    assert stage.run() == stage.code
    assert (stage.out / "batchsum.log.1").stat().st_size == 2**20
    lines = (stage.out / "batchsum.log").read_text().splitlines()
    assert "36 queries, 45 requests to " in lines[0]


def test_links_and_modes_are_the_users(stage: Stage) -> None:
    stage.begin()
    elsewhere = stage.directory / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (stage.out / "summary.csv").rename(elsewhere / "table.csv")
    (stage.out / "summary.csv").symlink_to(elsewhere / "table.csv")
    (elsewhere / "table.csv").chmod(0o640)
    (stage.out / "changes.csv").chmod(0o600)
    assert stage.run() == stage.code
    assert contents(stage.out) == stage.new
    assert (stage.out / "summary.csv").is_symlink()
    assert (elsewhere / "table.csv").stat().st_mode & 0o777 == 0o640
    assert (stage.out / "changes.csv").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in elsewhere.iterdir()] == ["table.csv"]


def test_a_format_that_is_written_no_more_goes(stage: Stage) -> None:
    stage.begin()
    job = stage.directory / "night.yaml"
    written = job.read_text()
    try:
        job.write_text(written.replace("[csv, tsv, jsonl]", "[jsonl]"))
        assert stage.run() == stage.code
    finally:
        job.write_text(written)
    assert sorted(path.name for path in stage.out.glob("summary.*")) == ["summary.jsonl"]
    assert set(json.loads((stage.out / "run.json").read_bytes())["files"]) >= {"summary.jsonl", "changes.csv"}


def test_leftovers_of_a_killed_run_are_swept(stage: Stage) -> None:
    stage.begin()
    (stage.out / ".summary.csv.0badcafe.batchsum-tmp").write_text("half")
    assert stage.run() == stage.code
    assert list(stage.out.glob(".*tmp")) == []
