"""Snakemake stands beside the interpreter where the extra `pipeline` is installed, whether that is on PATH or not."""

import os
import shutil
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
SNAKEMAKE = shutil.which("snakemake", path=f"{BIN}:{os.environ['PATH']}")

needs_snakemake = pytest.mark.skipif(SNAKEMAKE is None, reason="snakemake is not installed (extra: pipeline)")
