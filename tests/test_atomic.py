"""A file is replaced as a whole, keeps its mode and its link, and leaves nothing beside it."""

import os
import stat
from pathlib import Path

import pytest

from batchsum.atomic import replace_file, write_synced


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_text_and_bytes_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "naïve\n")
    assert path.read_bytes() == b"na\xc3\xafve\n"
    replace_file(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_whoever_has_the_old_file_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:
        replace_file(path, "new")
        assert reader.read() == "old"


@pytest.mark.parametrize(("umask", "wanted"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int, wanted: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert mode(tmp_path / "file") == wanted


def test_an_old_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    replace_file(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o640)


def test_a_private_file_is_private_while_it_is_written(tmp_path: Path) -> None:
    seen = []
    write_synced(tmp_path / "temporary", tmp_path / "target", lambda path: seen.append(mode(path)))
    assert seen == [0o600]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link"
    link.symlink_to("elsewhere/file")
    replace_file(link, "one")
    replace_file(link, "two")
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["file"]
    assert (tmp_path / "elsewhere/file").read_text() == "two"


def test_where_it_fails_the_old_file_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
