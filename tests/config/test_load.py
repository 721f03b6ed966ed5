"""Job files that are right: every key to its value."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from batchsum.config.load import load_job
from batchsum.config.schema import API, FILTER_SET, GUARDS, JOB, NOTIFY, OUTPUT, TAXON_ENTRY, WINDOWS
from batchsum.model.filters import FilterSet
from batchsum.model.job import ApiSettings, Job, ListedTaxon, NotifySettings, OutputSettings
from batchsum.model.queries import Guards
from batchsum.ncbi.urls import BASE_URL

ROOT = Path(__file__).parents[2]

EVERY_KEY = """\
version: 1
name: respiratory
taxa:
  - 2697049
  - Influenza A virus
  - {taxon: 1335626, label: MERS, filter_sets: [human, all], guards: {max_drop: 60%}}
taxa_files: [../lists/taxa.csv]
filter_sets:
  all: {}
  human: {host: human, complete_only: true}
  this_week: {released_since: 7d}
  january: {released_between: [2025-01-01, 2025-02-01]}
  region:
    matrix: {geo_location: [Africa, Asia], complete_only: [true, false]}
    refseq_only: yes
    guards: {min_drop: 0, allow_zero: true}
api:
  base_url: https://example.org/datasets/v2/
  api_key_file: key.txt
  requests_per_second: 2.5
  workers: 8
  timeout: 90s
  attempts: 3
  max_outage: 1h
  contact: me@lab.org
  allow_http: false
  canary: 11320
output: {dir: ../out, formats: [csv, jsonl], keep_nights: 30}
guards: {max_drop: 12.5%, min_drop: 7, stale_after: 3w, allow_zero: true}
notify:
  on_change: [/path/to/hook, arg]
  on_failure: [no-such-mail, -s, 1.10, NO]
  on_success: ["true"]
  webhook_env: SLACK_WEBHOOK
  ping_env: HEALTHCHECK_URL
"""


@pytest.fixture
def every_key(tmp_path: Path) -> Job:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "taxa.csv").write_text("taxon,label\n11320,Flu A\n")
    (tmp_path / "jobs").mkdir()
    path = tmp_path / "jobs" / "night.yaml"
    path.write_text(EVERY_KEY)
    return load_job(path)


def job_of(tmp_path: Path, text: str, today: date = date(2025, 6, 1), name: str = "job.yaml") -> Job:
    path = tmp_path / name
    path.write_text(text)
    return load_job(path, today=today)


def names(job: Job) -> list[str]:
    return [one.name for one in job.filter_sets]


def test_taxa_in_order_of_the_file(every_key: Job) -> None:
    taxa = list(every_key.taxa)
    assert [(one.taxon, one.label) for one in taxa] == [
        ("2697049", ""), ("Influenza A virus", ""), ("1335626", "MERS"), ("11320", "Flu A"),
    ]  # fmt: skip
    assert taxa[0] == ListedTaxon("2697049")
    assert taxa[3].sets is None
    assert taxa[2].guards == {"max_drop": 0.6}


def test_a_taxon_has_its_sets_in_the_order_of_the_job(every_key: Job) -> None:
    assert every_key.taxa[2].sets == every_key.filter_sets[:2]


def test_filter_sets(every_key: Job) -> None:
    by_name = {one.name: one.filters for one in every_key.filter_sets}
    assert by_name == {
        "all": FilterSet(),
        "human": FilterSet(host="human", complete_only=True),
        "this_week": FilterSet(released_since=timedelta(days=7)),
        "january": FilterSet(released_since=date(2025, 1, 1), released_before=date(2025, 2, 1)),
        "region/Africa/true": FilterSet(refseq_only=True, geo_location="Africa", complete_only=True),
        "region/Africa/false": FilterSet(refseq_only=True, geo_location="Africa"),
        "region/Asia/true": FilterSet(refseq_only=True, geo_location="Asia", complete_only=True),
        "region/Asia/false": FilterSet(refseq_only=True, geo_location="Asia"),
    }
    assert list(by_name)[4:] == [
        "region/Africa/true", "region/Africa/false", "region/Asia/true", "region/Asia/false",
    ]  # fmt: skip
    assert [dict(one.guards) for one in every_key.filter_sets[3:5]] == [{}, {"min_drop": 0, "allow_zero": True}]


def test_settings(every_key: Job, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    assert every_key.name == "respiratory"
    assert every_key.path == jobs / "night.yaml"
    assert every_key.api == ApiSettings(
        "https://example.org/datasets/v2", jobs / "key.txt", 2.5, 8, timedelta(seconds=90), 3,
        timedelta(hours=1), "me@lab.org", canary="11320",
    )  # fmt: skip
    assert every_key.output == OutputSettings(tmp_path / "out", ("csv", "jsonl"), 30)
    assert every_key.guards == Guards(0.125, 7, timedelta(weeks=3), True)
    assert every_key.notify == NotifySettings(
        ("/path/to/hook", "arg"), ("no-such-mail", "-s", "1.10", "NO"), ("true",), "SLACK_WEBHOOK", "HEALTHCHECK_URL"
    )
    assert [one.message.partition(":")[0] for one in every_key.warnings] == ["on_change", "on_failure"]


def test_defaults(tmp_path: Path) -> None:
    job = job_of(tmp_path, "version: 1\ntaxa: [11320]\n", name="flu season.yaml")
    assert job.name == "flu-season"
    assert job.output == OutputSettings(tmp_path / "out" / "flu-season")
    assert (job.api, job.guards, job.notify) == (ApiSettings(), Guards(), NotifySettings())
    assert [(one.name, one.filters) for one in job.filter_sets] == [("all", FilterSet())]


def test_paths_come_back_as_they_open_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").mkdir()
    job_of(tmp_path / "jobs", "version: 1\ntaxa: [11320]\noutput: {dir: ../out}\napi: {api_key_file: k}\n")
    monkeypatch.chdir(tmp_path)
    job = load_job("jobs/job.yaml")
    assert (job.output.dir, job.api.api_key_file) == (Path("out"), Path("jobs/k"))


def test_home_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    job = job_of(tmp_path, "version: 1\ntaxa: [1]\noutput: {dir: ~/out}\napi: {api_key_file: /etc/key}\n")
    assert (job.output.dir, job.api.api_key_file) == (Path("/home/someone/out"), Path("/etc/key"))


@pytest.mark.parametrize("nothing", ["", "null", "~"])
def test_a_key_without_a_value_is_absent(nothing: str, tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        f"version: 1\nname: {nothing}\ntaxa: [{{taxon: 11320, label: {nothing}, filter_sets: {nothing}}}]\n"
        f"taxa_files: {nothing}\nfilter_sets:\n  all: {nothing}\n  one: {{host: {nothing}}}\napi: {nothing}\n"
        f"output: {{dir: {nothing}}}\nguards: {{max_drop: {nothing}}}\nnotify: {nothing}\n",
    )
    assert [(one.name, one.filters) for one in job.filter_sets] == [("all", FilterSet()), ("one", FilterSet())]
    assert job.name == "job"
    assert list(job.taxa) == [ListedTaxon("11320")]


def test_values_stay_text(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "version: 1\n"
        "taxa: [true, 12:30:45, 1_000x, null virus, =, 0x1F, 'null', '~']\n"
        "filter_sets:\n"
        "  NO: {geo_location: NO, pangolin_classification: 1.10, host: 9606}\n"
        "  1.10: {complete_only: No, refseq_only: YES, usa_state: ca}\n",
    )
    assert [one.taxon for one in job.taxa] == [
        "true", "12:30:45", "1_000x", "null virus", "=", "0x1F", "null", "~",
    ]  # fmt: skip
    assert names(job) == ["NO", "1.10"]
    assert job.filter_sets[0].filters == FilterSet(geo_location="NO", pangolin_classification="1.10", host="9606")
    assert job.filter_sets[1].filters == FilterSet(refseq_only=True, usa_state="CA")


def test_anchors_and_aliases(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "version: 1\ntaxa: &t [11320, &flu Influenza B virus, *flu]\n"
        "filter_sets:\n  a: &set {host: human}\n  b: *set\n",
    )
    assert [one.taxon for one in job.taxa] == ["11320", "Influenza B virus", "Influenza B virus"]
    assert job.filter_sets[0].filters == job.filter_sets[1].filters


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\r\ntaxa:\r\n  - Influenza A virus\r\n")
    assert [one.taxon for one in load_job(path).taxa] == ["Influenza A virus"]


def test_lists_as_ncbis_example_writes_them(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "version: 1\ntaxa: [1335626]\nfilter_sets:\n"
        "  example: {accessions: NC_038294.1, include_sequence: [genome, CDS, genome], aux_report: BIOSAMPLE}\n",
    )
    assert job.filter_sets[0].filters == FilterSet(
        accessions=("NC_038294.1",), include_sequence=("GENOME", "CDS"), aux_report=("BIOSAMPLE_REPORT",)
    )


def test_a_matrix_of_lists_windows_and_relative_dates(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "version: 1\ntaxa: [1335626]\nfilter_sets:\n"
        "  m:\n"
        "    matrix:\n"
        "      released_between: [[2025-01-01, 2025-02-01], [30d, 7d]]\n"
        "      include_sequence: [[GENOME, CDS], NONE]\n"
        "  u: {matrix: {updated_since: [2w, 2025-01-15T00:00:00Z]}}\n",
    )
    assert names(job) == [
        "m/2025-01-01..2025-02-01/GENOME|CDS", "m/2025-01-01..2025-02-01/NONE", "m/30d..7d/GENOME|CDS",
        "m/30d..7d/NONE", "u/14d", "u/2025-01-15",
    ]  # fmt: skip
    assert job.filter_sets[3].filters == FilterSet(
        released_since=timedelta(30), released_before=timedelta(7), include_sequence=("NONE",)
    )


def test_a_taxon_names_a_whole_matrix_by_its_stem(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "version: 1\n"
        "taxa: [{taxon: 1, filter_sets: [b, region]}, {taxon: 2, filter_sets: [region/Asia]}]\n"
        "filter_sets:\n  region: {matrix: {geo_location: [Africa, Asia]}}\n  a: {}\n  b: {}\n",
    )
    first, second = job.taxa
    assert [one.name for one in first.sets or ()] == ["region/Africa", "region/Asia", "b"]
    assert [one.name for one in second.sets or ()] == ["region/Asia"]


def test_taxa_look_like_a_list(every_key: Job) -> None:
    assert len(every_key.taxa) == 4
    assert every_key.taxa[-1].taxon == "11320"
    assert [one.taxon for one in every_key.taxa[1:3]] == ["Influenza A virus", "1335626"]
    with pytest.raises(IndexError):
        every_key.taxa[4]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (
            "taxa: [1]\nfilter_sets: {x: {released_since: 2025-06-02}, y: {updated_since: 2025-06-01}}",
            ["3:35: released_since: 2025-06-02 is in the future; nothing can be that new"],
        ),
        (
            "taxa: [1]\nfilter_sets: {x: {matrix: {released_between: [[2030-01-01, 2030-02-01]]}}}",
            ["3:46: released_between: 2030-01-01 is in the future; nothing can be that new"],
        ),
        (
            "taxa: [1]\nfilter_sets:\n"
            "  x: {released_between: [3d, 2025-05-01]}\n  y: {released_between: [2025-05-01, 3d]}",
            ["4:25: released_between: begins on 2025-05-29 tonight and ends on 2025-05-01; nothing lies between"],
        ),
        (
            "taxa: [11320, 11053, 11320, {taxon: 11320, filter_sets: [all]}]",
            ["2:22: taxon 11320 is listed again with filter set 'all'; its rows will stand there twice"
             " (2 rows like this, all in line 2)"],
        ),
    ],
    ids=["future", "future window", "backwards tonight", "twice"],
)  # fmt: skip
def test_what_is_odd_is_a_warning(text: str, warnings: list[str], tmp_path: Path) -> None:
    job = job_of(tmp_path, f"version: 1\n{text}\n")
    assert [str(one).removeprefix(f"{job.path}:") for one in job.warnings] == warnings


UNKNOWN_PLACE = "is neither a continent nor in INSDC's list of countries"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("geo_location: Vietnam", f"geo_location: 'Vietnam' {UNKNOWN_PLACE}; did you mean 'Viet Nam'?"),
        ("geo_location: Brasil", f"geo_location: 'Brasil' {UNKNOWN_PLACE}; did you mean 'Brazil'?"),
        ("geo_location: Réunion", f"geo_location: 'Réunion' {UNKNOWN_PLACE}; did you mean 'Reunion'?"),
        ("geo_location: Ivory Coast", f"geo_location: 'Ivory Coast' {UNKNOWN_PLACE}; did you mean \"Cote d'Ivoire\"?"),
        ("geo_location: The Gambia", f"geo_location: 'The Gambia' {UNKNOWN_PLACE}; did you mean 'Gambia'?"),
        ("geo_location: California", f"geo_location: 'California' {UNKNOWN_PLACE}; write 'USA' with usa_state: CA"),
        ("geo_location: NO", f"geo_location: 'NO' {UNKNOWN_PLACE}"),
        ("geo_location: 'USA: CA'",
         "geo_location: 'USA: CA' is a place inside a country, and NCBI takes the country; "
         "write 'USA' with usa_state: CA"),
        ("geo_location: 'Vietnam: Hanoi'",
         "geo_location: 'Vietnam: Hanoi' is a place inside a country, and NCBI takes the country; write 'Viet Nam'"),
        ("pangolin_classification: BA.2*",
         "pangolin_classification: 'BA.2*' has a *, and NCBI looks for exactly this text; write 'BA.2', "
         "and each lineage below it by its own name"),
        ("host: Homo sapiens (human)",
         "host: 'Homo sapiens (human)' has brackets, which NCBI does not write; write 'Homo sapiens'"),
        ("host: 'human [9606]'", "host: 'human [9606]' has brackets, which NCBI does not write; write 9606"),
    ],
)  # fmt: skip
def test_values_that_ncbi_does_not_write_so_are_warned_of(written: str, said: str, tmp_path: Path) -> None:
    job = job_of(tmp_path, f"version: 1\ntaxa: [2697049]\nfilter_sets:\n  x: {{{written}}}\n")
    assert [one.message for one in job.warnings] == [said]


@pytest.mark.parametrize(
    "written",
    [
        "geo_location: Asia", "geo_location: viet nam", "geo_location: Turkey", "geo_location: Turkiye",
        "geo_location: USSR", "geo_location: \"Cote d'Ivoire\"", "geo_location: Pacific Ocean",
        "geo_location: 'Micronesia, Federated States of'", "usa_state: PR, geo_location: Puerto Rico",
        "usa_state: HI, geo_location: USA", "host: Sus scrofa", "pangolin_classification: BA.2.86",
    ],
)  # fmt: skip
def test_values_as_ncbi_writes_them_are_left_in_peace(written: str, tmp_path: Path) -> None:
    assert job_of(tmp_path, f"version: 1\ntaxa: [2697049]\nfilter_sets: {{x: {{{written}}}}}\n").warnings == ()


def test_hooks_that_cannot_be_run_are_warned_of(tmp_path: Path) -> None:
    for name, mode in (("tell.sh", 0o755), ("plain.sh", 0o644)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    job = job_of(
        tmp_path,
        "version: 1\ntaxa: [1]\nnotify:\n  on_change: [./plain.sh]\n"
        "  on_failure: [./tell.sh, x]\n  on_success: [no-such-hook]\n",
    )
    assert [str(one).removeprefix(f"{job.path}:") for one in job.warnings] == [
        f"4:15: on_change: ./plain.sh cannot be executed; type: chmod +x {tmp_path}/plain.sh",
        "6:16: on_success: no-such-hook: there is no such program on PATH; write its path, as ./no-such-hook",
    ]


def test_a_value_of_a_matrix_is_warned_of_where_it_stands(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "version: 1\ntaxa: [1]\nfilter_sets:\n"
        "  x: {matrix: {geo_location: [Asia, Vietnam], complete_only: [true, false]}}\n",
    )
    assert [(one.line, one.column) for one in job.warnings] == [(4, 37)]


@pytest.mark.parametrize("name", ["minimal.yaml", "nightly.yaml"])
def test_the_jobs_that_come_along(name: str) -> None:
    job = load_job(ROOT / "configs" / name)
    assert job.taxa
    assert job.warnings == ()
    assert job.api.base_url in (None, BASE_URL)


def test_the_nightly_job_shows_every_key(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "nightly.yaml").read_text()
    switched_on = re.sub(r"(?m)^( *)#(\w+:)", r"\1\2", text).replace("../sample_inputs", str(ROOT / "sample_inputs"))
    job = job_of(tmp_path, switched_on)
    assert job.notify.on_change
    keys = {key for shape in (JOB, TAXON_ENTRY, FILTER_SET, WINDOWS, API, OUTPUT, GUARDS, NOTIFY) for key in shape.keys}
    assert {key for key in keys if not re.search(rf"\b{key}:", switched_on)} == set(), "configs/nightly.yaml"
