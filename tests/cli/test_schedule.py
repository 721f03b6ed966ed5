"""Schedules as they install, and how often a job may run."""

import json
import os
import pwd
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.cli import main, schedule
from batchsum.config.load import load_job
from tests.fakes.scripted_ncbi import ScriptedNcbi

CONFIGS = Path(__file__).parents[2] / "configs"
NASTY = "night $HOME 100% \"a\" 'b' `id` ;é\\n #x.yaml"


def write_job(path: Path, extra: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"version: 1\nname: tonight\ntaxa: [11320]\n{extra}")
    return path


def cron_command(text: str) -> tuple[list[str], list[str]]:
    """Fields and words of the one entry, as cron and then the shell read it."""
    (line,) = [line for line in text.splitlines() if line and not line.startswith("#")]
    *fields, command = line.split(" ", 5)
    plain, rest = "", command
    while rest:
        if rest.startswith(r"\%"):
            plain, rest = plain + "%", rest[2:]
        else:
            assert rest[0] != "%", "cron would end the command here"
            plain, rest = plain + rest[0], rest[1:]
    return fields, shlex.split(plain)


# The schedules


def test_a_line_for_cron(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    job = write_job(tmp_path / "tonight.yaml")
    monkeypatch.chdir(tmp_path)
    assert main(["schedule", "tonight.yaml", "--cron", "--at", "3:25"]) == 0
    fields, words = cron_command(capsys.readouterr().out)
    assert fields == ["25", "3", "*", "*", "*"]
    assert Path(words[0]).is_absolute()
    assert words[-4:] == ["run", str(job), "--if-locked", "skip"]


@pytest.mark.parametrize("form", ["--cron", "--systemd"])
def test_a_path_that_is_no_utf_8_is_told_and_never_printed_as_another_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    job = write_job(tmp_path / "gr\udcfcn" / "tonight.yaml")
    assert main(["schedule", str(job), form]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert "a byte that is not UTF-8, which a printed schedule cannot hold; rename it" in told.err


@pytest.mark.parametrize("form", ["--cron", "--systemd"])
def test_what_the_scheduled_night_will_lack_is_named_and_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    job = write_job(tmp_path / "tonight.yaml")
    names = ("HTTPS_PROXY", "SSL_CERT_FILE", "BATCHSUM_BASE_URL", "NCBI_API_KEY")
    for name in schedule._SURROUNDINGS:
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, "http://me:hidden@proxy.example.org:3128")
    assert main(["schedule", str(job), form]) == 0
    told = capsys.readouterr().out
    for name in names:
        assert f"This shell has {name}" in told or f", {name}" in told
        monkeypatch.delenv(name)
    assert "hidden" not in told
    assert "--api-key-file" in told
    assert ("EnvironmentFile=" in told) is (form == "--systemd")
    assert main(["schedule", str(job), form]) == 0
    assert "This shell has" not in capsys.readouterr().out


def test_a_user_without_a_name_is_scheduled_by_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(number: int) -> None:
        raise KeyError(number)

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert main(["schedule", str(write_job(tmp_path / "tonight.yaml")), "--systemd"]) == 0
    assert f"User={os.getuid()}\n" in capsys.readouterr().out


def test_how_to_install_it_prints_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path / "a b.yaml")
    assert main(["schedule", str(job), "--cron", "--at", "3:00", "--api-key-file", str(tmp_path / "key")]) == 0
    text = capsys.readouterr().out
    (again,) = [line.split("; ")[1].split(")")[0] for line in text.splitlines() if "| crontab -" in line]
    done = subprocess.run(shlex.split(again), capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == text
    assert main(["schedule", str(job), "--cron", "--out", str(tmp_path)]) == 2


def test_what_cron_starts_is_this_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", str(write_job(tmp_path / "a.yaml")), "--cron"]) == 0
    _, words = cron_command(capsys.readouterr().out)
    program = words[: words.index("run")]
    said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True, cwd="/", env={})
    assert said.stdout.startswith("batchsum ")


def crontab_refuses(table: Path) -> str:
    checked = subprocess.run(["crontab", "-n", table], capture_output=True, text=True, check=False)
    return checked.stderr if checked.returncode else ""


@pytest.mark.skipif(not shutil.which("crontab"), reason="crontab is not installed")
@pytest.mark.parametrize("name", ["plain.yaml", NASTY])
def test_cron_takes_the_text_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    table = tmp_path / "table"
    table.write_text("5 3 * * * true\n")
    if crontab_refuses(table):
        pytest.skip("this crontab has no -n to check with")
    table.write_text("5 25 * * * true\n")
    assert crontab_refuses(table)
    assert main(["schedule", str(write_job(tmp_path / name)), "--cron"]) == 0
    table.write_text(capsys.readouterr().out)
    assert crontab_refuses(table) == ""


def test_no_path_means_anything_to_cron_or_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path / "50% $(touch pwned)" / NASTY)
    assert main(["schedule", str(job), "--cron", "--api-key-file", str(tmp_path / "a %key")]) == 0
    _, words = cron_command(capsys.readouterr().out)
    assert str(job) in words
    assert words[-2:] == ["--api-key-file", str(tmp_path / "a %key")]


@pytest.mark.parametrize("kind", ["--cron", "--systemd"])
def test_a_path_that_no_schedule_can_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    job = write_job(tmp_path / "two\nlines.yaml")
    assert main(["schedule", str(job), kind]) == 2
    assert "control character" in capsys.readouterr().err


def test_a_line_too_long_for_cron(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(Path(tmp_path, *(["d" * 200] * 5), "a.yaml"))
    assert main(["schedule", str(job), "--cron"]) == 2
    assert "use shorter paths" in capsys.readouterr().err


def test_a_broken_job_is_not_scheduled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", str(write_job(tmp_path / "a.yaml", "taxe: 5\n")), "--cron"]) == 2
    assert "a.yaml:4:1" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["plain.yaml", NASTY])
@pytest.mark.parametrize(
    "extra",
    ["", "api: {api_key_file: 'a %key $x'}\nnotify: {on_change: [a], webhook_env: CHAT, ping_env: PING}\n"],
    ids=["bare", "full"],
)
def test_systemd_finds_nothing_wrong(tmp_path: Path, name: str, extra: str) -> None:
    job = write_job(tmp_path / "100% mine" / name, extra)
    units = tmp_path / "units"
    assert main(["schedule", str(job), "--systemd", "--out", str(units)]) == 0
    files = sorted(units.iterdir())
    assert [file.name for file in files] == ["batchsum-tonight.service", "batchsum-tonight.timer"]
    checked = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    ours = [line for line in checked.stderr.splitlines() if "batchsum-tonight" in line]
    assert (checked.returncode, ours) == (0, [])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_would_find_something_wrong(tmp_path: Path) -> None:
    unit = tmp_path / "wrong.service"
    unit.write_text('[Service]\nType=oneshot\nExecStart=/bin/true "unbalanced\nReadWritePaths=relative\n')
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert checked.returncode != 0


def test_units_as_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path / "a b.yaml", "api: {api_key_file: 'my %key'}\nnotify: {ping_env: PING}\n")
    assert main(["schedule", str(job), "--systemd", "--at", "03:25"]) == 0
    text = capsys.readouterr().out
    service, timer = text.split("# /etc/systemd/system/batchsum-tonight.timer\n")
    assert service.startswith("# /etc/systemd/system/batchsum-tonight.service\n[Unit]\n")
    assert f'run "{tmp_path}/a b.yaml" --if-locked skip\n' in service
    assert f"\nLoadCredential=ncbi_api_key:{tmp_path}/my %%key\n" in service
    # The limit is shared through /tmp: a private one would give this service a limit of its own.
    assert f"\nReadWritePaths={tmp_path} /tmp\n" in service
    assert "PrivateTmp" not in service
    assert "\nEnvironmentFile=-/etc/batchsum/tonight.env\n" in service
    for line in ("OnCalendar=*-*-* 03:25:00", "Persistent=true", "RandomizedDelaySec=10min"):
        assert f"\n{line}\n" in timer


def test_another_key_than_the_jobs_own_is_the_one_that_the_service_asks_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_job(tmp_path / "own.yaml", "api: {api_key_file: mine}\n")
    none = write_job(tmp_path / "none.yaml")
    other = str(tmp_path / "the other")
    for job, words, credential in (
        (own, ["--api-key-file", other], 0),  # which a run takes before the job's own, and that before a credential
        (own, [], 1),
        (none, ["--api-key-file", other], 1),
    ):
        assert main(["schedule", str(job), "--systemd", *words]) == 0
        service = capsys.readouterr().out
        assert service.count(f'--if-locked skip --api-key-file "{other}"\n') == 1 - credential
        assert service.count("\nLoadCredential=ncbi_api_key:") == credential


def test_hooks_may_write_where_they_like(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", str(write_job(tmp_path / "a.yaml", "notify: {on_change: [a]}\n")), "--systemd"]) == 0
    assert "ProtectSystem" not in capsys.readouterr().out


@given(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True))
def test_everybody_starts_at_another_time_and_never_on_the_hour(name: str) -> None:
    at = schedule._off_the_hour(name, None)
    assert at == schedule._off_the_hour(name, None)
    assert time(1, 1) <= at < time(6)
    assert at.minute
    assert schedule._off_the_hour(name, time(3, 30)) == time(3, 30)
    assert time(3, 1) <= schedule._off_the_hour(name, time(3, 0)) < time(3, 15)


@pytest.mark.parametrize("text", ["3", "24:00", "03:60", "3:5", "x:10", "-1:10", "03:10:00"])
def test_no_time_of_day(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", str(write_job(tmp_path / "a.yaml")), "--cron", f"--at={text}"]) == 2
    assert "write it " in capsys.readouterr().err


def test_the_examples_are_what_is_printed() -> None:
    example = schedule.Entry(
        name="nightly",
        program=("/opt/batchsum/bin/batchsum",),
        job=Path("/srv/batchsum/jobs/nightly.yaml"),
        at=time(3, 17),
        key_file=Path("/etc/batchsum/ncbi_api_key"),
        key_option=("--api-key-file", "/etc/batchsum/ncbi_api_key"),
        writes=(Path("/srv/batchsum/out"), Path("/tmp")),
        user="batchsum",
        variables=("HEALTHCHECK_URL",),
    )
    assert (CONFIGS / "crontab.example").read_text() == schedule.cron_text(example)
    for name, text in schedule.systemd_units(example).items():
        assert (CONFIGS / "systemd" / name).read_text() == text


# How often


def night(job: Path, ncbi: ScriptedNcbi, *options: str) -> int:
    ncbi.asked.clear()
    return main(["run", str(job), "--base-url", ncbi.base_url, "--rps", "unlimited", *options])


def published_at(job: Path, moment: datetime) -> None:
    path = job.parent / "out" / "tonight" / "run.json"
    manifest = json.loads(path.read_text())
    manifest["finished_at"] = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    path.write_text(json.dumps(manifest))


def test_a_start_too_soon_does_nothing(ncbi: ScriptedNcbi, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path / "tonight.yaml", "min_interval: 20h\nnotify: {on_success: [touch, told]}\n")
    assert night(job, ncbi) == 0
    (tmp_path / "told").unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "out/tonight").glob("[!.]*") if path.suffix != ".log"}
    assert night(job, ncbi) == 0
    assert ncbi.asked == []
    assert not (tmp_path / "told").exists()
    assert {path: path.read_bytes() for path in before} == before
    assert capfd.readouterr() == ("", "")
    assert "nothing to do, as min_interval is 20 h 00 min" in (tmp_path / "out/tonight/batchsum.log").read_text()
    for option in (["--fresh"], ["--accept", "11320"]):
        assert night(job, ncbi, *option) == 0
        assert len(ncbi.asked) == 1


@pytest.mark.parametrize(
    ("ago", "asked"),
    [
        (timedelta(hours=19, minutes=59), 0),
        (timedelta(hours=20), 1),
        (timedelta(hours=-2), 0),
        (timedelta(days=-400), 1),
    ],
    ids=["too soon", "due", "clock set back", "published under a wrong clock"],
)
def test_a_clock_that_jumps_does_no_harm(ncbi: ScriptedNcbi, tmp_path: Path, ago: timedelta, asked: int) -> None:
    job = write_job(tmp_path / "tonight.yaml", "min_interval: 20h\n")
    assert night(job, ncbi) == 0
    published_at(job, datetime.now(UTC) - ago)
    assert night(job, ncbi) == 0
    assert len(ncbi.asked) == asked


def test_a_failed_night_is_no_reason_to_wait(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = write_job(tmp_path / "tonight.yaml", "min_interval: 20h\napi: {attempts: 1, max_outage: 1s}\n")
    ncbi.otherwise = lambda question: (500, "oops")
    assert night(job, ncbi) == 4
    ncbi.otherwise = lambda question: {"record_count": 7}
    assert night(job, ncbi) == 0
    assert ncbi.asked


def test_without_an_interval_every_start_asks(ncbi: ScriptedNcbi, tmp_path: Path) -> None:
    job = write_job(tmp_path / "tonight.yaml")
    assert load_job(job).min_interval is None
    assert [night(job, ncbi) for _ in range(2)] == [0, 0]
    assert len(ncbi.asked) == 1


def test_an_interval_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write_job(tmp_path / "tonight.yaml", "min_interval: often\n"))]) == 2
    assert "tonight.yaml:4:15: " in capsys.readouterr().err
