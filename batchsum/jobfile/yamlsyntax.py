"""What the YAML parser complains of, in words that say what to write instead."""

import yaml

from batchsum.errors import Problem

_UNCLOSED = "a list or mapping in brackets, opened in line OPENED, is not closed or lacks a comma"

# Where these begin tells more than where the parser gave up.
_BEGUN_EARLIER = ("found unexpected end of stream", "could not find expected ':'")

# What the parser says, by its first words, and what to tell instead.
_SYNTAX = (
    ("mapping values are not allowed", "a second ': ' in one value, or an indentation that does not fit"
     "; put the value into quotes, or indent it like its neighbours"),
    ("found character that cannot start any token", "a value cannot begin like this; put it into quotes"),
    ("found character '", "a value cannot begin like this; put it into quotes"),
    ("found unexpected end of stream", "these quotes are never closed"),
    ("could not find expected ':'", "a key without its value; write a colon and a blank behind the key"),
    ("did not find expected node content", "a value is missing, or begins with a sign that needs quotes"),
    ("found undefined tag handle", "tags (!) are not allowed; put the value into quotes"),
    ("did not find expected ',' or", _UNCLOSED),
    ("expected ',' or", _UNCLOSED),
    ("did not find expected '-'", "this line does not belong to the list above it; check its indentation"),
    ("did not find expected key", "this line does not fit the lines above it; check its indentation"),
    ("expected <block end>", "this line does not fit the lines above it; check its indentation"),
    ("found unknown escape", "an unknown \\ inside double quotes; use single quotes, or write \\\\"),
)  # fmt: skip


def syntax_problem(file: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    """What `error` says of `text`, and where."""
    mark = error.problem_mark or error.context_mark
    said = error.problem or "cannot be read"
    opened = error.context_mark or mark
    if said.startswith(_BEGUN_EARLIER):
        mark = opened
    lines = text.split("\n")
    # The parser may stop in the line behind the last one.
    end = len(lines) - 1, len(lines[-1])
    line, column = min((mark.line, mark.column), end) if mark else (0, 0)
    if lines[line][column : column + 1] == "\t":
        words = "a tab; YAML is indented with blanks"
    else:
        words = next((words for begin, words in _SYNTAX if said.startswith(begin)), f"this is not YAML: {said}")
    words = words.replace("OPENED", str(opened.line + 1) if opened else "?")
    return Problem(file, line + 1, column + 1, words)
