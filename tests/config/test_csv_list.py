"""Lists of taxa: alone, and named by a YAML file."""

import csv
import io
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.config.csv_list import cell_places
from batchsum.config.load import load_job
from batchsum.errors import JobFileError
from batchsum.model.filters import FILTER_NAMES, FilterSet, parse_taxon
from batchsum.model.job import Job, OutputSettings
from batchsum.run.plan import Plan

ROOT = Path(__file__).parents[2]

YAML = """\
version: 1
taxa_files: [taxa.csv]
filter_sets:
  human: {host: human}
  region: {matrix: {geo_location: [Africa, Asia]}}
"""


def alone(tmp_path: Path, text: str, name: str = "taxa.csv") -> Job:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return load_job(path, today=date(2025, 6, 1))


def with_yaml(tmp_path: Path, rows: str) -> Job:
    (tmp_path / "taxa.csv").write_text(rows)
    (tmp_path / "job.yaml").write_text(YAML)
    return load_job(tmp_path / "job.yaml", today=date(2025, 6, 1))


def sets_of(job: Job) -> list[list[tuple[str, FilterSet]] | None]:
    return [None if one.sets is None else [(each.name, each.filters) for each in one.sets] for one in job.taxa]


def test_a_list_alone_has_all_settings_at_their_defaults(tmp_path: Path) -> None:
    job = alone(tmp_path, "taxon,label\n2697049,SARS-CoV-2\nInfluenza A virus,\n")
    assert (job.name, job.output) == ("taxa", OutputSettings(tmp_path / "out" / "taxa"))
    assert [(one.name, one.filters) for one in job.filter_sets] == [("all", FilterSet())]
    assert [(one.taxon, one.label, one.sets) for one in job.taxa] == [
        ("2697049", "SARS-CoV-2", None), ("Influenza A virus", "", None),
    ]  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_byte_order_marks(delimiter: str, line_end: str, mark: str, tmp_path: Path) -> None:
    rows = [["label", "taxon"], ["Flu A", "11320"], ["", "11053"], ["x", "11060"]]
    text = mark + "".join(delimiter.join(row) + line_end for row in rows)
    job = alone(tmp_path, text)
    assert [(one.taxon, one.label) for one in job.taxa] == [("11320", "Flu A"), ("11053", ""), ("11060", "x")]


@pytest.mark.parametrize("name", ["taxa.csv", "taxa.TSV"])
def test_the_header_tells_the_delimiter_whatever_the_suffix(name: str, tmp_path: Path) -> None:
    job = alone(tmp_path, "taxon;label\n11320;Flu, type A\n", name)
    assert job.taxa[0].label == "Flu, type A"


def test_one_column_holds_names_with_every_other_sign(tmp_path: Path) -> None:
    job = alone(tmp_path, "taxon\nA/goose/Guangdong/1/96;H5N1\n'O''nyong-nyong\n")
    assert [one.taxon for one in job.taxa] == ["A/goose/Guangdong/1/96;H5N1", "'O''nyong-nyong"]


def test_blank_lines_and_rows_of_empty_cells_are_passed_over(tmp_path: Path) -> None:
    job = alone(tmp_path, "\n\ntaxon,label\n\n11320,x\n   \n,\n , \n,,,\n11053,y\n\n")
    assert [one.taxon for one in job.taxa] == ["11320", "11053"]


def test_blanks_that_spreadsheets_leave_around_cells(tmp_path: Path) -> None:
    job = alone(tmp_path, " taxon ,label , host\n 11320 ,\u00a0Flu A\u00a0,  human \n")
    assert (job.taxa[0].taxon, job.taxa[0].label) == ("11320", "Flu A")
    assert sets_of(job) == [[("host=human", FilterSet(host="human"))]]


def test_quoted_cells(tmp_path: Path) -> None:
    job = alone(tmp_path, 'taxon,label\n"11320","say ""a, b"""\n')
    assert job.taxa[0].label == 'say "a, b"'


def test_every_filter_in_a_row(tmp_path: Path) -> None:
    job = alone(
        tmp_path,
        "taxon,aux_report,accessions,refseq_only,annotated_only,released_since,updated_since,host,"
        "pangolin_classification,geo_location,usa_state,complete_only,include_sequence\n"
        "2697049,BIOSAMPLE|annotation,NC_038294.1 | NC_045512.2,TRUE,yes,2025-01-15T00:00:00Z,2w,9606,1.10,NO,ca,"
        "True,GENOME|CDS\n",
    )
    filters = FilterSet(
        accessions=("NC_038294.1", "NC_045512.2"), refseq_only=True, annotated_only=True,
        released_since=date(2025, 1, 15), updated_since=timedelta(days=14), host="9606", pangolin_classification="1.10",
        geo_location="NO", usa_state="CA", complete_only=True, include_sequence=("GENOME", "CDS"),
        aux_report=("BIOSAMPLE_REPORT", "ANNOTATION"),
    )  # fmt: skip
    assert [one for one in FILTER_NAMES if not getattr(filters, one)] == []
    name = (
        "accessions=NC_038294.1|NC_045512.2;refseq_only=true;annotated_only=true;released_since=2025-01-15;"
        "updated_since=2w;host=9606;pangolin_classification=1.10;geo_location=NO;usa_state=CA;"
        "complete_only=true;include_sequence=GENOME|CDS;aux_report=BIOSAMPLE_REPORT|ANNOTATION"
    )
    assert sets_of(job) == [[(name, filters)]]


def test_a_row_with_filters_is_called_by_its_cell_or_by_its_filters(tmp_path: Path) -> None:
    job = alone(
        tmp_path,
        "taxon,filter_set,host,complete_only\n1,mine,human,true\n1,,human,true\n1,,human,false\n1,,,FALSE\n1,all,,\n",
    )
    human = FilterSet(host="human")
    complete = FilterSet(host="human", complete_only=True)
    assert sets_of(job) == [
        [("mine", complete)],
        [("host=human;complete_only=true", complete)],
        [("host=human", human)],
        [("all", FilterSet())],
        [("all", FilterSet())],
    ]
    assert len(job.warnings) == 1, "the last two ask the same"


def test_rows_use_the_filter_sets_of_the_yaml(tmp_path: Path) -> None:
    job = with_yaml(tmp_path, "taxon,filter_set,geo_location\n1,,\n2,human,\n3,region,\n4,region/Asia,\n5,human,Peru\n")
    human, africa, asia = ((one.name, one.filters) for one in job.filter_sets)
    assert sets_of(job) == [
        None, [human], [africa, asia], [asia], [("human", FilterSet(geo_location="Peru"))],
    ]  # fmt: skip


def test_rows_with_the_same_filters_share_their_sets(tmp_path: Path) -> None:
    job = alone(tmp_path, "taxon,host\n1,human\n2,\n3,human\n")
    assert job.taxa[0].sets is job.taxa[2].sets


def test_taxa_of_the_yaml_come_before_those_of_the_files_in_their_order(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"taxon\n{name} virus\n")
    (tmp_path / "job.yaml").write_text("version: 1\ntaxa_files: [b.csv, a.csv]\ntaxa: [11320]\n")
    assert [one.taxon for one in load_job(tmp_path / "job.yaml").taxa] == ["11320", "b virus", "a virus"]


def test_a_taxon_may_come_again_with_another_set(tmp_path: Path) -> None:
    job = alone(tmp_path, "taxon,host\n1,human\n1,swine\n1,\n")
    assert job.warnings == ()


def test_warnings_stand_at_their_cells(tmp_path: Path) -> None:
    job = alone(
        tmp_path,
        "taxon,released_since,geo_location\n2697049,2025-06-02,\n2697049,,Asien\n2697049,7d,\n2697049,7d,\n",
    )
    assert [str(one).removeprefix(f"{job.path}:").split(";")[0] for one in job.warnings] == [
        "2:9: released_since: 2025-06-02 is in the future",
        "3:10: geo_location: 'Asien' is neither a continent nor in INSDC's list of countries",
        "5:1: taxon 2697049 is listed again with filter set 'released_since=7d'",
    ]


def test_a_warning_that_many_rows_deserve_is_told_once(tmp_path: Path) -> None:
    rows = "".join(f"{taxon},{place}\n" for taxon in (1, 2, 3) for place in ("Vietnam", "Asia", "Brasil"))
    job = alone(tmp_path, f"taxon,geo_location\n{rows}")
    assert [str(one).removeprefix(f"{job.path}:").split(" is neither")[0] for one in job.warnings] == [
        "2:3: geo_location: 'Vietnam'", "4:3: geo_location: 'Brasil'",
    ]  # fmt: skip
    assert all(one.message.endswith(f"(3 rows like this: lines {n}, {n + 3}, {n + 6})")
               for one, n in zip(job.warnings, (2, 4), strict=True))  # fmt: skip


def test_problems_of_many_files_come_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("z.csv").write_text("taxon\n007\n")
    Path("a.csv").write_text("taxon\n008\n")
    Path("job.yaml").write_text("version: 1\ntaxa: [009]\ntaxa_files: [z.csv, a.csv]\n")
    with pytest.raises(JobFileError) as caught:
        load_job("job.yaml")
    assert [str(one).split(" ")[0] for one in caught.value.problems] == ["job.yaml:2:8:", "a.csv:2:1:", "z.csv:2:1:"]


def test_rows_of_many_taxa_are_planned_in_order(tmp_path: Path) -> None:
    rows = "".join(f"Virus {n % 700},{'human' if n % 3 else ''}\n" for n in range(2_000))
    job = alone(tmp_path, f"taxon,host\n{rows}")
    plan = Plan(job, date(2025, 6, 1))
    asked = [(one.taxon, one.filters.host) for one in plan.queries()]
    assert asked == [(f"Virus {n % 700}", "human" if n % 3 else "") for n in range(2_000)]
    assert plan.request_count == len(set(asked))
    again = [n + 2 for n, query in enumerate(asked) if query in asked[:n]]
    lines = ", ".join(map(str, again[:10]))
    assert [str(one) for one in job.warnings] == [
        f"{job.path}:{again[0]}:1: taxon {asked[again[0] - 2][0]} is listed again with filter set 'host=human';"
        f" its rows will stand there twice ({len(again):,} rows like this: lines {lines}, ...)"
    ]


@pytest.mark.parametrize(
    "header",
    [
        "Taxon,Label,Filter Set,Geo-Location",
        "TaxID,NAME,filter-set,geo location",
        "tax_id, Name ,FILTER_SET,Geo_Location",
        '"Taxon ID","label","Filter set","GEO  LOCATION"',
        "#taxon,label,filter_set,geo_location",
    ],
)
def test_names_of_the_header_in_any_case_and_spelling(header: str, tmp_path: Path) -> None:
    job = alone(tmp_path, f"{header}\n11320,Flu A,north,Asia\n")
    assert [(one.taxon, one.label) for one in job.taxa] == [("11320", "Flu A")]
    assert sets_of(job) == [[("north", FilterSet(geo_location="Asia"))]]


def test_lines_that_begin_with_a_hash_are_comments(tmp_path: Path) -> None:
    job = alone(
        tmp_path,
        "# my list, of viruses\n#taxon\n\ntaxon,label\n# respiratory\n11320,Flu # A\n#11053,Dengue\n #x,y\n#\n11520,\n",
    )
    assert [(one.taxon, one.label) for one in job.taxa] == [("11320", "Flu # A"), ("#x", "y"), ("11520", "")]
    assert job.taxa[2].place == (str(job.path), 10, 1)


def test_a_hash_inside_a_quoted_cell_is_no_comment(tmp_path: Path) -> None:
    path = tmp_path / "taxa.csv"
    path.write_text('taxon,label\n11320,"Flu\n# A"\n')
    with pytest.raises(JobFileError, match=r":2:7: label: has an invisible character, U\+000A"):
        load_job(path)


def test_a_bare_list_has_one_taxon_a_line(tmp_path: Path) -> None:
    job = alone(tmp_path, '\ufeff# from NCBI\r\n2697049\r\n\r\n  Influenza A virus \r\nHuman, "x"; y\r\n', "taxa.TXT")
    assert [(one.taxon, one.label, one.sets) for one in job.taxa] == [
        ("2697049", "", None), ("Influenza A virus", "", None), ('Human, "x"; y', "", None),
    ]  # fmt: skip
    assert job.taxa[2].place == (str(job.path), 5, 1)


def test_a_line_that_is_seldom_a_name_is_one_and_told(tmp_path: Path) -> None:
    lines = ["Zika virus,flu", "Human virus # 3", "11320 Influenza A", "2019-nCoV", "Orthobunyavirus (type 2)"]
    job = alone(tmp_path, "\n".join(lines), "taxa.txt")
    assert [one.taxon for one in job.taxa] == lines
    assert [str(one).removeprefix(f"{job.path}:").partition(" is taken")[0] for one in job.warnings] == [
        "1:1: taxon: 'Zika virus,flu'",
        "2:1: taxon: 'Human virus # 3'",
        "3:1: taxon: '11320 Influenza A'",
    ]


def test_a_bare_list_beside_a_yaml_job(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("11320\n")
    (tmp_path / "job.yaml").write_text("version: 1\ntaxa_files: [more.txt]\nfilter_sets: {human: {host: human}}\n")
    job = load_job(tmp_path / "job.yaml")
    assert [(query.taxon, query.filter_set) for query in Plan(job, date(2025, 6, 1)).queries()] == [("11320", "human")]


@pytest.mark.parametrize("name", ["taxa.csv", "job.csv"])
def test_the_lists_that_come_along(name: str) -> None:
    job = load_job(ROOT / "sample_inputs" / name)
    assert len(job.taxa) == {"taxa.csv": 47, "job.csv": 7}[name]
    assert all(one.label for one in job.taxa)
    assert job.warnings == ()


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@given(st.lists(CELLS, min_size=2, max_size=4), st.sampled_from(",;\t"))
def test_cells_are_found_where_they_stand(row: list[str], delimiter: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerow(row)
    lines = io.StringIO(out.getvalue(), newline="").readlines()
    places = cell_places(lines, delimiter)
    assert len(places) == len(row)
    for (down, column), cell in zip(places, row, strict=True):
        rest = lines[down][column - 1 :] + "".join(lines[down + 1 :])
        from_there = next(csv.reader(io.StringIO(rest, newline=""), delimiter=delimiter)) or [""]
        assert from_there[0] == cell


TAXA = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30).filter(
    lambda text: not text.startswith("#")  # which would make the row a comment
)


@given(st.lists(st.tuples(TAXA, TAXA), min_size=1, max_size=20), st.sampled_from(",;\t"))
def test_what_a_spreadsheet_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "taxa.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([("taxon", "label"), *rows])
    stripped = [(taxon.strip(), label.strip()) for taxon, label in rows if (taxon + label).strip()]
    if stripped and all(_fits(parse_taxon, taxon) for taxon, _ in stripped):
        assert [(one.taxon, one.label) for one in load_job(path).taxa] == stripped
    else:
        with pytest.raises(JobFileError):
            load_job(path)


def _fits(parse: Callable[[str], str], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def test_a_blank_first_line_is_no_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "taxa.csv"
    path.write_bytes(b"\ntaxon\n\xe9\n")
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    assert [(one.line, one.column) for one in caught.value.problems] == [(3, 1)]
    assert "byte 0xE9 is not UTF-8" in str(caught.value)


@pytest.mark.parametrize(
    ("quote", "message"), [("", "a cell of more than 131,072 characters"), ('"', "a quote that is")]
)
def test_a_cell_that_does_not_end_says_whether_a_quote_is_why(tmp_path: Path, quote: str, message: str) -> None:
    csv.field_size_limit(131_072)  # Python's own; where a table was read again in this process, there is none
    with pytest.raises(JobFileError) as caught:
        alone(tmp_path, f"taxon,label\n11320,{quote}{'x' * 140_000}\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.message.startswith(message)) == (2, True)
