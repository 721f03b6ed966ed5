"""Completion for bash, zsh and fish, made by shtab from the parser itself: every command and option is in it."""

import argparse

import shtab

from batchsum.cli import whole_parser

_FILES = ("FILE", "JOB")
_DIRECTORIES = ("DIR", "OUT", "SHARD_OUT")


def completion_command(arguments: argparse.Namespace) -> int:
    """`batchsum completion SHELL`."""
    print(completion_script(whole_parser(), arguments.shell))
    return 0


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that a shell of that name reads. What completes an argument is told by its metavar.

    The arguments of `parser` are marked for shtab: do not parse with it afterwards.
    """
    # Private, but argparse has no public list of them.
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    for action in (action for command in commands.values() for action in command._actions):
        words = str(action.metavar or "").split("|")
        if action.metavar in _FILES:
            action.complete = shtab.FILE
        elif action.metavar in _DIRECTORIES:
            action.complete = shtab.DIRECTORY
        elif action.choices is None and len(words) > 1:  # `auto|N|unlimited`: two words and a number
            action.choices = [word for word in words if word.islower()]
    return shtab.complete(parser, shell)
