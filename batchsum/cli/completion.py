"""Completion for bash, zsh and fish, made from the parser itself, so that it knows every command and option."""

import argparse
import re
import shlex
from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")
HOW = {
    "bash": 'eval "$(batchsum completion bash)"        in ~/.bashrc',
    "zsh": 'eval "$(batchsum completion zsh)"         in ~/.zshrc, below compinit',
    "fish": "batchsum completion fish | source         in ~/.config/fish/config.fish",
}
"""Where each shell wants it."""

_FILES = ("FILE", "JOB", "DIR", "OUT", "SHARD_OUT")


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that a shell of that name is to read."""
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return "\n".join(write(_commands(parser))) + "\n"


Commands = dict[str, tuple[str, list[argparse.Action]]]


def _commands(parser: argparse.ArgumentParser) -> Commands:
    """Each command with what it is about and its options; the empty name is the program itself."""
    actions = [one for one in parser._actions if one.option_strings and one.help != argparse.SUPPRESS]
    found: Commands = {"": ("", actions)}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {one.dest: one.help or "" for one in action._choices_actions}
            for name, command in action.choices.items():
                own = [one for one in command._actions if one.help != argparse.SUPPRESS]
                found[name] = (about.get(name, ""), own)
    return found


def _takes_file(action: argparse.Action) -> bool:
    return str(action.metavar).partition("...")[0] in _FILES


def _values(action: argparse.Action) -> list[str]:
    """The words that an argument can be, where they are known."""
    if action.choices:
        return [str(one) for one in action.choices]
    words = str(action.metavar or "").split("|")
    return [word for word in words if word.islower()] if action.nargs != 0 else []


def _bash(commands: Commands) -> Iterator[str]:
    names = " ".join(name for name in commands if name)
    yield "# bash completion for batchsum"
    yield "_batchsum() {"
    yield '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="" index'
    yield "  COMPREPLY=()"
    yield "  for ((index = 1; index < COMP_CWORD; index++)); do"
    yield f'    case " {names} " in *" ${{COMP_WORDS[index]}} "*) command="${{COMP_WORDS[index]}}"; break ;; esac'
    yield "  done"
    yield '  case "$command $before" in'
    for name, (_, actions) in commands.items():
        for action in actions:
            if action.option_strings and action.nargs != 0:
                cases = "|".join(f'"{name} {option}"' for option in action.option_strings)
                yield f"    {cases}) {_bash_values(action)} return ;;"
    yield "  esac"
    yield '  case "$command" in'
    for name, (_, actions) in commands.items():
        if not name:
            continue
        options = " ".join(option for action in actions for option in action.option_strings)
        values = " ".join(value for action in actions if not action.option_strings for value in _values(action))
        files = any(_takes_file(action) for action in actions if not action.option_strings)
        yield f'    "{name}") if [[ "$word" == -* ]]; then COMPREPLY=($(compgen -W {shlex.quote(options)} -- "$word"))'
        yield f"      {_bash_else(values, files)} fi ;;"
    everywhere = " ".join([names, *(option for action in commands[""][1] for option in action.option_strings)])
    yield f'    *) COMPREPLY=($(compgen -W {shlex.quote(everywhere)} -- "$word")) ;;'
    yield "  esac"
    yield "}"
    yield "complete -o filenames -F _batchsum batchsum"


def _bash_else(values: str, files: bool) -> str:
    if values:
        return f'else COMPREPLY=($(compgen -W {shlex.quote(values)} -- "$word"));'
    return 'else mapfile -t COMPREPLY < <(compgen -f -- "$word");' if files else ""


def _bash_values(action: argparse.Action) -> str:
    if values := _values(action):
        return f'COMPREPLY=($(compgen -W {shlex.quote(" ".join(values))} -- "$word"));'
    return 'mapfile -t COMPREPLY < <(compgen -f -- "$word");' if _takes_file(action) else ""


def _zsh(commands: Commands) -> Iterator[str]:
    yield "#compdef batchsum"
    yield "_batchsum() {"
    yield "  local line state"
    yield "  _arguments -C \\"
    for action in commands[""][1]:
        yield f"    {_zsh_option(action)} \\"
    yield "    '1: :->command' '*:: :->arguments'"
    yield "  case $state in"
    yield "    command)"
    yield "      local -a names=("
    for name, (about, _) in commands.items():
        if name:
            yield f"        {shlex.quote(f'{name}:{_clean(about)}')}"
    yield "      )"
    yield "      _describe -t commands command names ;;"
    yield "    arguments)"
    yield "      case $line[1] in"
    for name, (_, actions) in commands.items():
        if name:
            words = [_zsh_option(action) for action in actions]
            yield f"        {name}) _arguments {' '.join(words)} ;;"
    yield "      esac ;;"
    yield "  esac"
    yield "}"
    yield "# As a file in $fpath this is the function's first call; elsewhere it is only told to zsh."
    yield 'if [ "$funcstack[1]" = _batchsum ]; then _batchsum "$@"; else compdef _batchsum batchsum; fi'


def _zsh_option(action: argparse.Action) -> str:
    values = _values(action)
    what = f"({' '.join(values)})" if values else "_files" if _takes_file(action) else " "
    value = f"{_clean(str(action.metavar or action.dest))}:{what}"
    if not action.option_strings:
        before = {"?": "::", "*": "*:", "+": "*:"}.get(str(action.nargs), ":")
        return shlex.quote(before + value)
    repeated = "*" if isinstance(action, argparse._AppendAction) else ""
    about = f"[{_clean(action.help or '')}]" + (f":{value}" if action.nargs != 0 else "")
    return " ".join(shlex.quote(f"{repeated}{option}{about}") for option in action.option_strings)


def _fish(commands: Commands) -> Iterator[str]:
    yield "# fish completion for batchsum"
    yield "complete -c batchsum -f"
    for action in commands[""][1]:
        yield f"complete -c batchsum -n __fish_use_subcommand {_fish_option(action)}"
    for name, (about, actions) in commands.items():
        if not name:
            continue
        yield f"complete -c batchsum -n __fish_use_subcommand -a {name} -d {_fish_quote(about)}"
        here = f"-n '__fish_seen_subcommand_from {name}'"
        for action in actions:
            if action.option_strings:
                yield f"complete -c batchsum {here} {_fish_option(action)}"
            elif values := _values(action):
                yield f"complete -c batchsum {here} -a {_fish_quote(' '.join(values))}"
            elif _takes_file(action):
                yield f"complete -c batchsum {here} -F"


def _fish_option(action: argparse.Action) -> str:
    names = [f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}" for one in action.option_strings]
    values, about = _values(action), _fish_quote(action.help or "")
    takes = "" if action.nargs == 0 else " -r -F" if _takes_file(action) else " -x"
    return f"{' '.join(names)}{takes}{f' -a {_fish_quote(chr(32).join(values))}' if values else ''} -d {about}"


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _clean(text: str) -> str:
    """Text inside a zsh description, where brackets and colons mean something."""
    return re.sub(r"[\[\]:]", " ", text)
