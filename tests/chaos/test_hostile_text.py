"""What a job file holds reaches exactly that endpoint as exactly that text, or is an error before anything is sent."""

import csv
import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.chaos.programs import Programs
from tests.fakes.raw_server import PREFIX, Arrival, RawServer, answer

TAXA = [
    "../../gene/id/1", "a/../b", "..%2f..", "%2e%2e", "a?b=c", "a#b", "a&host=human", "a+b", "a b", "a%20b", "a%",
    "a;b", "a=b", "//evil.example/x", "http://evil.example/", "@evil.example", "a\\b", "'", '"', "`id`", "$(id)",
    "{taxon}", "*", "[1]", "Влад", "病毒", "🦠", "e\u0301", "é", "A/swine/Iowa/15/1930(H1N1)", "virus genome",
    "null", "true", "=1+1", "+one", "-one", "@SUM(A1)", "=cmd|' /C calc'!A0", "'quoted", ",", "a,b", "a|b", "x" * 200,
]  # fmt: skip
FILTERS = {
    "geo_location": ["USA&x=1", "a?b#c", "../..", "=1+1", "Côte d'Ivoire", "a%26b", '"', "a+b"],
    "host": ["human&complete_only=true", "Homo sapiens#", "/", "🦇"],
    "pangolin_classification": ["BA.2.86+", "B.1&host=x"],
}
FORMULA = ("=", "+", "-", "@")


def night(programs: Programs, raw: RawServer, directory: Path, job: object) -> int:
    path = directory / "night.yaml"
    path.write_text(job if isinstance(job, str) else json.dumps(job, ensure_ascii=False), encoding="utf-8")
    return programs.run("run", path, "--base-url", raw.base_url)


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "out/night/summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counts_asked(raw: RawServer) -> list[Arrival]:
    """The questions for counts, without those about names."""
    return [arrival for arrival in raw.arrivals if arrival.method == "GET"]


def test_a_taxon_is_one_segment_of_one_path(programs: Programs, raw: RawServer, tmp_path: Path) -> None:
    job = {"version": 1, "taxa": TAXA, "api": {"requests_per_second": "unlimited"}}
    assert night(programs, raw, tmp_path, job) == 0, programs.stderr
    asked = counts_asked(raw)
    assert sorted(arrival.taxon for arrival in asked) == sorted(TAXA)
    for arrival in asked:
        url = urlsplit(arrival.target)
        assert url.path.count("/") == PREFIX.count("/") + 4
        assert (url.query, url.fragment, url.netloc) == ("", "", "")
        assert arrival.target.isascii()
    table = rows(tmp_path)
    assert [row["taxon"].removeprefix("'") for row in table] == [taxon.removeprefix("'") for taxon in TAXA]
    assert not any(cell.startswith(FORMULA) for row in table for cell in row.values())


def test_a_filter_is_one_parameter(programs: Programs, raw: RawServer, tmp_path: Path) -> None:
    sets = {f"{name}{number}": {name: text} for name in FILTERS for number, text in enumerate(FILTERS[name])}
    job = {"version": 1, "taxa": ["1"], "filter_sets": sets, "api": {"requests_per_second": "unlimited"}}
    assert night(programs, raw, tmp_path, job) == 0, programs.stderr
    sent = [tuple(parse_qsl(urlsplit(arrival.target).query)) for arrival in counts_asked(raw)]
    assert sorted(sent) == sorted(((name, text),) for name in FILTERS for text in FILTERS[name])
    assert not any(cell.startswith(FORMULA) for row in rows(tmp_path) for cell in row.values())


def test_what_the_server_says_is_inert_too(programs: Programs, raw: RawServer, tmp_path: Path) -> None:
    text = '=HYPERLINK("http://evil.example")\n<script>alert(1)</script>\x00\u2028'
    messages = [{"warning": {"message": text}}]
    hydrated = {"url": "javascript:alert(1)", "cli_download_command_line": "@" + text}
    raw.on("1", answer(200, {"record_count": 7, "messages": messages, "hydrated": hydrated}))
    raw.on("2", answer(404, {"message": text}))
    job = {"version": 1, "taxa": ["1", "2"], "api": {"requests_per_second": "unlimited"}}
    assert night(programs, raw, tmp_path, job) == 3
    assert not any(cell.startswith(FORMULA) for row in rows(tmp_path) for cell in row.values())
    assert len(rows(tmp_path)) == 2
    assert "\x00" not in programs.stderr
    page = (tmp_path / "out/night/report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert 'href="javascript:' not in page


@pytest.mark.parametrize(
    "job",
    [
        'version: 1\ntaxa: [".."]\n',
        'version: 1\ntaxa: ["."]\n',
        'version: 1\ntaxa: ["-1"]\n',
        'version: 1\ntaxa: ["\\u202Eabc"]\n',
        'version: 1\ntaxa: ["a\\nb"]\n',
        'version: 1\ntaxa: ["a\\0b"]\n',
        'version: 1\ntaxa: [""]\n',
        'version: 1\ntaxa: ["\\uD800"]\n',
        f"version: 1\ntaxa: [{'x' * 201}]\n",
        f"version: 1\ntaxa: [{'x' * 10_000_000}]\n",
        "version: 1\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntaxa: [*c]\n",
        "version: 1\ntaxa: &a [*a]\n",
        f"version: 1\ntaxa: {'[' * 5000}{']' * 5000}\n",
        "version: 1\ntaxa: [!!python/object/apply:os.system [id]]\n",
        "version: 1\ntaxa: [1]\nname: ../../etc\n",
        "version: 1\ntaxa: [1]\napi: {api_key: 0123456789abcdef}\n",
    ],
    ids=lambda text: text[:40].replace("\n", "|"),
)
def test_what_cannot_be_meant_is_an_error(programs: Programs, raw: RawServer, tmp_path: Path, job: str) -> None:
    assert night(programs, raw, tmp_path, job) == 2
    assert raw.connections == 0
    assert "Traceback" not in programs.stderr
    assert len(programs.stderr) < 2000
    assert "0123456789abcdef" not in programs.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["night.yaml"]
