"""Where the key comes from, in which order, and which files are refused."""

import os
from pathlib import Path

import pytest

from batchsum.config.api_key import find_api_key, read_key_file
from batchsum.errors import UsageError

KEY = "0123456789abcdef0123456789abcdef0123"


def key_file(directory: Path, text: str = f"{KEY}\n", mode: int = 0o600, name: str = "key") -> Path:
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_order_is_option_environment_setting_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option = key_file(tmp_path, "option12", name="option")
    setting = key_file(tmp_path, "setting1", name="setting")
    key_file(tmp_path, "systemd1", 0o440, name="ncbi_api_key")  # as systemd leaves it, with an access list
    monkeypatch.setenv("NCBI_API_KEY", "environ1")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert find_api_key(option, setting) == "option12"
    assert find_api_key(None, setting) == "environ1"
    monkeypatch.setenv("NCBI_API_KEY", " ")
    assert find_api_key(None, setting) == "setting1"
    assert find_api_key(None, None) == "systemd1"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "nothing"))
    assert find_api_key(None, None) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_a_file_that_others_can_read_is_refused_with_what_to_type(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "my keys"
    directory.mkdir()
    path = key_file(directory, mode=mode)
    with pytest.raises(UsageError) as told:
        read_key_file(path)
    assert f"chmod 600 '{path}'" in str(told.value)
    assert KEY not in str(told.value)
    path.chmod(0o600)
    assert read_key_file(path) == KEY


@pytest.mark.parametrize(
    "text", ["", "\n", "two words", "short", f"{KEY}\n{KEY}", "ключ" * 10, "x" * 129, "x" * 10_000]
)
def test_what_is_no_key_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as told:
        read_key_file(key_file(tmp_path, text))
    assert "is not an API key" in str(told.value)
    assert not text.strip() or text.strip() not in str(told.value)


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory"), (pipe, "not an API key")):
        with pytest.raises(UsageError, match=words):
            read_key_file(path)


@pytest.mark.parametrize("text", [f"{KEY}", f"  {KEY}\r\n", f"\n{KEY}\n\n"])
def test_blanks_around_it_do_not_matter(tmp_path: Path, text: str) -> None:
    assert read_key_file(key_file(tmp_path, text)) == KEY
