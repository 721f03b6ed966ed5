"""`batchsum check`, offline and online, and what taxa.lock does to the nights after it."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchsum.cli import main
from tests.fakes.local_ncbi_server import Served, serving
from tests.fakes.scripted_taxonomy import ScriptedTaxonomy, node, scripted_taxonomy

SETTINGS = "api: {requests_per_second: unlimited, attempts: 1}\n"
NOBODY = "http://127.0.0.1:1/v2"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture
def ncbi() -> Iterator[ScriptedTaxonomy]:
    with scripted_taxonomy() as server:
        yield server


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "watch.yaml"


def write(job: Path, taxa: str, more: str = "") -> None:
    job.write_text(f"version: 1\ntaxa: [{taxa}]\n{more}{SETTINGS}", encoding="utf-8")


def online(job: Path, base_url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["check", str(job), "--online", "--json", "--base-url", base_url])
    return code, json.loads(capsys.readouterr().out)


def kinds(report: dict[str, Any], name: str) -> list[tuple[str, str]]:
    return [(one["kind"], one.get("taxon") or one["host"]) for one in report[name]]


def rows(job: Path) -> list[dict[str, str]]:
    with (job.parent / "out/watch/summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def told(job: Path) -> dict[str, tuple[str, str, str]]:
    return {row["taxon"]: (row["status"], row["record_count"], row["error"]) for row in rows(job)}


def manifest(job: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.parent / "out/watch/run.json").read_text())
    return found


def locked(job: Path) -> dict[str, str]:
    lines = (job.parent / "taxa.lock").read_text(encoding="utf-8").splitlines()
    return {cells[0]: cells[1] for line in lines[4:] if (cells := line.split("\t"))}


# Offline


def test_offline_nothing_is_sent_and_no_http_library_is_loaded(job: Path) -> None:
    write(job, "11320, Influenza A virus")
    code = (
        "import sys; from batchsum.cli import main; code = main(['check', *sys.argv[1:]]);"
        " sys.exit(code or 90 * ('aiohttp' in sys.modules))"
    )
    command = [sys.executable, "-c", code, str(job), "--base-url", NOBODY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 taxa, 1 filter set: 2 queries\n  2 requests (two rows that ask the same share one)" in done.stdout
    assert not (job.parent / "taxa.lock").exists()


def test_offline_a_lock_shares_requests_and_is_told(
    ncbi: ScriptedTaxonomy, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ncbi.names = {"flu": [node(11320)]}
    write(job, "11320, flu")
    assert online(job, ncbi.base_url, capsys)[0] == 0
    assert main(["check", str(job), "--base-url", NOBODY]) == 0
    out = capsys.readouterr().out
    assert "1 request (two rows that ask the same share one)" in out
    assert f"names fixed in {job.parent / 'taxa.lock'}: 2 of 2\n" in out


def test_a_broken_lock_is_a_problem_of_the_job(
    ncbi: ScriptedTaxonomy, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(job, "11320")
    (job.parent / "taxa.lock").write_text("11320\n")
    for command in (["check", str(job)], ["run", str(job), "--base-url", ncbi.base_url]):
        assert main(command) == 2
        assert f"{job.parent / 'taxa.lock'}:1:1: " in capsys.readouterr().err
    assert main(["check", str(job), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["problems"][0]["line"] == 1
    assert (ncbi.asked, ncbi.looked_up) == ([], [])


# What run would stop at


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ("api: {api_key_file: key}", 2, "key: the API key cannot be read: No such file or directory"),
        ("api: {requests_per_second: 50}", 2, "allows 10 at most; write auto instead of 50, or run with --base-url"),
        ("api: {requests_per_second: unlimited}", 2, "allows 10 at most; write auto instead of unlimited"),
        ("output: {formats: [xlsx]}", 2, "format xlsx needs the package xlsxwriter, which is not here"),
        ("api: {shared_limit: redis://127.0.0.1:1/0}", 2, "api.shared_limit needs the package redis"),
        ("output: {dir: file}", 6, "file is a file, and no directory can be made there"),
        ("output: {dir: file/below}", 6, "file is a file, and no directory can be made there"),
        ("output: {dir: taken}", 6, "summary.csv is not a file, and cannot be replaced by one; move it away"),
    ],
    ids=["key", "rate", "unlimited", "package", "redis", "file", "below a file", "taken"],
)
def test_check_exits_as_run_would(
    job: Path, settings: str, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("xlsxwriter", "redis.asyncio"):
        monkeypatch.setitem(sys.modules, package, None)
    (job.parent / "file").write_text("")
    (job.parent / "taken/summary.csv").mkdir(parents=True)
    job.write_text(f"version: 1\ntaxa: [11320]\n{settings}\n")
    assert main(["check", str(job)]) == code
    out = capsys.readouterr().out
    assert out.startswith(f"{job}: 1 problem\n")
    assert words in out
    assert sorted(one.name for one in job.parent.iterdir()) == ["file", "taken", "watch.yaml"], "nothing is made"
    assert main(["check", str(job), "--online"]) == code, "and nothing is asked"
    assert main(["run", str(job)]) == code


def test_of_two_obstacles_each_is_told_once_and_the_one_that_run_would_meet_first_decides(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write_text(f"version: 1\ntaxa: [11320]\noutput: {{dir: {'a' * 300}}}\napi: {{api_key_file: key}}\n")
    code = main(["check", str(job)])
    told = capsys.readouterr().out
    assert told.count("the API key cannot be read") == 1
    assert told.count("File name too long") <= 1, "Python 3.14 takes what cannot be looked at for missing"
    assert main(["run", str(job)]) == code


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("state.sqlite3", b"no database at all", "state.sqlite3 is damaged"),
        ("state.sqlite3", None, "unable to open database file"),
        ("run.json", b"[]", "run.json is not a manifest of batchsum; move it away"),
        ("run.json", None, "run.json: Is a directory"),
    ],
    ids=["damaged", "directory", "other JSON", "manifest is a directory"],
)
def test_check_looks_at_what_the_last_night_left(
    job: Path, ncbi: ScriptedTaxonomy, name: str, content: bytes | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write_text("version: 1\ntaxa: [11320]\noutput: {dir: out}\napi: {attempts: 1}\n")
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    assert main(["check", str(job)]) == 0
    path = job.parent / "out" / name
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    capsys.readouterr()
    assert main(["check", str(job)]) == 6
    assert words in capsys.readouterr().out
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 6
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_directory_that_may_not_be_entered(
    job: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    job.write_text("version: 1\ntaxa: [11320]\noutput: {dir: out}\n")
    (job.parent / "out").mkdir()
    exists = Path.exists

    def forbidden(path: Path) -> bool:  # as to whoever is not root
        if path.parent.name == "out":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", forbidden)
    assert main([command, str(job)]) == 6
    assert "out/run.json: Permission denied" in "".join(capfd.readouterr())


def test_all_is_told_at_once_and_at_its_place(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    monkeypatch.delenv("SLACK_WEBHOOK", raising=False)
    settings = "filter_sets: {a: {geo_location: Brasil}}\napi: {api_key_file: keys/key}\n"
    settings += "notify: {webhook_env: SLACK_WEBHOOK}\n"
    job.write_text(f"version: 1\ntaxa: [11320, 011]\n{settings}")
    assert main(["check", str(job)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"{job}:").partition(" '")[0] for line in told] == [
        "2:15: taxon:", "3:33: warning: geo_location:",
        f"4:21: warning: api_key_file: {job.parent / 'keys/key'}: this file does not exist",
    ]  # fmt: skip
    assert main(["check", str(job), "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["warnings"]) == 2
    job.write_text(f"version: 1\ntaxa: [11320]\n{settings}")
    assert main(["check", str(job)]) == 2
    told = capsys.readouterr().out.splitlines()
    assert f"{job}:4:21: {job.parent / 'keys/key'}: the API key cannot be read: No such file or directory" in told
    assert f"{job}:5:23: warning: SLACK_WEBHOOK is not set here" in told[-1]


def test_a_pace_that_ncbi_would_have_to_suffer_is_fine_elsewhere(job: Path) -> None:
    job.write_text(f"version: 1\ntaxa: [11320]\napi: {{requests_per_second: 50, base_url: '{NOBODY}'}}\n")
    assert main(["check", str(job)]) == 0


def test_a_hook_that_is_not_there_is_a_warning(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job.write_text("version: 1\ntaxa: [11320]\nnotify: {on_change: [./tell.sh]}\n")
    assert main(["check", str(job)]) == 0
    assert f"{job}:3:22: warning: on_change: ./tell.sh: there is no such program" in capsys.readouterr().out


def test_taxa_and_filter_sets_are_counted_once(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However often a taxon is listed, and whether the job or a list names the set; a set that nobody uses is none."""
    (job.parent / "more.csv").write_text("taxon,filter_set,host\n1,,\n1,,bat\n2,,bat\n2,human,\n")
    job.write_text(
        "version: 1\ntaxa: [{taxon: 1, filter_sets: [human]}, {taxon: 3, filter_sets: [human]}]\n"
        "taxa_files: [more.csv]\nfilter_sets: {human: {host: human}, weekly: {windows: {every: 7d, last: 2}}}\n"
    )
    assert main(["check", str(job)]) == 0
    assert "3 taxa, 4 filter sets: 8 queries\n" in capsys.readouterr().out
    (job.parent / "more.csv").write_text("taxon,filter_set\n3,human\n")
    assert main(["check", str(job), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["taxa"], report["filter_sets"], report["queries"], report["requests"]) == (2, 1, 3, 2)


# Online, against the real taxonomy


def test_every_name_is_told_with_its_place(served: Served, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job.write_text(
        "version: 1\n"
        "taxa:\n"
        "  - 11320\n"
        "  - Influenza A virus\n"
        "  - Inflenza A virus\n"
        "  - {taxon: environmental samples}\n"
        "  - Homo sapiens\n"
        "  - 99999999\n"
        "  - 2697049\n"
        "taxa_files: [more.csv]\n"
        "filter_sets: {all: {}, pets: {host: humn}, people: {host: human}}\n"
    )
    (job.parent / "more.csv").write_text("taxon,host\n11250,\nMeasles viruss,\nMeasles viruss,human\n11250,Homo\n")
    code, report = online(job, served.base_url, capsys)
    assert code == 2
    found = [(one["kind"], Path(one["file"]).name, one["line"], one["column"]) for one in report["problems"]]
    assert found == [
        ("unknown", "watch.yaml", 5, 5),
        ("ambiguous", "watch.yaml", 6, 5),
        ("not_a_virus", "watch.yaml", 7, 5),
        ("unknown", "watch.yaml", 8, 5),
        ("unknown", "more.csv", 3, 1),
        ("unknown", "watch.yaml", None, None),
    ]
    unknown, several, human, _, measles, host = report["problems"]
    assert unknown["candidates"][0] == {"tax_id": 11320, "scientific_name": "Influenza A virus", "rank": "no rank"}
    assert "near: 11320 (Influenza A virus)" in unknown["message"]
    assert len(several["candidates"]) > 1
    assert human["message"] == "taxon 'Homo sapiens' is 9606 (Homo sapiens), which is no virus"
    assert (measles["rows"], measles["candidates"][0]["tax_id"]) == (2, 11234)
    assert host["message"].startswith("filter set 'pets': host 'humn' is not known to NCBI's taxonomy; near: 9606")
    assert [(one["kind"], one["line"]) for one in report["warnings"] if "kind" in one] == [("same_taxon", 4)]
    assert locked(job) == {"11250": "11250", "11320": "11320", "2697049": "2697049", "Influenza A virus": "11320"}
    assert (report["lock"]["taxa"], report["lock"]["written"]) == (4, True)


def test_people_read_the_same(served: Served, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(job, "11320, Influenza A virus, Inflenza A virus")
    assert main(["check", str(job), "--online", "--base-url", served.base_url]) == 2
    out = capsys.readouterr().out
    assert out.startswith(f"{job}: 1 problem\n  3 taxa, 1 filter set: 3 queries\n  2 requests")
    assert f"names fixed in {job.parent / 'taxa.lock'}: 2 of 3, written\n" in out
    assert f"{job}:2:34: taxon 'Inflenza A virus' is not known to NCBI's taxonomy; near: 11320" in out
    assert f"{job}:2:15: warning: taxon 'Influenza A virus' and '11320' are one taxon" in out


def test_a_second_check_changes_nothing(served: Served, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(job, "11320, MERS, measles virus")
    assert online(job, served.base_url, capsys)[0] == 0
    before = (job.parent / "taxa.lock").read_bytes()
    code, report = online(job, served.base_url, capsys)
    assert (code, report["lock"]["written"]) == (0, False)
    assert (job.parent / "taxa.lock").read_bytes() == before


def test_a_night_asks_by_id_and_shows_what_was_written(
    served: Served, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(job, "11320, influenza a virus, MERS")
    assert online(job, served.base_url, capsys)[0] == 0
    assert main(["run", str(job), "--base-url", served.base_url]) == 0
    assert [row["taxon"] for row in rows(job)] == ["11320", "influenza a virus", "MERS"]
    assert rows(job)[0]["record_count"] == rows(job)[1]["record_count"]
    assert (manifest(job)["requests"], manifest(job)["warnings"]) == (2, [])


# Online, scripted


def test_merged_and_doubled_ids_are_warnings(
    ncbi: ScriptedTaxonomy, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ncbi.names = {"12": [node(34)]}
    write(job, "12, 34")
    code, report = online(job, ncbi.base_url, capsys)
    assert (code, report["problems"]) == (0, [])
    assert kinds(report, "warnings") == [("merged", "12"), ("same_taxon", "34")]
    assert report["warnings"][0]["message"] == "taxon 12 was merged into 34 (Virus 34); write 34"
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    assert ncbi.counts == {"34": 1}


def test_names_of_other_jobs_stay_in_the_lock(
    ncbi: ScriptedTaxonomy, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(job, "1")
    online(job, ncbi.base_url, capsys)
    other = job.with_name("other.yaml")
    write(other, "2")
    assert online(other, ncbi.base_url, capsys)[1]["lock"]["taxa"] == 1
    assert locked(job) == {"1": "1", "2": "2"}


def test_a_name_that_moved_is_told_and_asked_as_it_was(
    ncbi: ScriptedTaxonomy, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ncbi.names = {"flu": [node(11320, "Influenza A virus")], "pox": [node(10244)], "cold": [node(11137)]}
    write(job, "flu, pox, cold")
    assert online(job, ncbi.base_url, capfd)[0] == 0
    ncbi.names = {"flu": [node(2955291, "Alphainfluenzavirus")], "pox": [node(10244), node(10245)]}
    ncbi.looked_up.clear()

    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    assert ncbi.looked_up == [["flu", "pox", "cold"], ["2697049"]]
    assert ncbi.counts == {"11320": 1, "10244": 1, "11137": 1}
    flu, pox, cold = manifest(job)["warnings"]
    assert flu.startswith("taxon 'flu' was 11320 (Influenza A virus) when it was locked on 20")
    assert "is 2955291 (Alphainfluenzavirus) now; 11320 is asked until its line is removed" in flu
    assert "stands for 2 taxa" in pox
    assert "is not known to NCBI's taxonomy now" in cold
    log = (job.parent / "out/watch/batchsum.log").read_text()
    assert all(warning in log for warning in (flu, pox, cold))

    # A check tells the same, and leaves it to the user.
    before = (job.parent / "taxa.lock").read_bytes()
    code, report = online(job, ncbi.base_url, capfd)
    assert code == 0
    assert kinds(report, "warnings") == [("moved", "flu"), ("moved", "pox"), ("moved", "cold")]
    assert (job.parent / "taxa.lock").read_bytes() == before

    # The user follows one of them.
    lines = (job.parent / "taxa.lock").read_text().splitlines(keepends=True)
    (job.parent / "taxa.lock").write_text("".join(line for line in lines if not line.startswith("flu\t")))
    online(job, ncbi.base_url, capfd)
    assert locked(job)["flu"] == "2955291"


def test_a_moved_name_stands_in_the_block_of_a_bad_night(
    ncbi: ScriptedTaxonomy, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ncbi.names = {"flu": [node(1)]}
    write(job, "flu, 2")
    online(job, ncbi.base_url, capfd)
    ncbi.names = {"flu": [node(3)]}
    ncbi.answers = {"2": (500, "oops")}
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 3
    assert "note  taxon 'flu' was 1 (Virus 1)" in capfd.readouterr().err


@pytest.mark.parametrize("fault", [(503, "down"), (200, "half"), (302, ""), (401, "{}")])
def test_a_night_does_without_the_taxonomy(
    ncbi: ScriptedTaxonomy, job: Path, capfd: pytest.CaptureFixture[str], fault: Any
) -> None:
    write(job, "1, 2")
    online(job, ncbi.base_url, capfd)
    ncbi.fault = fault
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    assert {row["status"] for row in rows(job)} == {"ok"}
    [warning] = manifest(job)["warnings"]
    assert warning.startswith("the names of taxa.lock could not be looked up tonight: ")
    assert capfd.readouterr().err == ""


def test_without_a_lock_names_are_asked_as_they_are_written(ncbi: ScriptedTaxonomy, job: Path) -> None:
    ncbi.names = {"flu": [node(11320)]}
    write(job, "1, flu")
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
    assert ncbi.looked_up == [["1", "flu"]]
    assert ncbi.counts == {"1": 1, "flu": 1}


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ((503, "down"), 4, "NCBI's taxonomy gives no answer, so no name was checked and no lock written"),
        ((404, '{"message": "taxon not found"}'), 4, "2697049, which NCBI surely has"),
        ((302, ""), 5, "redirect"),
        ((403, ""), 5, "403"),
    ],
)
def test_an_outage_is_no_typo(
    ncbi: ScriptedTaxonomy, job: Path, capsys: pytest.CaptureFixture[str], fault: Any, code: int, words: str
) -> None:
    write(job, "1, flu")
    ncbi.fault = fault
    assert main(["check", str(job), "--online", "--base-url", ncbi.base_url]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert not (job.parent / "taxa.lock").exists()


def test_the_key_is_sent_in_its_header_only(
    ncbi: ScriptedTaxonomy, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = job.with_name("key")
    key.write_text("0123456789abcdef")
    key.chmod(0o600)
    write(job, "1, flu")
    main(["check", str(job), "--online", "--base-url", ncbi.base_url, "--api-key-file", str(key)])
    assert ncbi.keys == {"0123456789abcdef"}
    out, err = capfd.readouterr()
    assert "0123456789abcdef" not in out + err + (job.parent / "taxa.lock").read_text()


# A taxon and the taxa above it


def says(count: int) -> dict[str, Any]:
    return {"record_count": count, "assembly_count": count}


def test_a_taxon_with_more_records_than_one_above_it(
    ncbi: ScriptedTaxonomy, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ncbi.names = {
        "genus": [node(197911)],
        "11320": [node(11320, "Influenza A virus", 1, 10239, 197911, 2955291)],
        "2955291": [node(2955291, "species", 1, 10239, 197911)],
    }
    write(job, "genus, 11320, 2955291, 7", "filter_sets: {all: {}, human: {host: human}}\n")
    ncbi.names["human"] = [node(9606, "Homo sapiens", 1, 131567)]
    assert online(job, ncbi.base_url, capfd)[0] == 0
    ncbi.otherwise = lambda question: says(5)
    ncbi.answers = {"197911": says(20), "11320": says(12), "2955291": says(9), "7": says(100)}
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 3
    found = {(row["taxon"], row["filter_set"]): (row["status"], row["error"]) for row in rows(job)}
    assert found.pop(("11320", "all")) == (
        "suspect",
        "exceeds_wider: 12 here, but 9 in 2955291 all, which includes it",
    )
    assert found.pop(("11320", "human"))[1].startswith("with_wider: all, which includes it, is suspect")
    assert {status for status, _ in found.values()} == {"ok"}
    again = {text for text, count in ncbi.counts.items() if count > 1}
    assert again == {"11320", "11320?host=human", "2955291"}


def test_a_taxon_above_is_told_as_it_is_written(
    ncbi: ScriptedTaxonomy, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ncbi.names = {"the genus": [node(3)], "5": [node(5, "", 1, 10239, 3)], "five": [node(5, "", 1, 10239, 3)]}
    write(job, "5, the genus, five")
    online(job, ncbi.base_url, capfd)
    ncbi.answers = {"3": says(1), "5": says(2)}
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 3
    why = "exceeds_wider: 2 here, but 1 in the genus all, which includes it"
    assert told(job) == {"5": ("suspect", "2", why), "five": ("suspect", "2", why), "the genus": ("ok", "1", "")}


def test_without_a_lineage_nothing_is_held_against_anything(ncbi: ScriptedTaxonomy, job: Path) -> None:
    write(job, "5, 3")
    ncbi.answers = {"3": says(1), "5": says(2)}
    assert main(["run", str(job), "--base-url", ncbi.base_url]) == 0
