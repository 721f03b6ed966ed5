"""An answer as JSON and back: what the store keeps. Fields by their place, a failure by their names."""

import json
from typing import Any, NamedTuple

from batchsum.model.queries import Answer, Attempt, Failure, FileSummary, Package, Reply, Summary

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Record(NamedTuple):
    """What a request ended in, ready for the store: text takes a tenth of the memory of what it tells."""

    request: str
    """Its key: path and query below the base URL."""
    round: int
    status: str
    """`answered`, or the Failure's."""
    answer: str
    attempts: str

    @classmethod
    def of(cls, key: str, round_: int, reply: Reply) -> "Record":
        status = reply.answer.status if isinstance(reply.answer, Failure) else "answered"
        return cls(key, round_, status, dump_answer(reply.answer), _json(reply.attempts))


def dump_answer(answer: Answer) -> str:
    if isinstance(answer, Failure):
        return _json({"status": answer.status, "reason": answer.reason, "detail": answer.detail})
    # Named tuples are arrays.
    return _json((
        answer.record_count, answer.assembly_count, answer.resource_updated_on,
        answer.hydrated, answer.dehydrated, answer.available_files, answer.messages, answer.errors,
    ))  # fmt: skip


def load_answer(text: str) -> Answer:
    value = json.loads(text)
    if isinstance(value, dict):
        return Failure(**value) if "reason" in value else _named(value)
    record_count, assembly_count, updated, hydrated, dehydrated, files, messages, errors = value
    return Summary(
        record_count,
        assembly_count,
        updated,
        Package(*hydrated),
        Package(*dehydrated),
        {kind: FileSummary(*one) for kind, one in files.items()},
        tuple(messages),
        tuple(errors),
    )


def _named(value: dict[str, Any]) -> Summary:
    """As it was kept before 2026-11-26: fields by their names, those at their default left out."""
    return Summary(
        value["record_count"],
        value.get("assembly_count"),
        value.get("resource_updated_on"),
        Package(**value.get("hydrated", {})),
        Package(**value.get("dehydrated", {})),
        {kind: FileSummary(*one) for kind, one in value.get("available_files", {}).items()},
        tuple(value.get("messages", ())),
        tuple(value.get("errors", ())),
    )


def load_download(text: str) -> tuple[Package, tuple[str, ...]]:
    """Of an answer only its hydrated package and NCBI's messages, in half the time."""
    value = json.loads(text)
    if isinstance(value, dict):
        answer = load_answer(text)
        return (answer.hydrated, answer.messages) if isinstance(answer, Summary) else (Package(), ())
    _, _, _, hydrated, _, _, messages, _ = value
    return Package(*hydrated), tuple(messages)


def load_attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(map(Attempt._make, json.loads(text)))
