"""The probe: about a dozen questions that settle on the real service what its documentation does not."""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchsum.cli.probe import Seen, ask_all, questions
from batchsum.config.values import check_base_url
from batchsum.errors import OutputError, UsageError
from batchsum.model.job import BASE_URL
from batchsum.probe.assumptions import in_words, judge_assumptions
from batchsum.text import utc_text
from batchsum.version import __version__

_VERDICTS = {True: "held", False: "NOT HELD", None: "not seen"}


def server_to_probe(option: str | None) -> str:
    """The base URL of the option, else of BATCHSUM_BASE_URL, else NCBI's. UsageError where it is none."""
    try:
        return check_base_url(option or os.environ.get("BATCHSUM_BASE_URL") or BASE_URL)
    except ValueError as error:
        raise UsageError(f"base URL {error}") from None


def probe(
    base_url: str, api_key: str | None, directory: Path, *, show: Callable[[str], None], tell: Callable[[str], None]
) -> int:
    """Ask, show a table and what batchsum assumes, and write `probe.json` into `directory`.

    `show` gets the lines for people, `tell` those before and between. The exit code: 0 where every assumption
    held, 3 where one did not, 4 where nothing was answered. Raises Refused and OutputError.
    """
    asked, seen = questions(datetime.now(UTC).date()), list[Seen]()
    tell(f"{len(asked)} questions to {base_url}, {'with' if api_key else 'without'} a key:")
    for question in asked:
        tell(f"  {question.name:<17} {question.settles}: {question}")
    began = datetime.now(UTC)
    try:
        asyncio.run(ask_all(base_url, api_key, asked, seen.append))
    finally:
        found = judge_assumptions(seen)
        _write(directory, base_url, api_key, began, seen, [asdict(one) for one in found])
        for line in _table(seen):
            show(line)
        for one in found:
            show(f"{_VERDICTS[one.held]:<8} {one.assumption}: {one.saw}")
        tell(f"bodies and headers: {directory / 'probe.json'}")
    if all(one.status is None for one in seen):
        return 4
    return 3 if any(one.held is False for one in found) else 0


def _table(seen: Sequence[Seen]) -> list[str]:
    lines = [f"{'question':<17} {'status':>6} {'seconds':>7}  answer"]
    lines += [f"{one.name:<17} {one.status or '-':>6} {one.seconds:>7.2f}  {in_words(one)}" for one in seen]
    return [*lines, ""]


def _write(
    directory: Path,
    base_url: str,
    api_key: str | None,
    began: datetime,
    seen: Sequence[Seen],
    found: list[dict[str, Any]],
) -> None:
    document = {
        "version": 1,
        "batchsum": __version__,
        "asked_at": utc_text(began),
        "base_url": base_url,
        "with_key": api_key is not None,
        "exchanges": [asdict(one) for one in seen],
        "assumptions": found,
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (directory / "probe.json").write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror}") from None
