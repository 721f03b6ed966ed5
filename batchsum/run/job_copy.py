"""A job as one piece of bytes and back: the store keeps it beside its lock, so that a night can be judged again, and
shards merged, without the job file and its lists.

A copy is gzipped JSON lines: what the job says, then the kinds of taxa (filter sets and bounds that many taxa
share), then one line a taxon. What is shared in the job is shared in the copy.
"""

import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from batchsum.config.taxa_lock import TaxaLock, parse_lock
from batchsum.model import job as nouns
from batchsum.model.filters import FilterSet
from batchsum.model.job import Job, ListedTaxon
from batchsum.store.store import Store

_CLASSES: dict[str, Any] = {name: one for name, one in vars(nouns).items() if is_dataclass(one) or one is FilterSet}
"""What a job is made of, by name."""
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def keep_job(store: Store, job: Job, lock: TaxaLock) -> None:
    """Keep copies of the job of a run and of its lock, to be read from anywhere; inside a transaction of the caller."""
    key_file = job.api.api_key_file and job.api.api_key_file.absolute()
    job = replace(job, path=job.path.absolute(), api=replace(job.api, api_key_file=key_file))
    store.query("DELETE FROM job")
    packed_lock = gzip.compress(lock.text().encode(), 1, mtime=0)
    store.query("INSERT INTO job (copy, lock) VALUES (?, ?)", pack_job(job), packed_lock)


def kept_job(copy: bytes, lock: bytes) -> tuple[Job, TaxaLock]:
    """The job and the lock of the copies in a store. ValueError where they are none, or of another version."""
    return unpack_job(copy), parse_lock(gzip.decompress(lock).decode())


def pack_job(job: Job) -> bytes:
    """A copy of `job`, the same for the same job."""
    packed = io.BytesIO()
    # Level 1: the default takes three times as long for a tenth less. No time: the same job has the same copy.
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as file:
        file.writelines(f"{line}\n".encode(errors="surrogatepass") for line in _lines(job))  # a path may be no UTF-8
    return packed.getvalue()


def unpack_job(copy: bytes) -> Job:
    """The job of a copy. ValueError where it is none, or one of another version."""
    try:
        with gzip.open(io.BytesIO(copy), "rt", encoding="utf-8", errors="surrogatepass") as file:
            head, kinds = (_value(json.loads(file.readline())) for _ in range(2))
            listed = (json.loads(line) for line in file)
            taxa = tuple([ListedTaxon(taxon, label, *kinds[kind]) for taxon, label, kind in listed])
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(head, Job):
        raise ValueError("this is no copy of a job")
    return replace(head, taxa=taxa)


def _lines(job: Job) -> Iterator[str]:
    kinds: dict[tuple[Any, Any], int] = {}
    own = ((one.sets, one.guards and tuple(one.guards.items())) for one in job.taxa)  # a mapping has no hash
    kind_of = [kinds.setdefault(kind, len(kinds)) for kind in own]
    yield _json(_plain(replace(job, taxa=(), warnings=())))
    yield _json(_plain([(sets, guards and dict(guards)) for sets, guards in kinds]))
    for listed, number in zip(job.taxa, kind_of, strict=True):
        yield _json([listed.taxon, listed.label, number])


def _plain(value: Any) -> Any:
    """As JSON can say it: what JSON has no word for is an object with one key, its kind."""
    if isinstance(value, FilterSet):  # a list of rows with filters of their own has one for each, mostly absent
        return {"FilterSet": {name: _plain(one) for name, one in value._asdict().items() if one}}
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {one.name: _plain(getattr(value, one.name)) for one in fields(value)}}
    match value:
        case date():
            return {"date": value.isoformat()}
        case timedelta():
            return {"seconds": value.total_seconds()}
        case Path():
            return {"path": str(value)}
        case Mapping():
            return {"mapping": {name: _plain(one) for name, one in value.items()}}
        case tuple() | list():
            return [_plain(one) for one in value]
    return value


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(one) for one in plain)
    if not isinstance(plain, dict):
        return plain
    ((kind, said),) = plain.items()  # a ValueError where this is not one pair
    match kind:
        case "date":
            return date.fromisoformat(said)
        case "seconds":
            return timedelta(seconds=said)
        case "path":
            return Path(said)
    named = {name: _value(one) for name, one in said.items()}
    return named if kind == "mapping" else _CLASSES[kind](**named)
