"""What a piece of YAML must look like: how it is read, what is wrong with it, and how an editor is told.

A shape has `read()`, which reports every problem at its node and returns None for what cannot be read, and `schema()`,
the same as JSON Schema. No type is guessed: `NO` and `1.10` stay the text that they are until a parser reads them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from batchsum.config.problems import nearest, unknown_key
from batchsum.config.yaml_text import YamlNode

Report: TypeAlias = Callable[[YamlNode, str], None]

_EMPTY = "is empty; write a value, or leave it out"


@dataclass(frozen=True)
class Value:
    """One value, read by `parse`, which raises ValueError with what to write instead.

    Without `parse` it is anything: its node is handed on to whoever knows what its entries refer to.
    """

    parse: Callable[[str], Any] | None
    looks: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    """As JSON Schema."""

    def read(self, node: YamlNode, name: str, report: Report) -> Any:
        if self.parse is None:
            return node
        try:
            if node.value is None:
                raise ValueError(_EMPTY)
            if not isinstance(node.value, str):
                raise ValueError(f"must be one value, not a {'list' if isinstance(node.value, list) else 'mapping'}")
            return self.parse(node.value)
        except ValueError as error:
            report(node, f"{name}: {error}")
            return None

    def schema(self) -> dict[str, Any]:
        return dict(self.looks)


@dataclass(frozen=True)
class ListOf:
    """A list of values of one shape, read as a tuple."""

    item: "Shape"
    takes_one: bool = False
    """Whether a value is as good as a list of this one."""
    check: Callable[[tuple[Any, ...]], tuple[Any, ...]] = tuple
    """What the values must be together: raises ValueError."""
    instead: Callable[[str], str] | None = None
    """What to say of a text that stands where the list should; else it is told as the list that was perhaps meant."""
    looks: Mapping[str, Any] = field(default_factory=lambda: {"minItems": 1})

    def read(self, node: YamlNode, name: str, report: Report) -> tuple[Any, ...] | None:
        items = [node] if self.takes_one and isinstance(node.value, str) else node.value
        try:
            if isinstance(items, str):
                raise ValueError((self.instead or self._meant)(items))
            if not isinstance(items, list):
                raise ValueError(_EMPTY if items is None else "must be a list, as [one, two]")
            if not items:
                raise ValueError("is an empty list; write what belongs in it, or leave it out")
            found = tuple(self.item.read(item, name, report) for item in items)
            return None if None in found else self.check(found)
        except ValueError as error:
            report(node, f"{name}: {error}")
            return None

    def _meant(self, text: str) -> str:
        """How to write a text as the list that it should be; what would be wrong with it then, if anything."""
        items = [item.strip() for item in text.split(",")]
        wrong: list[str] = []
        for item in items:
            self.item.read(YamlNode(0, 0, item), "", lambda _, message: wrong.append(message.removeprefix(": ")))
        if wrong:
            return f"must be a list, and {text[:60]!r} {wrong[0].removeprefix(repr(text)).lstrip()}"
        is_plain = len(text) <= 60 and re.fullmatch(r"[\w .,/'=+|-]+", text)
        return f"must be a list; write [{', '.join(items)}]" if is_plain else "must be a list, as [one, two]"

    def schema(self) -> dict[str, Any]:
        item = self.item.schema()
        items = {"type": "array", "items": item, **self.looks}
        return {"anyOf": [item, items]} if self.takes_one else items


class Key(NamedTuple):
    """A key of a mapping; one without a value is as good as absent."""

    shape: "Shape"
    about: str
    """One sentence for editors and the reference."""
    required: str = ""
    """What to write where a key is missing that must be there."""


@dataclass(frozen=True)
class Keys:
    """A mapping with these keys and no others. What is read has those that were given, in the order written."""

    keys: Mapping[str, Key]

    def read(self, node: YamlNode, name: str, report: Report) -> dict[str, Any] | None:
        if not isinstance(node.value, dict):
            example = ", ".join(f"{key}: ..." for key, one in self.keys.items() if one.required) or "key: value"
            report(node, f"{name}: must be a mapping, as {{{example}}}")
            return None
        given = {}
        for key, (key_node, value) in node.value.items():
            if key not in self.keys:  # told even without a value
                report(key_node, unknown_key(key, self.keys))
            elif value.value is not None and (found := self.keys[key].shape.read(value, key, report)) is not None:
                given[key] = found
        for key, (_, _, required) in self.keys.items():
            _, value = node.value.get(key, (node, node))
            is_misspelt = any(nearest(one, self.keys) == key for one in node.value.keys() - self.keys.keys())
            if required and not is_misspelt and (value is node or value.value is None):
                report(value, f"the key {key!r} is missing; write {required}")
        return given

    def schema(self) -> dict[str, Any]:
        properties = {
            name: {**(one.shape.schema() if one.required else or_null(one.shape.schema())), "description": one.about}
            for name, one in self.keys.items()
        }
        required = [name for name, one in self.keys.items() if one.required]
        shape = {"type": "object", "additionalProperties": False, "properties": properties}
        return {**shape, "required": required} if required else shape


Shape: TypeAlias = Value | ListOf | Keys


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, or nothing: null is one type more of it, since an editor that has to choose between alternatives cannot
    tell where the mistake is."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **enum}
