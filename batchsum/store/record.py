"""An answer as text and back: what the store keeps. Fields at their default are left out."""

import json
from dataclasses import fields
from operator import attrgetter
from typing import Any

from batchsum.model import Answer, Attempt, Failure, FileSummary, Package, Summary

_PACKAGE = tuple(field.name for field in fields(Package))
_of_attempt = attrgetter(*(field.name for field in fields(Attempt)))
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump_answer(answer: Answer) -> str:
    if isinstance(answer, Failure):
        return _json({"status": answer.status, "reason": answer.reason, "detail": answer.detail})
    value: dict[str, Any] = {"record_count": answer.record_count}
    for name in ("assembly_count", "resource_updated_on"):
        if (one := getattr(answer, name)) is not None:
            value[name] = one
    for name in ("hydrated", "dehydrated"):
        package = getattr(answer, name)
        if kept := {key: one for key in _PACKAGE if (one := getattr(package, key)) is not None}:
            value[name] = kept
    if answer.available_files:
        value["available_files"] = {
            kind: [files.file_count, files.size_mb] for kind, files in answer.available_files.items()
        }
    for name in ("messages", "errors"):
        if one := getattr(answer, name):
            value[name] = one
    return _json(value)


def load_answer(text: str) -> Answer:
    value = json.loads(text)
    if "reason" in value:
        return Failure(**value)
    for name in ("hydrated", "dehydrated"):
        if name in value:
            value[name] = Package(**value[name])
    for name in ("messages", "errors"):
        if name in value:
            value[name] = tuple(value[name])
    if "available_files" in value:
        value["available_files"] = {kind: FileSummary(*one) for kind, one in value["available_files"].items()}
    return Summary(**value)


def dump_attempts(attempts: tuple[Attempt, ...]) -> str:
    return _json([_of_attempt(attempt) for attempt in attempts])


def load_attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(Attempt(*one) for one in json.loads(text))
