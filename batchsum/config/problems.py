"""What pydantic objects to, in words for a user: where it stands, what is wrong, what to write instead."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

_SECRET_KEYS = ("key", "apikey", "ncbiapikey", "token", "apitoken", "accesstoken", "secret", "password")
_REQUIRED = {
    "version": "version: 1",
    "taxon": "an NCBI Taxonomy ID or a name as its value",
    "every": "the length of a window, as in every: 7d",
    "last": "how many windows, as in last: 12",
}


class Complaint(NamedTuple):
    location: tuple[str | int, ...]
    message: str
    at_key: bool = False
    """About the key itself, not about its value."""


def complaints(error: ValidationError, model: type[BaseModel], start: Sequence[str | int]) -> Iterator[Complaint]:
    """One for each thing that `model` found wrong with what stands at `start`."""
    for detail in error.errors(include_url=False):
        inside = [step for step in detail["loc"] if isinstance(step, str)]
        location = (*start, *detail["loc"])
        name = next(step for step in reversed(location) if isinstance(step, str))
        if detail["type"] == "extra_forbidden":
            yield Complaint(location, unknown_key(name, _keys_at(model, inside[:-1])), at_key=True)
        elif detail["type"] == "missing":
            yield Complaint(location, f"the key {name!r} is missing; write {_REQUIRED[name]}")
        else:
            yield Complaint(location, f"{name}: {_words(detail)}")


def _words(detail: Any) -> str:
    written = detail["input"]
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if written is None:
        return "is empty; write a value, or leave it out"
    match detail["type"]:
        case "list_type" if isinstance(written, str) and len(written) <= 60:
            return f"must be a list; write [{written}]"
        case "list_type":
            return "must be a list, as [one, two]"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a mapping, as {key: value}"
    raise AssertionError(f"no words for pydantic's {detail['type']}")


def _keys_at(model: type[BaseModel], names: Iterable[str]) -> list[str]:
    """The keys that a mapping inside the model may have."""
    for name in names:
        for kind in get_args(model.model_fields[name].annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return list(model.model_fields)


def unknown_key(name: str, known: Iterable[str]) -> str:
    if re.sub(r"[^a-z]", "", name.lower()) in _SECRET_KEYS:
        return (
            f"{name!r}: a key or token does not belong in a job file; put it into a file named by "
            "api.api_key_file, or into the environment variable NCBI_API_KEY"
        )
    return unknown("key", name, known)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """`unknown key 'hosts'; did you mean 'host'?`"""
    known = list(known)
    if near := nearest(name, known):
        return f"unknown {kind} {name!r}; did you mean {near!r}?"
    few = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"unknown {kind} {name!r}; known: {few}" if known else f"unknown {kind} {name!r}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, if any is."""
    folded = {word.casefold(): word for word in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    alike = near or [word for word in folded if word[:3] == name.casefold()[:3]]
    return folded[alike[0]] if name and alike else None
