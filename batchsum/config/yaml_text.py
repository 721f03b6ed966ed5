"""YAML to nodes that know their place. Every scalar stays text, but a plain null, which is None.

The nodes are built from the parser's events, no deeper than `DEEPEST`: PyYAML's own composer ends the process on a
document that is nested 100,000 deep. Anchors and aliases are allowed as far as they repeat little; tags and merge keys
are not.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from batchsum.config.problems import StopReading
from batchsum.errors import Problem

MOST_BYTES = 10_000_000
DEEPEST = 50
MOST_REPEATED = 100_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOO_DEEP = "exceeded maximum nesting depth"
_NULLS = ("", "~", "null", "Null", "NULL")

# YAML admits no control characters. The last three end a line for YAML, but not for an editor.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(slots=True)
class YamlNode:
    line: int
    column: int
    value: "str | list[YamlNode] | dict[str, tuple[YamlNode, YamlNode]] | None"
    """Text, None, the nodes of a list, or the key and value nodes of a mapping by the key's text."""


def compose(text: str, file: str) -> tuple[YamlNode | None, list[Problem]]:
    """The document's node and what is wrong with it as YAML; no node where it cannot be read."""
    text = re.sub("\r\n?", "\n", text)
    if match := _INVISIBLE.search(text):
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        return None, [Problem(file, line, column, f"an invisible character, U+{ord(match[0]):04X}; remove it")]
    composer, root = _Composer(text, file), None
    try:
        root = composer.document()
    except yaml.MarkedYAMLError as error:
        if error.problem == _TOO_DEEP and error.problem_mark:
            # libyaml has a bound of its own since 0.2.6, and looks ahead: what it has read shows the place of ours.
            return compose(text[: error.problem_mark.index], file)
        composer.problems.append(syntax_problem(file, text, error))
    except yaml.YAMLError as error:
        composer.problems.append(Problem(file, 1, 1, f"this is not YAML: {error}"))
    except StopReading:
        pass
    # What is nothing may stand behind the last line, as below a lone ---.
    return root if root and root.value is not None else None, composer.problems


class _Composer:
    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
        self.anchors: dict[str, YamlNode] = {}
        self.repeated = 0

    def document(self) -> YamlNode | None:
        """The node of the one document; None where there is none."""
        root = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root:
                    self.stop(event, "a second YAML document; a job file is one, remove this '---'")
                root = self.node(next(self.events), 0)
        return root

    def report(self, place: Any, message: str) -> None:
        self.problems.append(Problem(self.file, *_position(place), message))

    def stop(self, place: Any, message: str) -> NoReturn:
        self.report(place, message)
        raise StopReading

    def node(self, event: Any, depth: int, is_key: bool = False) -> YamlNode:
        """The node that begins with `event`, inside `depth` others."""
        if isinstance(event, yaml.AliasEvent):
            return self.repeat(event, depth)
        if event.tag is not None:
            self.report(event, f"the tag {event.tag!r} is not allowed; write the plain value")
        node = YamlNode(*_position(event), None)
        if isinstance(event, yaml.ScalarEvent):
            if re.search("[\ud800-\udfff]", event.value):
                self.stop(event, "an escape (\\u) that stands for no character; write the character itself")
            is_null = event.style in (None, "") and event.tag is None and event.value in _NULLS
            # A key is text, whatever it looks like.
            node.value = None if is_null and not (is_key and event.value) else event.value
        elif depth >= DEEPEST:
            self.stop(event, f"nested more than {DEEPEST} deep")
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = [self.node(item, depth + 1) for item in self.until(yaml.SequenceEndEvent)]
        else:
            node.value = self.mapping(depth + 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def until(self, end: type[yaml.Event]) -> Iterator[Any]:
        while not isinstance(event := next(self.events), end):
            yield event

    def mapping(self, depth: int) -> dict[str, tuple[YamlNode, YamlNode]]:
        inside: dict[str, tuple[YamlNode, YamlNode]] = {}
        for event in self.until(yaml.MappingEndEvent):
            key = self.node(event, depth, is_key=True)
            value = self.node(next(self.events), depth)
            if not isinstance(key.value, str):
                self.report(key, "a key must be a word, followed by a colon")
            elif key.value == "<<":
                self.report(key, "merge keys (<<) are not supported; write the keys out")
            elif key.value in inside:
                first = inside[key.value][0]
                self.report(
                    key, f"the key {key.value!r} stands here twice, first in line {first.line}; remove one of them"
                )
            else:
                inside[key.value] = key, value
        return inside

    def repeat(self, event: Any, depth: int) -> YamlNode:
        if event.anchor not in self.anchors:
            self.stop(event, f"the alias *{event.anchor} stands for nothing that ends above it")
        for inner, below in _walk(node := self.anchors[event.anchor]):
            self.repeated += 1
            if self.repeated > MOST_REPEATED:
                self.stop(event, f"aliases repeat more than {MOST_REPEATED:,} values; write fewer")
            if depth + below >= DEEPEST and isinstance(inner.value, list | dict):
                self.stop(event, f"nested more than {DEEPEST} deep")
        return node


def _position(place: Any) -> tuple[int, int]:
    if isinstance(place, YamlNode):
        return place.line, place.column
    return place.start_mark.line + 1, place.start_mark.column + 1


def place(root: YamlNode, location: Sequence[str | int]) -> YamlNode:
    """The node at a path of keys and indexes, as far down as the document goes."""
    node = root
    for step in location:
        inside = node.value
        if isinstance(inside, dict) and step in inside:
            node = inside[str(step)][1]
        elif isinstance(inside, list) and isinstance(step, int) and step < len(inside):
            node = inside[step]
        else:
            break
    return node


def texts(node: YamlNode) -> Iterator[YamlNode]:
    """Every key and every scalar with text; what an alias repeats comes again."""
    return (one for one, _ in _walk(node) if isinstance(one.value, str))


def _walk(node: YamlNode, below: int = 0) -> Iterator[tuple[YamlNode, int]]:
    """`node` and all inside it, and how deep each is below it."""
    yield node, below
    match node.value:
        case list():
            inside = node.value
        case dict():
            inside = [part for pair in node.value.values() for part in pair]
        case _:
            return
    for one in inside:
        yield from _walk(one, below + 1)


# What the YAML parser says, by its first words, and what to write instead.
_SYNTAX_FILE = Path(__file__).parent / "data" / "yaml_syntax.tsv"

# Where these begin tells more than where the parser gave up.
_BEGUN_EARLIER = ("found unexpected end of stream", "could not find expected ':'")


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
        words = "a tab; replace it by spaces"
    else:
        syntax = [row.split("\t") for row in _SYNTAX_FILE.read_text(encoding="utf-8").splitlines()]
        words = next((words for begin, words in syntax if said.startswith(begin)), f"this is not YAML: {said}")
    words = words.replace("OPENED", str(opened.line + 1) if opened else "?")
    return Problem(file, line + 1, column + 1, words)
