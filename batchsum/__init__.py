"""batchsum: one table of NCBI virus genome counts, every night."""

TYPE_CHECKING = False  # as type checkers understand it; importing typing costs as much as half of Python's start

__version__ = "0.1.0"

__all__ = ["DatasetsClient", "Failure", "FilterSet", "Summary", "__version__", "load_job", "run_job"]

if TYPE_CHECKING:
    from batchsum.client import DatasetsClient
    from batchsum.filterset import FilterSet
    from batchsum.jobfile import load_job
    from batchsum.model import Failure, Summary
    from batchsum.run import run_job

_HOME = {
    "DatasetsClient": "client",
    "FilterSet": "filterset",
    "Summary": "model",
    "Failure": "model",
    "load_job": "jobfile",
    "run_job": "run",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `batchsum --version` must not pay for an HTTP library."""
    if name not in _HOME:
        raise AttributeError(f"module 'batchsum' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"batchsum.{_HOME[name]}"), name)
