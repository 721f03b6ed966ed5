"""Who is told of a night: through the command line, with real commands and a real listener."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from yarl import URL

from batchsum.cli import main
from batchsum.notify import notifier
from batchsum.notify.channels import post_message
from batchsum.store.directory import held
from tests.builders.jobs import next_day
from tests.fakes.listener import Listener, listening
from tests.fakes.raw_server import RawServer
from tests.fakes.scripted_ncbi import ScriptedNcbi

HOOK = """\
import json, os, sys
facts = json.load(sys.stdin)
facts["environment"] = sorted(os.environ)
facts["cwd"] = os.getcwd()
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(facts) + "\\n")
print("said to somebody")
sys.exit(int(open(sys.argv[2]).read()) if len(sys.argv) > 2 else 0)
"""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


class Desk:
    """A job with its hooks, and what they were told."""

    def __init__(self, directory: Path, ncbi: ScriptedNcbi) -> None:
        self.directory, self.ncbi = directory, ncbi
        self.job, self.out = directory / "desk.yaml", directory / "out" / "desk"
        (directory / "hook.py").write_text(HOOK)

    def hook(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, str(self.directory / "hook.py"), str(self.directory / f"{name}.told"), *arguments]

    def write(self, extra: str = "", **channels: object) -> None:
        self.job.write_text(
            "version: 1\ntaxa: [11320, {taxon: 11520, label: '<!here> & =B'}]\n"
            "api: {requests_per_second: unlimited, attempts: 1, max_outage: 1s}\n"
            f"{extra}\nnotify: {json.dumps(channels)}\n"
        )

    def night(self, *options: str, counts: tuple[int, int] | None = None) -> int:
        if counts is not None:
            self.ncbi.answers = {
                taxon: {"record_count": count} for taxon, count in zip(("11320", "11520"), counts, strict=True)
            }
        with next_day(self.job):
            return main(["run", str(self.job), "--base-url", self.ncbi.base_url, *options])

    def told(self, name: str) -> list[dict[str, object]]:
        path = self.directory / f"{name}.told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def everything_written(self) -> str:
        return "\n".join(path.read_bytes().decode(errors="replace") for path in self.out.rglob("*") if path.is_file())


@pytest.fixture
def desk(tmp_path: Path, ncbi: ScriptedNcbi) -> Desk:
    return Desk(tmp_path, ncbi)


def test_a_hook_reads_the_facts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    desk.write(on_change=desk.hook("change"))
    assert desk.night(counts=(100, 100)) == 0
    assert desk.told("change") == []
    assert desk.night(counts=(100, 108)) == 0
    (facts,) = desk.told("change")
    manifest = json.loads((desk.out / "run.json").read_text())
    environment = facts.pop("environment")
    assert isinstance(environment, list)
    assert "PATH" in environment
    assert {"NCBI_API_KEY", "CREDENTIALS_DIRECTORY"}.isdisjoint(environment)
    assert facts == {
        "version": 1, "event": "change", "job": "desk", "run_id": manifest["run_id"], "night": manifest["today"],
        "directory": str(desk.out), "exit_code": 0, "reason": "", "counts": manifest["statuses"], "change_count": 1,
        "problem_count": 0, "first_night": False, "cwd": str(desk.directory), "problems": [], "warnings": [],
        "newly_incomplete": [], "new_problem_count": 0,
        "names": {"11520": "<!here> & =B (11520)"},
        "changes": [{
            "taxon": "11520", "label": "<!here> & =B", "filter_set": "all", "change": "grew",
            "previous_record_count": 100, "record_count": 108, "record_count_change": 8, "change_percent": 8.0,
            "status": "ok", "error": "",
        }],
    }  # fmt: skip


def test_a_change_is_told_once(desk: Desk) -> None:
    desk.write(on_change=desk.hook("change"))
    for counts in ((100, 100), (100, 108), (100, 108), (100, 108), (100, 109)):
        assert desk.night(counts=counts) == 0
    assert [facts["changes"][0]["record_count"] for facts in desk.told("change")] == [108, 109]  # type: ignore[index]


def test_text_of_a_label_is_told_without_the_apostrophe_for_spreadsheets(desk: Desk) -> None:
    desk.write(on_change=desk.hook("change"))
    desk.job.write_text(desk.job.read_text().replace("'<!here> & =B'", "'=1+1'"))
    desk.night(counts=(100, 100))
    desk.night(counts=(100, 101))
    assert "'=1+1" in (desk.out / "changes.csv").read_text()
    assert desk.told("change")[0]["changes"][0]["label"] == "=1+1"  # type: ignore[index]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((9_100_000, 9_100_001), "9,100,000 → 9,100,001 (<0.1 %)"),
        ((2, 2_400_000), "2 → 2,400,000 (+120,000,000 %)"),
        ((1000, 5), "1,000 → 5 (-99 %)"),
    ],
)
def test_shares_are_told_as_people_write_them(desk: Desk, counts: tuple[int, int], said: str) -> None:
    desk.write("guards: {max_drop: 100%}")
    for count in counts:
        assert desk.night(counts=(count, 100)) == 0
    assert f"11320 / all: {said}\n" in (desk.out / "batchsum.log").read_text()


def test_what_fails_is_told_row_by_row_with_its_first_night(desk: Desk) -> None:
    desk.write(on_failure=desk.hook("failure"))
    assert desk.night(counts=(100, 100)) == 0
    assert desk.night(counts=(100, 10)) == 3
    desk.ncbi.answers["11320"] = (500, "oops")
    assert desk.night("--accept", "11320") == 3
    first, second = desk.told("failure")
    (problem,) = first["problems"]  # type: ignore[misc]
    assert problem["error"].startswith("fell: 10 is 90.0 % below 100")
    assert {**problem, "error": ""} == {
        "taxon": "11520", "label": "<!here> & =B", "filter_set": "all", "status": "suspect", "reason": "fell",
        "error": "", "previous_record_count": 100, "record_count": 10, "since": first["night"],
    }  # fmt: skip
    assert [(row["taxon"], row["status"], row["since"]) for row in second["problems"]] == [  # type: ignore[attr-defined]
        ("11520", "suspect", first["night"]), ("11320", "failed", second["night"]),
    ]  # fmt: skip
    (warning,) = second["warnings"]  # type: ignore[misc]
    assert warning.startswith("nothing to accept for 11320/all")


def test_what_is_new_is_counted_beyond_the_rows_that_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("batchsum.run.outcome.MOST_PROBLEMS", 1)
    desk.write()
    assert desk.night(counts=(100, 100)) == 0
    desk.ncbi.answers["11520"] = (500, "oops")
    assert desk.night() == 3
    assert "1 of 2 rows has no count to rely on, new tonight" in capfd.readouterr().err
    desk.ncbi.answers["11320"] = {"record_count": 10}
    assert desk.night() == 3
    assert "2 of 2 rows have no count to rely on, 1 of them new tonight" in capfd.readouterr().err


@pytest.mark.parametrize(("most", "said"), [(2, "and at least 1 more taxon"), (3, "and 1 more taxon")])
def test_taxa_of_rows_that_are_not_told_are_not_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], most: int, said: str
) -> None:
    for place in ("batchsum.run.outcome.MOST_PROBLEMS", "batchsum.notify.words.MOST_PROBLEMS"):
        monkeypatch.setattr(place, most)
    monkeypatch.setattr("batchsum.notify.words.MOST_TAXA", 1)
    desk.write()
    assert desk.night(counts=(100, 100)) == 0
    assert desk.night(counts=(10, 10)) == 3
    assert said in capfd.readouterr().err


def test_what_vanished_is_named_before_all_that_grew(
    desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT", listener.url)
    taxa = [str(number) for number in range(1, 48)]
    desk.write(webhook_env="CHAT")
    desk.job.write_text(desk.job.read_text().replace("11320, {taxon: 11520, label: '<!here> & =B'}", ", ".join(taxa)))
    desk.ncbi.answers = {taxon: {"record_count": 1000} for taxon in taxa}
    assert desk.night() == 0
    desk.ncbi.answers = {taxon: {"record_count": 1900} for taxon in taxa} | {"47": {}}
    assert desk.night() == 3
    (posted,) = listener.posted
    first = json.loads(posted.body)["text"].splitlines()[1]
    assert first.startswith("• became suspect: 47 / all: 1,000 → 0")


def test_success_and_failure_have_their_own_hooks(desk: Desk) -> None:
    desk.write(on_failure=desk.hook("failure"), on_success=desk.hook("success"))
    assert desk.night(counts=(100, 100)) == 0
    desk.ncbi.answers["11520"] = (400, {"code": 3, "message": "no such thing"})
    assert desk.night() == 3
    desk.ncbi.answers, desk.ncbi.otherwise = {}, lambda question: (500, "oops")
    assert desk.night() == 4
    desk.ncbi.otherwise = lambda question: (302, "")
    assert desk.night() == 5
    assert [facts["exit_code"] for facts in desk.told("success")] == [0]
    assert [facts["exit_code"] for facts in desk.told("failure")] == [3, 4, 5]
    published, nothing, refused = desk.told("failure")
    assert published["reason"] == ""
    assert "nothing usable" in str(nothing["reason"])
    assert nothing["counts"] == {}
    assert nothing["problem_count"] == 2
    assert [problem["status"] for problem in nothing["problems"]] == ["skipped", "skipped"]
    assert "redirect" in str(refused["reason"])
    assert all(facts["run_id"] and facts["night"] for facts in (published, nothing, refused))


def test_an_output_that_cannot_be_written_is_told(desk: Desk) -> None:
    desk.write(on_failure=desk.hook("failure"))
    (desk.out / "state.sqlite3").mkdir(parents=True)
    assert desk.night() == 6
    (facts,) = desk.told("failure")
    assert facts["exit_code"] == 6
    assert "state.sqlite3" in str(facts["reason"])


def test_what_stops_a_night_before_it_begins_is_told(desk: Desk) -> None:
    desk.write(on_failure=desk.hook("failure"))
    assert desk.night("--api-key-file", str(desk.directory / "no-such-key")) == 2
    desk.out.parent.mkdir(exist_ok=True)
    shutil.rmtree(desk.out, ignore_errors=True)
    desk.out.write_text("a file where the directory should be")
    assert desk.night() == 6
    assert [facts["exit_code"] for facts in desk.told("failure")] == [2, 6]
    assert "no-such-key" in str(desk.told("failure")[0]["reason"])
    desk.out.unlink()
    (desk.directory / "taxa.lock").write_text("what?\n")
    assert desk.night() == 2
    assert "taxa.lock" in str(desk.told("failure")[-1]["reason"])


def test_a_failure_that_is_told_hides_no_lost_store(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.write(on_failure=desk.hook("failure"))
    assert desk.night() == 0
    (desk.out / "state.sqlite3").unlink()
    lock = desk.directory / "taxa.lock"
    lock.write_text("what?\n")
    assert desk.night() == 2
    (facts,) = desk.told("failure")
    assert "taxa.lock" in str(facts["reason"])
    lock.unlink()
    capfd.readouterr()
    assert desk.night() == 0
    assert "state.sqlite3 is missing" in capfd.readouterr().err.splitlines()[0]


def test_of_a_shard_that_cannot_begin_nobody_is_told(desk: Desk) -> None:
    desk.write(on_failure=desk.hook("failure"))
    key_file = str(desk.directory / "no-such-key")
    assert desk.night("--shard", "1/2", "--out", str(desk.directory / "shard"), "--api-key-file", key_file) == 2
    assert desk.told("failure") == []


def test_a_directory_of_another_job_is_told_and_not_touched(
    desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT", listener.url)
    desk.write(on_failure=desk.hook("failure"), webhook_env="CHAT")
    assert desk.night(counts=(100, 100)) == 0

    def files() -> dict[str, bytes]:  # the log is still open in this process, from the night before
        return {path.name: path.read_bytes() for path in desk.out.iterdir() if path.name != "batchsum.log"}

    before = files()
    desk.write("name: renamed\noutput: {dir: out/desk}", on_failure=desk.hook("failure"), webhook_env="CHAT")
    assert desk.night() == 2
    (facts,) = desk.told("failure")
    assert (facts["job"], facts["exit_code"], facts["night"]) == ("renamed", 2, "")
    assert "holds the nights of the job desk" in str(facts["reason"])
    (posted,) = listener.posted
    assert "batchsum renamed: no new table (exit code 2)" in posted.body
    assert files() == before


def test_a_locked_job_is_no_news(desk: Desk) -> None:
    from batchsum.store.directory import locked

    desk.write(on_failure=desk.hook("failure"))
    desk.out.mkdir(parents=True)
    with locked(desk.out):
        assert desk.night() == 75
    assert desk.told("failure") == []


def test_a_night_that_is_skipped_for_another_is_silent_but_for_the_log(
    desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    desk.write()
    assert desk.night(counts=(100, 100)) == 0
    with held(desk.out):
        assert desk.night("--if-locked", "skip") == 0
        assert capfd.readouterr() == ("", "")
        assert desk.night() == 75
    log = (desk.out / "batchsum.log").read_text()
    assert "another run" in log


def test_the_log_says_what_changed_in_names(desk: Desk) -> None:
    desk.write()
    assert desk.night(counts=(100, 100)) == 0
    assert desk.night(counts=(5, 108)) == 3
    first, _, second = (desk.out / "batchsum.log").read_text().partition(": changes: ")
    assert "first night, nothing to compare" in first
    assert second.startswith("1 became suspect, 1 grew\n")
    assert "grew: <!here> & =B (11520) / all: 100 → 108 (+8 %)" in second
    assert "1 suspect: fell: 11320 / all: fell: 5 is 95.0 % below 100" in first


def test_what_was_not_delivered_is_told_the_next_night_and_then_never_again(desk: Desk) -> None:
    code = desk.directory / "code"
    code.write_text("7")
    desk.write(on_change=desk.hook("change", str(code)))
    desk.night(counts=(100, 100))
    assert desk.night(counts=(100, 108)) == 0
    code.write_text("0")
    assert desk.night() == 0
    assert desk.night() == 0
    first, second = desk.told("change")
    assert first == second


def test_nobody_waits_for_old_news_without_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsum.notify.news.MOST_TRIES", 2)
    code = desk.directory / "code"
    code.write_text("1")
    desk.write(on_change=desk.hook("change", str(code)))
    for counts in ((100, 100), (100, 108), (100, 108), (100, 108), (100, 108)):
        desk.night(counts=counts)
    assert len(desk.told("change")) == 2


def test_a_kill_before_the_delivery_loses_no_news(desk: Desk) -> None:
    killer = desk.directory / "killer.py"
    once = desk.directory / "killed"
    killer.write_text(
        "import os, signal, subprocess, sys\n"
        f"if not os.path.exists({str(once)!r}):\n"
        f"    open({str(once)!r}, 'w').close()\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    sys.exit(0)\n"
        f"sys.exit(subprocess.run({desk.hook('change')!r}, stdin=sys.stdin).returncode)\n"
    )
    desk.write(on_change=[sys.executable, str(killer)])
    desk.night(counts=(100, 100))
    desk.ncbi.answers["11520"] = {"record_count": 108}
    command = [sys.executable, "-m", "batchsum", "run", str(desk.job), "--base-url", desk.ncbi.base_url]
    with next_day(desk.job):
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        published = json.loads((desk.out / "run.json").read_text())["run_id"]
        assert desk.told("change") == []
        assert desk.night() == 0
    assert desk.night() == 0
    assert [facts["run_id"] for facts in desk.told("change")] == [published]


def stopping(number: signal.Signals) -> str:
    """A hook that sends its night this signal, and ends when that has ended."""
    return (
        "import os, time\n"
        f"night = os.getppid()\nos.kill(night, {number.value})\n"
        "while os.getppid() == night:\n    time.sleep(0.01)\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_telling_the_same_command_asks_nothing(desk: Desk, number: signal.Signals) -> None:
    """The night is whole by then; what is left is to tell of it."""
    stopper = desk.directory / "stopper.py"
    stopper.write_text(stopping(number))
    desk.write(on_success=[sys.executable, str(stopper)])
    command = [sys.executable, "-m", "batchsum", "run", str(desk.job), "--base-url", desk.ncbi.base_url]
    with next_day(desk.job):
        assert subprocess.run(command, check=False).returncode in (128 + number, -number)
        asked, manifest = len(desk.ncbi.asked), (desk.out / "run.json").read_bytes()
        stopper.write_text(f"open({str(desk.directory / 'told')!r}, 'w')\n")
        assert desk.night() == 0
        assert (desk.directory / "told").exists()
        assert (len(desk.ncbi.asked), (desk.out / "run.json").read_bytes()) == (asked, manifest)
        assert desk.night() == 0
    assert len(desk.ncbi.asked) > asked, "told, the same command asks again"


@pytest.mark.parametrize("change", ["page", "format", "guards", "fresh"])
def test_another_job_is_another_night_even_where_nobody_was_told(desk: Desk, change: str) -> None:
    killer = desk.directory / "killer.py"
    killer.write_text(stopping(signal.SIGKILL))
    desk.write(on_success=[sys.executable, str(killer)])
    command = [sys.executable, "-m", "batchsum", "run", str(desk.job), "--base-url", desk.ncbi.base_url]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    asked = len(desk.ncbi.asked)
    desk.write("guards: {max_drop: 30%}" if change == "guards" else "")
    if change == "page":
        (desk.out / "run.json").unlink()
    options = {"format": ["--format", "csv,tsv"], "fresh": ["--fresh"]}.get(change, [])
    assert desk.night(*options) == 0
    assert len(desk.ncbi.asked) > asked
    assert (desk.out / "summary.tsv").exists() == (change == "format")


def test_a_hook_is_killed_with_its_children_and_the_night_is_none_the_worse(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notifier, "SECONDS_EACH", 0.5)
    pids = desk.directory / "pids"
    desk.write(on_success=["sh", "-c", f"sleep 600 & echo $! $$ > {pids}; wait"])
    assert desk.night() == 0
    for pid in pids.read_text().split():
        assert _is_gone(int(pid))
    assert capfd.readouterr() == ("", "")
    assert "killed after 0.5 s" in (desk.out / "batchsum.log").read_text()


def test_a_child_that_a_hook_leaves_behind_is_ended(desk: Desk) -> None:
    pids = desk.directory / "pids"
    desk.write(on_success=["sh", "-c", f"sleep 600 & echo $! > {pids}"])
    assert desk.night() == 0
    assert _is_gone(int(pids.read_text()))
    assert "on_success" in (desk.out / "batchsum.log").read_text()


def _is_gone(pid: int) -> bool:
    """Whether a process has ended, or does within ten seconds: a killed one may need a moment."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


@pytest.mark.parametrize(
    "command",
    [["/no/such/command"], ["./hook.sh"], ["sh", "-c", "yes | head -c 3000000"], ["sh", "-c", "exec <&-; exit 0"]],
    ids=["missing", "not-there", "talkative", "deaf"],
)
def test_no_hook_fails_a_night(desk: Desk, command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    desk.write(on_success=command)
    assert desk.night() == 0
    assert capfd.readouterr() == ("", "")
    assert (desk.out / "batchsum.log").stat().st_size < 100_000


def test_a_directory_whose_name_is_no_text_fails_no_night(tmp_path: Path, ncbi: ScriptedNcbi) -> None:
    directory = Path(os.fsdecode(os.fsencode(tmp_path / "gr") + b"\xe9"))
    try:
        directory.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    desk = Desk(directory, ncbi)
    (directory / "hook").write_text(f"#!/bin/sh\nexec {sys.executable} hook.py hook.told\n")
    (directory / "hook").chmod(0o700)
    desk.write(on_change=["./hook"], on_failure=["./hook"])
    assert desk.night(counts=(100, 100)) == 0
    assert desk.night(counts=(100, 108)) == 0
    desk.ncbi.otherwise = lambda question: (302, "")
    desk.ncbi.answers.clear()
    assert desk.night() == 5
    change, failure = desk.told("hook")
    assert change["directory"] == str(desk.out)
    assert (change["exit_code"], failure["exit_code"]) == (0, 5)


def test_a_relative_command_is_one_beside_the_job(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    script = desk.directory / "hook.sh"
    script.write_text("#!/bin/sh\ntouch told\n")
    script.chmod(0o755)
    desk.write(on_success=["./hook.sh"])
    monkeypatch.chdir("/")
    assert desk.night() == 0
    assert (desk.directory / "told").exists()


def test_what_a_hook_says_is_in_the_log_of_who_wants_it(desk: Desk) -> None:
    desk.write(on_success=desk.hook("success"))
    desk.night()
    assert "said to somebody" not in (desk.out / "batchsum.log").read_text()
    desk.night("-v")
    assert "said to somebody" in (desk.out / "batchsum.log").read_text()


def test_what_a_hook_says_that_fails_is_in_the_log_of_everybody(desk: Desk) -> None:
    desk.write(on_success=["sh", "-c", "echo no such channel >&2; exit 3"])
    assert desk.night() == 0
    assert "warning: sh: no such channel\n" in (desk.out / "batchsum.log").read_text()


def test_a_chat_gets_a_text_that_calls_nobody(desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT", f"{listener.url}/services/SECRET1")
    desk.write(webhook_env="CHAT")
    desk.night(counts=(100, 100))
    assert listener.posted == []
    desk.night("-v", counts=(100, 1080))
    desk.night("-v")
    (posted,) = listener.posted
    assert posted.path == "/services/SECRET1"
    assert posted.headers["Content-Type"].startswith("application/json")
    (text,) = json.loads(posted.body).values()
    assert json.loads(posted.body).keys() == {"text"}
    assert text.splitlines()[0].startswith("batchsum desk, night of ")
    assert "2 rows, all answered; 1 change" in text
    assert "grew: &lt;!here&gt; &amp; =B (11520) / all: 100 → 1,080 (+980 %)" in text
    assert "SECRET1" not in desk.everything_written()


def test_a_chat_that_refuses_is_asked_again(desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT", f"{listener.url}/SECRET2")
    listener.statuses, listener.location = [500, 302], f"{listener.url}/elsewhere"
    desk.write(webhook_env="CHAT")
    desk.night(counts=(100, 100))
    for _ in range(4):
        assert desk.night("-v", counts=(100, 108)) == 0
    assert [posted.path for posted in listener.posted] == ["/SECRET2"] * 3
    assert len({posted.headers["Idempotency-Key"] for posted in listener.posted}) == 1
    log = (desk.out / "batchsum.log").read_text()
    assert "127.0.0.1: HTTP 500" in log
    assert "127.0.0.1: HTTP 302" in log
    assert "SECRET2" not in desk.everything_written()


def test_what_is_accepted_afterwards_is_no_repetition(
    desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT", listener.url)
    desk.write(webhook_env="CHAT")
    assert desk.night(counts=(100, 100)) == 0
    assert desk.night(counts=(10, 10)) == 3
    assert main(["accept", str(desk.out), "11320"]) == 3
    fell, accepted = listener.posted
    assert fell.headers["Idempotency-Key"] != accepted.headers["Idempotency-Key"]
    assert "1 of 2 rows has no count to rely on, new tonight; 1 change" in accepted.body


def test_a_row_that_stays_refused_is_no_message_every_night(
    desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT", listener.url)
    desk.write(webhook_env="CHAT")
    desk.ncbi.answers["11520"] = (400, {"code": 3, "message": "no such thing"})
    for _ in range(3):
        assert desk.night() == 3
    (posted,) = listener.posted
    assert "1 of 2 rows has no count to rely on, new tonight" in posted.body
    assert "rejected: &lt;!here&gt; &amp; =B (11520) / all: bad_request" in posted.body
    desk.ncbi.otherwise = lambda question: (500, "oops")
    desk.ncbi.answers = {}
    assert desk.night() == 4
    assert "no new table (exit code 4)" in listener.posted[-1].body


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "CHAT is not set"),
        ("http://example.org/SECRET3", "not encrypted"),
        ("ftp://127.0.0.1/SECRET3", "holds no address"),
        ("SECRET3", "holds no address"),
        ("http://[SECRET3", "holds no address"),
        ("http://127.0.0.1:1/SECRET3", "127.0.0.1: no answer"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_without_being_told(
    desk: Desk, value: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value:
        monkeypatch.setenv("CHAT", value)
        monkeypatch.setenv("PING", value)
    monkeypatch.setattr("batchsum.notify.channels._PING_PAUSES", (0.0,))
    desk.write(webhook_env="CHAT", ping_env="PING")
    desk.night(counts=(100, 100))
    assert desk.night("-v", counts=(100, 108)) == 0
    assert said in (desk.out / "batchsum.log").read_text()
    assert "SECRET3" not in desk.everything_written()


@pytest.mark.usefixtures("netrc")
async def test_a_chat_behind_the_proxy_is_told_nothing_of_netrc(
    raw: RawServer, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await post_message(URL(elsewhere), "hello", key="1", seconds=5) == ""
    (posted,) = raw.arrivals
    assert (posted.method, posted.target) == ("POST", elsewhere)
    assert posted.headers["proxy-authorization"].startswith("Basic ")
    assert "authorization" not in posted.headers
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    assert "HTTP_PROXY: a proxy of the kind socks5" in await post_message(URL(elsewhere), "hello", key="1", seconds=5)


def test_a_ping_tells_begin_and_end_of_the_same_run(
    desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PING", f"{listener.url}/key/my%20job?create=1")
    desk.write(ping_env="PING")
    assert desk.night() == 0
    desk.ncbi.otherwise = lambda question: (500, "oops")
    assert desk.night() == 4
    urls = [urlsplit(posted.path) for posted in listener.posted]
    assert [url.path for url in urls] == [f"/key/my%20job/{what}" for what in ("start", "0", "start", "4")]
    rids = [parse_qs(url.query)["rid"][0] for url in urls]
    assert all(parse_qs(url.query)["create"] == ["1"] for url in urls)
    assert [str(uuid.UUID(rid)) for rid in rids] == rids
    assert rids[0] == rids[1] != rids[2] == rids[3]
    assert "2 rows, all answered" in listener.posted[1].body
    assert "nothing usable" in listener.posted[3].body


def test_a_ping_is_tried_again_at_once(desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PING", listener.url)
    monkeypatch.setattr("batchsum.notify.channels._PING_PAUSES", (0.0, 0.0))
    listener.statuses = [200, 503]
    desk.write(ping_env="PING")
    assert desk.night() == 0
    assert [urlsplit(posted.path).path for posted in listener.posted] == ["/start", "/0", "/0"]


def test_interrupted_while_telling_the_hook_goes_too_and_the_news_stay(desk: Desk) -> None:
    pids = desk.directory / "pids"
    desk.write(on_success=["sh", "-c", f"sleep 600 & echo $! $$ > {pids}; kill -TERM $PPID; wait"])
    command = [sys.executable, "-m", "batchsum", "run", str(desk.job), "--base-url", desk.ncbi.base_url]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 128 + signal.SIGTERM
    assert all(_is_gone(int(pid)) for pid in pids.read_text().split())
    first = json.loads((desk.out / "run.json").read_text())["run_id"]
    desk.write(on_success=desk.hook("success"))
    assert desk.night() == 0
    assert first in {facts["run_id"] for facts in desk.told("success")}
    assert os.environ.get("NCBI_API_KEY") is None
