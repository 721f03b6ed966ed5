"""Parquet and XLSX, read back by other people's libraries: the same rows as the CSV, typed, and text as text."""

import csv
import datetime
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsum.cli import main
from batchsum.errors import UsageError
from batchsum.model.filters import FilterSet
from batchsum.model.job import Job, ListedTaxon, NamedSet, OutputSettings, Windows
from batchsum.model.queries import FileSummary, Package, Summary
from batchsum.output import changes, formats, table
from batchsum.output.table import CHANGED, MOST_XLSX_ROWS, SUMMARY, Row
from tests.builders.jobs import count_by_text, job_text, night, write_job
from tests.builders.sample_nights import kept_row
from tests.fakes.scripted_ncbi import scripted_ncbi

pytest.importorskip("pyarrow", reason="needs batchsum[parquet]")
pytest.importorskip("xlsxwriter", reason="needs batchsum[xlsx]")

MANIFEST = {"job": "watch", "job_hash": "0" * 64, "resolved_dates": {"week": {"released_since": "2026-11-16"}}}
FILTERS = FilterSet(host="human", complete_only=True, released_since="2025-01-15", include_sequence=("GENOME", "CDS"))
KEPT = kept_row("11320", "human", record_count=1, label="Influenza A")
SUMMARY_SEEN = Summary(
    10,
    10,
    resource_updated_on="2026-11-20T03:04:05Z",
    hydrated=Package(7, "https://e.org/?a=1,2", 'datasets download "x"'),
    available_files={"cds_fasta": FileSummary(2, 3.25), "genome_gff": FileSummary(0, 0)},
    messages=("one", "two"),
)
HOSTILE = (
    "=1+1", "=HYPERLINK(\"http://x\")", "+cmd", "-2+3", "@SUM(A1)", "{=1}", "https://example.org", "mailto:a@b.c",
    "123", "1e5", "true", "<r><t>bold</t></r>", "<r>", "</sheetData>", "&amp; <b>", " blanks ", "'quoted", "Virus é 😀",
    "_x0041_", "a\ufffeb",
)  # fmt: skip
ROWS: list[Row] = [
    table.row(KEPT._replace(record_count=10, previous_record_count=12), FILTERS, SUMMARY_SEEN),
    table.row(kept_row("11320", "old", "empty", 0), FilterSet(released_since="1850-01-01"), None),
    table.row(kept_row("11320", "none", "failed", None, error="timeout: no answer within 60 s"), FILTERS, None),
    *(
        table.row(KEPT._replace(label=label, filter_set=f"hostile {number}"), FILTERS, SUMMARY_SEEN)
        for number, label in enumerate(HOSTILE)
    ),
]
CHANGE_ROWS: list[Row] = [("11320", "=1+1", "all", "fell", 12, 10, -2, Decimal("-16.7"), "ok", "")]


def written(name: str, path: Path, rows: list[Row] | None = None, told: list[Row] | None = None) -> Path:
    write = formats.table_writer(
        name, manifest=MANIFEST, changes=iter(CHANGE_ROWS if told is None else told), counts=((), ())
    )
    write(path, iter(ROWS if rows is None else rows))
    return path


def typed(row: Row) -> dict[str, Any]:
    """A row as a typed format must give it back."""
    values = {}
    for column, value in zip(SUMMARY, row, strict=True):
        read: Callable[[Any], Any] = {
            "boolean": lambda cell: cell == "true",
            "date": lambda cell: datetime.date.fromisoformat(cell),
            "number": float,
        }.get(column.kind, lambda cell: cell)
        values[column.name] = None if value in (None, "") else read(value)
    return values


def test_parquet_has_every_value_with_its_type(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    found = pq.read_table(written("parquet", tmp_path / "t.parquet"))
    assert found.to_pylist() == [typed(row) for row in ROWS]
    kinds = {field.name: str(field.type) for field in found.schema}
    assert (kinds["taxon"], kinds["record_count"], kinds["cds_fasta_size_mb"]) == ("string", "int64", "double")
    assert (kinds["complete_only"], kinds["released_since"]) == ("bool", "date32[day]")
    assert found.schema.field("host").metadata[b"description"].startswith(b"Filter: ")


def test_parquet_says_which_job_it_is_from_and_where_the_manifest_is(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    found = json.loads(pq.read_schema(written("parquet", tmp_path / "t.parquet")).metadata[b"batchsum"])
    assert found == {**MANIFEST, "manifest": "run.json"}


def test_parquet_encodes_text_by_dictionary_and_comes_in_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    from batchsum.output import parquet

    monkeypatch.setattr(parquet, "ROWS_A_GROUP", 5)
    path = written("parquet", tmp_path / "t.parquet")
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == -(-len(ROWS) // 5)
    encodings = {
        (column := metadata.row_group(0).column(index)).path_in_schema: column.encodings
        for index in range(metadata.num_columns)
    }
    assert "RLE_DICTIONARY" in encodings["filter_set"]
    assert "RLE_DICTIONARY" not in encodings["record_count"]
    assert pq.read_table(path).num_rows == len(ROWS)


def test_polars_reads_parquet_as_it_was_meant(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="needs polars")
    found = polars.read_parquet(written("parquet", tmp_path / "t.parquet"))
    assert found.rows(named=True) == [typed(row) for row in ROWS]
    assert found.filter(polars.col("complete_only"))["record_count"].sum() == 10 + len(HOSTILE)


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    assert pq.read_table(written("parquet", tmp_path / "t.parquet", [])).column_names == list(table.COLUMNS)
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    book = openpyxl.load_workbook(written("xlsx", tmp_path / "t.xlsx", [], []))
    assert [cell.value for cell in next(book["summary"].iter_rows())] == list(table.COLUMNS)
    assert book["changes"].max_row == 1


def excel(value: Any) -> Any:
    """A value as openpyxl gives it back."""
    if isinstance(value, str):
        # Excel knows escapes for characters, so what looks like one is escaped; U+FFFE is no XML.
        return value.replace("_x0041_", "_x005F_x0041_").replace("\ufffe", "\ufffd")
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day) if value.year >= 1900 else str(value)  # noqa: DTZ001
    return value


def test_xlsx_has_every_value_with_its_type(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    book = openpyxl.load_workbook(written("xlsx", tmp_path / "t.xlsx"))
    header, *rows = book["summary"].iter_rows(values_only=True)
    assert list(header) == list(table.COLUMNS)
    assert [list(row) for row in rows] == [[excel(value) for value in typed(row).values()] for row in ROWS]
    assert {cell.data_type for row in book["summary"].iter_rows(min_row=2) for cell in row} == {"s", "n", "b", "d"}
    assert not any(cell.hyperlink for row in book["summary"].iter_rows() for cell in row)


def test_xlsx_header_stays_and_filters(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    book = openpyxl.load_workbook(written("xlsx", tmp_path / "t.xlsx"))
    assert book.sheetnames == ["summary", "changes", "columns"]
    for name, columns, count in (("summary", SUMMARY, len(ROWS)), ("changes", CHANGED, 1)):
        sheet = book[name]
        assert sheet.freeze_panes == ("F2" if name == "summary" else "D2")
        last = openpyxl.utils.get_column_letter(len(columns))
        assert sheet.auto_filter.ref == f"A1:{last}{count + 1}"
    changed = list(book["changes"].iter_rows(values_only=True))
    assert changed == [tuple(changes.COLUMNS), ("11320", "=1+1", "all", "fell", 12, 10, -2, -16.7, "ok", None)]
    meanings = dict(book["columns"].iter_rows(min_row=2, values_only=True))
    assert meanings.keys() == {one.name for one in (*SUMMARY, *CHANGED)}


def test_no_formula_and_no_link_is_in_the_workbook(tmp_path: Path) -> None:
    with zipfile.ZipFile(written("xlsx", tmp_path / "t.xlsx")) as archive:
        sheets = [archive.read(name).decode() for name in archive.namelist() if "worksheets" in name]
        assert len(sheets) == 3
        assert not any("<f>" in sheet or "hyperlink" in sheet for sheet in sheets)
        assert not any("sharedStrings" in name for name in archive.namelist())


def test_text_longer_than_a_cell_is_cut_where_it_shows(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    rows = [table.row(KEPT._replace(label=label), FILTERS, None) for label in ("x" * 40_000, "😀" * 20_000)]
    book = openpyxl.load_workbook(written("xlsx", tmp_path / "t.xlsx", rows))
    labels = [row[3] for row in book["summary"].iter_rows(min_row=2, values_only=True)]
    assert [len(label.encode("utf-16-le")) // 2 for label in labels] == [32_767, 32_767]
    assert all(label.endswith("…") for label in labels)


def test_changes_beyond_a_sheet_are_said_to_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    from batchsum.output import xlsx

    monkeypatch.setattr(xlsx, "MOST_XLSX_ROWS", 3)
    for count, shown in ((3, "fell"), (4, "more in changes.csv")):
        book = openpyxl.load_workbook(written("xlsx", tmp_path / "t.xlsx", ROWS[:2], CHANGE_ROWS * count))
        rows = list(book["changes"].iter_rows(min_row=2, values_only=True))
        assert (len(rows), rows[-1][3]) == (3, shown)


def test_a_filter_set_heads_its_column_whatever_it_is_called(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    names = ["=1+1", "{=1+1}", "<r><b</r>"]
    job = write_job(tmp_path, job_text(11320, filter_sets={name: {"host": name} for name in names}))
    with scripted_ncbi() as ncbi:
        assert night(job, ncbi, "--format", "xlsx") == 0
    header = next(openpyxl.load_workbook(tmp_path / "out/night/summary.xlsx")["counts"].iter_rows())
    assert [cell.value for cell in header[4:]] == names
    assert all(cell.data_type == "s" and cell.font.bold for cell in header)


@pytest.mark.parametrize("name", ["parquet", "xlsx"])
def test_the_same_rows_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    assert written(name, tmp_path / "one").read_bytes() == written(name, tmp_path / "two").read_bytes()


def test_a_workbook_does_not_say_when_it_was_written(tmp_path: Path) -> None:
    with zipfile.ZipFile(written("xlsx", tmp_path / "t.xlsx")) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
        dates = re.findall(r">(\d{4}-[^<]*)<", archive.read("docProps/core.xml").decode())
    assert dates == ["1980-01-01T00:00:00Z"] * 2


# Few files of many texts: what takes time is the files.
@settings(max_examples=40)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=12))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    import pyarrow.parquet as pq

    directory = tmp_path_factory.mktemp("any")
    rows = [table.row(KEPT._replace(label=text), FILTERS, None) for text in texts]
    found = pq.read_table(written("parquet", directory / "t.parquet", rows))
    assert found["label"].to_pylist() == [text or None for text in texts]
    book = openpyxl.load_workbook(written("xlsx", directory / "t.xlsx", rows, []))
    assert book["summary"].max_row == len(texts) + 1
    for text, row in zip(texts, book["summary"].iter_rows(min_row=2, values_only=True), strict=True):
        if text.isprintable() and "_x" not in text:
            assert (row[3] or "") == excel(text)


def test_a_night_leaves_every_format_with_the_same_table(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="needs polars")
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl")
    job, out = write_job(tmp_path), tmp_path / "out/night"
    with scripted_ncbi(otherwise=count_by_text) as ncbi:
        for _ in range(2):
            assert night(job, ncbi, "--format", "csv,parquet,xlsx") == 0
            digests = {name: (out / f"summary.{name}").read_bytes() for name in ("parquet", "xlsx")}
    assert night_again_is_the_same(job, out, digests)
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parquet = polars.read_parquet(out / "summary.parquet")
    book = openpyxl.load_workbook(out / "summary.xlsx")
    assert book.sheetnames == ["summary", "changes", "counts", "columns"]
    with (out / "counts.csv").open(encoding="utf-8", newline="") as file:
        for written_row, sheet_row in zip(csv.reader(file), book["counts"].values, strict=True):
            assert [cell.removeprefix("'") for cell in written_row] == [
                "" if value is None else str(value) for value in sheet_row
            ]
    sheet = book["summary"]
    assert parquet["taxon"].to_list() == [row["taxon"] for row in rows]
    assert parquet["record_count"].to_list() == [int(row["record_count"]) for row in rows]
    assert [row[3] for row in sheet.iter_rows(min_row=2, values_only=True)] == [
        row["label"].removeprefix("'") or None for row in rows
    ]


def night_again_is_the_same(job: Path, out: Path, digests: dict[str, bytes]) -> bool:
    """Another run of the same answers, later and under another run id, gives the same bytes."""
    with scripted_ncbi(otherwise=count_by_text) as ncbi:
        assert night(job, ncbi, "--format", "csv,parquet,xlsx", "--fresh") == 0
    return digests == {name: (out / f"summary.{name}").read_bytes() for name in digests}


def a_job(rows: int, *names: str) -> Job:
    taxa = [ListedTaxon("11320")] * rows
    return Job(Path("j.yaml"), "j", taxa, (NamedSet("all", FilterSet()),), OutputSettings(Path("out"), names))


@pytest.mark.parametrize(("name", "package"), [("parquet", "pyarrow"), ("xlsx", "xlsxwriter")])
def test_a_missing_package_is_told_before_anything_is_asked(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    job = write_job(tmp_path)
    with scripted_ncbi() as ncbi:
        assert night(job, ncbi, "--format", f"csv,{name}") == 2
    assert f"pip install '.[{name}]' in a clone" in capsys.readouterr().err
    assert ncbi.asked == []
    assert not (tmp_path / "out/night/state.sqlite3").exists()
    job.write_text(job.read_text() + f"output: {{formats: [{name}]}}\n")
    assert main(["check", str(job), "--json", "--base-url", ncbi.base_url]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert f"pip install '.[{name}]' in a clone" in problem["message"]


def test_a_job_too_long_for_a_sheet_is_told_before_anything_is_asked() -> None:
    formats.require_formats(a_job(MOST_XLSX_ROWS, "xlsx"))
    formats.require_formats(a_job(MOST_XLSX_ROWS + 1, "csv", "parquet"))
    with pytest.raises(UsageError, match="holds 1,048,575 rows and the job has 1,048,576"):
        formats.require_formats(a_job(MOST_XLSX_ROWS + 1, "xlsx"))


def test_rows_are_counted_without_a_plan() -> None:
    one, windows = NamedSet("one", FilterSet()), NamedSet("w", FilterSet(), {}, Windows(datetime.timedelta(days=7), 12))
    job = replace(a_job(3), filter_sets=(one, windows), taxa=[ListedTaxon("1"), ListedTaxon("2", sets=(one, one))])
    assert formats.row_count(job) == 13 + 2
