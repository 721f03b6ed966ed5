"""Completion in the shells themselves: bash, zsh and fish are asked what they would offer."""

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchsum.cli import main, whole_parser
from batchsum.cli.completion import completion_script

SHELLS = ("bash", "zsh", "fish")


def parsers() -> dict[str, argparse.ArgumentParser]:
    actions = whole_parser()._actions
    return next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction))


COMMANDS = tuple(parsers())


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a job in it, and the scripts beside it."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "my job.yaml").write_text("")
    (work / "jobs.csv").write_text("")
    for shell in SHELLS:
        (tmp_path / f"script.{shell}").write_text(completion_script(whole_parser(), shell))
    return work


def script(folder: Path, shell: str) -> Path:
    return folder.parent / f"script.{shell}"


def bash_offers(folder: Path, *words: str) -> set[str]:
    """What bash has in COMPREPLY after the tab key behind the last word."""
    asked = f"""
        source {script(folder, "bash")}
        COMP_WORDS=("$@"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _shtab_batchsum
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-u", "-c", asked, "bash", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


def fish_offers(folder: Path, line: str) -> set[str]:
    env = {**os.environ, "HOME": str(folder.parent), "XDG_CONFIG_HOME": str(folder.parent)}
    asked = f"source {script(folder, 'fish')}; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", asked],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env=env,
    )
    assert done.stderr == ""
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


class Zsh:
    """An interactive zsh on a pseudo-terminal, with the completion loaded."""

    def __init__(self, folder: Path) -> None:
        self.window, slave = pty.openpty()
        env = {**os.environ, "TERM": "dumb", "HOME": str(folder), "ZDOTDIR": str(folder), "PS1": "", "COLUMNS": "200"}
        words = ["zsh", "-f", "-i", "+m"]
        self.shell = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=env, start_new_session=True
        )
        os.close(slave)
        loaded = f'eval "$(<{script(folder, "zsh")})"'  # as in .zshrc
        self.type(f"autoload -Uz compinit; compinit -u -D; {loaded}; echo loa''ded\n", "loaded")

    def type(self, keys: str, until: str) -> str:
        """What is shown from these keys on, up to the text that must come."""
        os.write(self.window, keys.encode())
        shown, end = "", time.monotonic() + 20
        while until not in shown:
            assert time.monotonic() < end, shown
            if select.select([self.window], [], [], 1)[0]:
                shown += os.read(self.window, 65536).decode(errors="replace")
        return shown

    def close(self) -> None:
        self.shell.kill()
        self.shell.wait()
        os.close(self.window)


@pytest.fixture
def zsh(folder: Path) -> Iterator[Zsh]:
    shell = Zsh(folder)
    yield shell
    shell.close()


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == completion_script(whole_parser(), shell) + "\n"
    assert main(["completion", "powershell"]) == 2


@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in SHELLS])
def test_the_shell_takes_the_script(shell: str, folder: Path) -> None:
    done = subprocess.run([shell, "-n", script(folder, shell)], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def options_of(command: str) -> set[str]:
    actions = [one for one in parsers()[command]._actions if one.help != argparse.SUPPRESS]
    return {option for one in actions for option in one.option_strings}


@needs("bash")
def test_bash_offers_commands_options_values_and_files(folder: Path) -> None:
    assert bash_offers(folder, "batchsum", "") == {*COMMANDS}
    assert bash_offers(folder, "batchsum", "-") == {"--version", "--help", "-h"}
    assert bash_offers(folder, "batchsum", "re") == {"report"}
    for command in COMMANDS:
        offered = bash_offers(folder, "batchsum", command, "-")
        assert offered == options_of(command), command
    assert bash_offers(folder, "batchsum", "run", "--if-locked", "") == {"fail", "skip", "wait"}
    assert bash_offers(folder, "batchsum", "run", "x.yaml", "--rps", "") == {"auto", "unlimited"}
    assert bash_offers(folder, "batchsum", "run", "j") == {"jobs.csv"}
    assert bash_offers(folder, "batchsum", "run", "my") == {"my job.yaml"}
    assert bash_offers(folder, "batchsum", "run", "x.yaml", "--log-file", "j") == {"jobs.csv"}
    assert bash_offers(folder, "batchsum", "completion", "f") == {"fish"}
    assert "--api-key" not in bash_offers(folder, "batchsum", "run", "--api")


@needs("fish")
def test_fish_offers_commands_options_values_and_files(folder: Path) -> None:
    assert fish_offers(folder, "batchsum ") == {*COMMANDS}
    for command in ("run", "check", "history", "schedule"):
        long = {option for option in options_of(command) if option.startswith("--")}
        assert fish_offers(folder, f"batchsum {command} --") == long, command
    assert fish_offers(folder, "batchsum run x.yaml --if-locked ") == {"fail", "skip", "wait"}
    assert "jobs.csv" in fish_offers(folder, "batchsum run jo")
    assert fish_offers(folder, "batchsum history out --format ") == {"table", "csv"}


@needs("zsh")
def test_zsh_offers_commands_options_values_and_files(zsh: Zsh) -> None:
    clear = "\x15"  # the line is emptied for the next question
    assert "batchsum report " in zsh.type("batchsum rep\t", "report ")
    assert "batchsum run --format " in zsh.type(f"{clear}batchsum run --fo\t", "--format ")
    shown = zsh.type(f"{clear}batchsum run --if-locked \t", "wait")
    assert re.search(r"fail\s+skip\s+wait", shown)
    assert "jobs.csv" in zsh.type(f"{clear}batchsum check jo\t", "jobs.csv")
    assert "--keep" not in zsh.type(f"{clear}batchsum history out --ni\t", "--nights ")


def test_no_word_of_help_breaks_out_of_the_script() -> None:
    parser = argparse.ArgumentParser(prog="batchsum")
    command = parser.add_subparsers().add_parser("odd", help="it's [odd]: $(touch x) `touch x`")
    command.add_argument("--what", metavar="FILE", help="don't \\ 'quote' [this]: $(touch x)")
    for shell in SHELLS:
        if shutil.which(shell) is None:
            continue
        text = completion_script(parser, shell)
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, timeout=20, check=False)
        assert (done.returncode, done.stderr) == (0, ""), shell
