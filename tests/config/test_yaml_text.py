"""Whatever stands in a file: it loads as written, or is refused with a place. Nothing else happens."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.config.load import load_job
from batchsum.errors import JobFileError, Problem
from batchsum.model.filters import parse_taxon


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


def refused_or_loaded(path: Path) -> None:
    """Any other error than JobFileError ends the test."""
    problems: tuple[Problem, ...] | None = None
    try:
        taxa = len(load_job(path).taxa)
    except JobFileError as error:
        problems, taxa = error.problems, 0
    lines = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
    assert taxa or problems
    assert all(1 <= one.line <= lines and one.column >= 1 and one.message for one in problems or ())


# Two code points that are no characters cannot be in YAML at all.
@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffe\uffff"), max_size=60))
def test_any_text_as_a_taxon(folder: Path, text: str) -> None:
    path = folder / "taxon.yaml"
    path.write_text("version: 1\ntaxa:\n  - " + json.dumps(text, ensure_ascii=False) + "\n")
    try:
        fits = parse_taxon(text) == text
    except ValueError:
        fits = False
    if fits:
        assert load_job(path).taxa[0].taxon == text
    else:
        with pytest.raises(JobFileError) as caught:
            load_job(path)
        (problem,) = caught.value.problems
        assert (problem.line, problem.column >= 5) == (3, True)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_job(folder: Path, raw: bytes) -> None:
    for name in ("bytes.yaml", "bytes.csv"):
        path = folder / name
        path.write_bytes(raw)
        refused_or_loaded(path)


PIECES = st.sampled_from([
    "version: 1\n", "taxa:", " [", "]", "{", "}", "\n  - ", "11320", "taxon: ", ", ", ": ", "\n", "  ", "\t", "- ",
    "filter_sets:\n  a: ", "matrix: ", "host: ", "human", "released_between: ", "2025-01-01", "'", '"', "&a ", "*a",
    "<<: ", "!!int ", "? ", "| ", "> ", "# ", "---\n", "...\n", "%YAML 1.1\n", "null", "~", "api: ", "guards: ",
    "label: ", "name: ", "\u2028", "é", "\r\n", "taxon,label\n", '"a\nb"', ";", "|", "7d",
])  # fmt: skip


@given(st.lists(PIECES, max_size=25))
def test_any_mixture_of_job_file_words(folder: Path, pieces: list[str]) -> None:
    for name in ("pieces.yaml", "pieces.csv"):
        path = folder / name
        path.write_bytes("".join(pieces).encode())
        refused_or_loaded(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.text(max_size=5) | st.sampled_from(["human", "7d", "all"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
def test_any_value_under_any_key(folder: Path, data: st.DataObject) -> None:
    sections = ["taxa", "taxa_files", "filter_sets", "api", "output", "guards", "notify", "name", "version"]
    inner = ["taxon", "filter_sets", "host", "matrix", "released_between", "dir", "on_change", "guards", "timeout"]
    value = VALUES | st.dictionaries(st.sampled_from(inner), VALUES, max_size=3)
    job = data.draw(
        st.dictionaries(st.sampled_from(sections), value | st.lists(value, max_size=3) | st.dictionaries(
            st.sampled_from(["all", "human", *inner]), value, max_size=3), max_size=5)
    )  # fmt: skip
    path = folder / "values.yaml"
    path.write_text(json.dumps({"version": 1, "taxa": [11320], **job}))
    refused_or_loaded(path)


def test_the_reading_of_options_costs_no_heavy_imports() -> None:
    code = "import sys, batchsum.config.values; print({'yaml', 'csv'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
