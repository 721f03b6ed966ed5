"""An answer as JSON and back: what the store keeps. Fields by their place, a failure by their names."""

import json
from typing import Any

from batchsum.model import Answer, Attempt, Failure, FileSummary, Package, Summary

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""One call for many records: tuples, named ones included, are arrays."""


def answer_record(answer: Answer) -> Any:
    """What stands for an answer in JSON."""
    if isinstance(answer, Failure):
        return {"status": answer.status, "reason": answer.reason, "detail": answer.detail}
    return (
        answer.record_count, answer.assembly_count, answer.resource_updated_on,
        answer.hydrated, answer.dehydrated, answer.available_files, answer.messages, answer.errors,
    )  # fmt: skip


def load_answer(text: str) -> Answer:
    value = json.loads(text)
    if isinstance(value, dict):
        return Failure(**value)
    record_count, assembly_count, updated, hydrated, dehydrated, files, messages, errors = value
    return Summary(
        record_count,
        assembly_count,
        updated,
        Package._make(hydrated),
        Package._make(dehydrated),
        {kind: FileSummary._make(one) for kind, one in files.items()},
        tuple(messages),
        tuple(errors),
    )


def load_attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(map(Attempt._make, json.loads(text)))
