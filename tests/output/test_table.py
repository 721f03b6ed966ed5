"""The table's cells and formats."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.model.filters import FilterSet
from batchsum.model.queries import FileSummary, Package, Summary
from batchsum.output.table import COLUMNS, WRITERS, Row, cell, row, write_delimited
from tests.builders.sample_nights import kept_row

FILTERS = FilterSet(host="human", include_sequence=("GENOME", "CDS"))
KEPT = kept_row("11320", "human", "ok", 10, 12, label="=1+1")
FAILED = kept_row("11320", "human", "failed", None, label="=1+1", error="timeout:")
SUMMARY = Summary(
    10,
    resource_updated_on="2026-11-20",
    hydrated=Package(7, "https://e.org/?a=1,2", 'say "hi"'),
    available_files={"cds_fasta": FileSummary(2, 3.0)},
    messages=("one", "two"),
)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    shown = "\n" if start == "\r" else start
    assert cell(f"{start}cmd") == f"'{shown}cmd"


@pytest.mark.parametrize(
    ("value", "text"), [(-5, "-5"), (3.0, "3"), (0.1, "0.1"), (184.965, "184.965"), (0, "0"), (None, ""), ("a", "a")]
)
def test_numbers_stay_numbers(value: str | float | None, text: str) -> None:
    assert cell(value) == text


def test_a_row_has_a_value_for_each_column() -> None:
    values = dict(zip(COLUMNS, row(KEPT, FILTERS, SUMMARY), strict=True))
    filled = {name: value for name, value in values.items() if value not in (None, "")}
    assert filled == {
        "taxon": "11320", "label": "=1+1", "filter_set": "human", "host": "human", "include_sequence": "GENOME|CDS",
        "status": "ok", "record_count": 10, "resource_updated_on": "2026-11-20",
        "hydrated_estimated_file_size_mb": 7, "hydrated_url": "https://e.org/?a=1,2",
        "hydrated_cli_download_command_line": 'say "hi"', "cds_fasta_file_count": 2, "cds_fasta_size_mb": 3.0,
        "previous_record_count": 12, "record_count_change": -2, "messages": "one|two",
    }  # fmt: skip


def test_every_format_says_the_same(tmp_path: Path) -> None:
    rows: list[Row] = [row(KEPT, FILTERS, SUMMARY), row(FAILED, FILTERS, None)]
    for name in ("csv", "tsv", "jsonl"):
        WRITERS[name](tmp_path / name, iter(rows))
    cells = [[cell(value) for value in one] for one in rows]
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            assert list(csv.reader(file, delimiter=delimiter)) == [list(COLUMNS), *cells]
    for line, one in zip((tmp_path / "jsonl").read_text(encoding="utf-8").splitlines(), rows, strict=True):
        assert list(json.loads(line).items()) == [
            (name, None if value == "" else value) for name, value in zip(COLUMNS, one, strict=True)
        ]


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.integers()), max_size=5))
def test_any_text_comes_back_from_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    write_delimited(path, rows, columns=("text", "number"))
    found = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert found == [["text", "number"], *([cell(text), str(number)] for text, number in rows)]
    assert not any(text[:1] in ("=", "+", "-", "@", "\t", "\r") for text, _ in found[1:] if text)
