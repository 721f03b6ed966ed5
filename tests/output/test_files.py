"""Files into place: modes, links, digests, order; and a publication that was cut off at any point."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from batchsum.errors import OutputError
from batchsum.output.files import Publication, check_targets, prepare, put_in_place, read_manifest, sweep

NAMES = ("summary.csv", "changes.csv")


def prepared(directory: Path, text: str = "tonight", owner: str = "0wner", generation: int = 1) -> Publication:
    writers = {name: lambda path, name=name: path.write_text(f"{name} {text}") and None for name in NAMES}
    return prepare(directory, owner, writers, {"generation": generation})


def test_nothing_is_in_place_before_everything_is_written(tmp_path: Path) -> None:
    publication = prepared(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    assert len(list(tmp_path.iterdir())) == 3
    assert put_in_place(tmp_path, publication)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changes.csv", "run.json", "summary.csv"]
    manifest = json.loads((tmp_path / "run.json").read_text())
    for name in NAMES:
        assert manifest["files"][name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert read_manifest(tmp_path)["generation"] == 1
    assert put_in_place(tmp_path, publication)  # once more, as after a crash at the very end


def test_what_a_full_disk_does_not_take_is_taken_away(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    writers = {"summary.csv": lambda path: path.write_text("whole"), "changes.csv": full}
    with pytest.raises(OSError, match="No space"):
        prepare(tmp_path, "me", writers, {"generation": 1})
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_last(tmp_path: Path) -> None:
    assert list(prepared(tmp_path).files) == [*NAMES, "run.json"]


@pytest.mark.parametrize("placed", [1, 2, 3])
def test_what_was_cut_off_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed: int) -> None:
    put_in_place(tmp_path, prepared(tmp_path, "last night", "before"))
    publication = prepared(tmp_path, generation=2)
    really, calls = os.replace, iter(range(placed))

    def replace(source: Path, target: Path) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        really(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        if placed < 3:
            with pytest.raises(KeyboardInterrupt):
                put_in_place(tmp_path, publication)
            assert read_manifest(tmp_path)["generation"] == 1
    assert put_in_place(tmp_path, publication)
    assert read_manifest(tmp_path)["generation"] == 2
    assert (tmp_path / "summary.csv").read_text() == "summary.csv tonight"


@pytest.mark.parametrize("lost", NAMES)
def test_what_cannot_be_finished_is_not_touched(tmp_path: Path, lost: str) -> None:
    put_in_place(tmp_path, prepared(tmp_path, "last night", "before"))
    publication = prepared(tmp_path, generation=2)
    (tmp_path / f".{lost}.0wner.batchsum-tmp").unlink()
    assert not put_in_place(tmp_path, publication)
    assert [(tmp_path / name).read_text() for name in NAMES] == [f"{name} last night" for name in NAMES]
    assert read_manifest(tmp_path)["generation"] == 1


def test_two_may_finish_the_same_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publication = prepared(tmp_path)
    other_was_here, really = False, os.replace

    def replace(source: Path, target: Path) -> None:
        nonlocal other_was_here
        if not other_was_here:
            other_was_here = True
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", really)
                assert put_in_place(tmp_path, publication)
        really(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert put_in_place(tmp_path, publication)
    assert (tmp_path / "summary.csv").read_text() == "summary.csv tonight"


def test_new_files_have_the_mode_that_others_get(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        put_in_place(tmp_path, prepared(tmp_path))
    finally:
        os.umask(old)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in NAMES} == {0o640}


def test_private_files_are_private_all_the_while(tmp_path: Path) -> None:
    put_in_place(tmp_path, prepared(tmp_path, "last night", "before"))
    (tmp_path / "summary.csv").chmod(0o600)
    seen = []

    def write(path: Path) -> None:
        path.write_text("secret")
        seen.append(path.stat().st_mode & 0o777)

    publication = prepare(tmp_path, "0wner", {"summary.csv": write}, {"generation": 2})
    assert seen == [0o600]
    put_in_place(tmp_path, publication)
    assert (tmp_path / "summary.csv").stat().st_mode & 0o777 == 0o600


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    directory, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    directory.mkdir()
    elsewhere.mkdir()
    (directory / "summary.csv").symlink_to("../elsewhere/table.csv")  # leads to nothing yet
    put_in_place(directory, prepared(directory))
    assert (directory / "summary.csv").is_symlink()
    assert (elsewhere / "table.csv").read_text() == "summary.csv tonight"
    assert [path.name for path in elsewhere.iterdir()] == ["table.csv"]


def test_tables_that_are_made_no_more_go_before_the_manifest_says_so(tmp_path: Path) -> None:
    put_in_place(tmp_path, prepared(tmp_path))
    only = {"summary.tsv": lambda path: path.write_text("x") and None}
    publication = prepare(tmp_path, "0wner", only, {"generation": 2})
    assert publication.stale == ["summary.csv"]
    assert put_in_place(tmp_path, publication)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changes.csv", "run.json", "summary.tsv"]


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    names = {"../mine": "0", str(tmp_path / "mine"): "0", "": "0", "summary.a/../../../mine": "0"}
    (tmp_path / "out/run.json").write_text(json.dumps({"generation": 1, "files": names}))
    put_in_place(tmp_path / "out", prepared(tmp_path / "out", generation=2))
    assert (tmp_path / "mine").exists()


def test_a_link_into_nowhere_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "summary.csv").symlink_to("missing/table.csv")
    with pytest.raises(OutputError, match="missing: no file can be written here"):
        check_targets(tmp_path, ["summary.csv"])


@pytest.mark.parametrize("kind", ["directory", "device", "pipe"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "summary.csv"
    match kind:
        case "directory":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/null")
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(OutputError, match=r"summary\.csv is not a file"):
        check_targets(tmp_path, NAMES)


def test_the_living_are_not_swept(tmp_path: Path) -> None:
    prepared(tmp_path, owner="dead")
    prepared(tmp_path, owner="alive")
    (tmp_path / ".mine").write_text("mine")
    sweep(tmp_path, NAMES, living={"alive"})
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([".mine", *(f".{name}.alive.batchsum-tmp" for name in (*NAMES, "run.json"))])
