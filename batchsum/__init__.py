"""batchsum: one table of NCBI virus genome counts, every night."""

from batchsum.version import __version__

TYPE_CHECKING = False  # as type checkers understand it; importing typing costs as much as half of Python's start


__all__ = ["DatasetsClient", "Failure", "FilterSet", "Summary", "__version__", "load_job", "run_job"]

if TYPE_CHECKING:
    from batchsum.config.load import load_job
    from batchsum.model.filters import FilterSet
    from batchsum.model.queries import Failure, Summary
    from batchsum.ncbi.client import DatasetsClient
    from batchsum.run.night import run_job

_HOME = {
    "DatasetsClient": "ncbi.client",
    "FilterSet": "model.filters",
    "Summary": "model.queries",
    "Failure": "model.queries",
    "load_job": "config.load",
    "run_job": "run.night",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `batchsum --version` must not pay for an HTTP library."""
    if name not in _HOME:
        raise AttributeError(f"module 'batchsum' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"batchsum.{_HOME[name]}"), name)
