"""What a command takes from its options, else from the environment, else from the job."""

import argparse
import os
from datetime import date

from batchsum.config.values import check_base_url
from batchsum.errors import UsageError
from batchsum.filters import parse_date
from batchsum.model.job import Job


def base_url(job: Job, arguments: argparse.Namespace) -> str | None:
    """The server to ask; None where nobody names one."""
    url = arguments.base_url or os.environ.get("BATCHSUM_BASE_URL") or job.api.base_url
    try:
        return check_base_url(url, allow_http=job.api.allow_http) if url is not None else None
    except ValueError as error:
        raise UsageError(f"base URL {error}") from None


def day_of_environment() -> date | None:
    """The day of the night where a pipeline says it, so that shards begun on both sides of midnight have the same."""
    text = os.environ.get("BATCHSUM_TODAY")
    try:
        return parse_date(text) if text else None
    except ValueError as error:
        raise UsageError(f"BATCHSUM_TODAY: {error}") from None
