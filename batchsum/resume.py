"""Which run this is: the one that was cut off, or a new one."""

import logging
import secrets
from datetime import UTC, date, datetime, timedelta

from batchsum.store import Run, Store

log = logging.getLogger("batchsum")

OLDEST = timedelta(hours=12)
"""An unfinished run is resumed up to this age; an older one would mix two nights."""


def resume_run(store: Store, *, base_url: str, now: datetime, fresh: bool) -> Run | None:
    """The open run, if it can be gone on with; one that cannot is closed, and said to be."""
    run = store.last_run("open")
    if run is None:
        return None
    age = now - datetime.fromisoformat(run.started_at)
    if fresh:
        reason = "--fresh was given"
    elif run.base_url != base_url:
        reason = f"it asked {run.base_url}"
    elif not timedelta(0) <= age <= OLDEST:
        reason = f"it is from {run.started_at}"
    else:
        log.info("run %s: resumed, %d answers are here already", run.run_id, store.count_answers(run))
        return run
    log.warning("run %s: unfinished, and closed without a table: %s", run.run_id, reason)
    close_run(store, run)
    return None


def begin_run(store: Store, *, base_url: str, now: datetime, today: date, job_hash: str, generation: int) -> Run:
    return store.begin_run(
        f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        started_at=utc_text(now),
        today=today,
        base_url=base_url,
        job_hash=job_hash,
        generation=generation,
    )


def close_run(store: Store, run: Run) -> None:
    """End a run that leaves no table; its answers are forgotten."""
    with store.transaction():
        store.set_state(run, "closed")
        store.drop_answers(run)


def utc_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
