"""A level that a user believes, a night that is asked again in part, and what is told of both."""

import json
import os
import pwd
import re
from dataclasses import replace

import pytest

from batchsum.cli import main
from batchsum.config.taxa_lock import LockedTaxon, TaxaLock
from batchsum.errors import UsageError
from batchsum.ncbi.taxonomy import TaxonNode
from batchsum.run import night, publish
from batchsum.run.row_names import RowName, named_rows
from tests.builders import jobs
from tests.builders.november import Nights
from tests.fakes.scripted_ncbi import scripted_ncbi

UNKNOWN = (404, {"code": 5, "message": "The taxonomy name is not a recognized virus taxon"})


@pytest.fixture
def fallen(nights: Nights) -> Nights:
    """Two nights; on the second Influenza has fallen from 100 to 60, and MERS is unknown."""
    nights.write(
        "taxa: [{taxon: 11320, label: Flu/A}, {taxon: 1335626, label: MERS}, 11520]\n"
        "filter_sets: {all: {}, human: {host: human}}"
    )
    nights.night(1, count=100)
    nights.ncbi.answers = {"11320": {"record_count": 60}, "1335626": UNKNOWN, "11520": (500, "down")}
    assert nights.night(2) == 3
    return nights


def statuses(nights: Nights) -> dict[tuple[str, str], str]:
    return {(row["taxon"], row["filter_set"]): row["status"] for row in nights.rows()}


def test_the_last_night_is_judged_again_without_a_question(fallen: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    before = fallen.manifest()
    fallen.ncbi.asked.clear()
    capsys.readouterr()
    assert main(["accept", str(fallen.out), "flu/a/ALL", "mers/all", "--note", "a cleaning"]) == 3
    assert fallen.ncbi.asked == []
    me = pwd.getpwuid(os.getuid()).pw_name
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"Flu/A (11320) / all: accepted by {me} at 2")
    assert told[0].endswith("Z: 60 instead of 100: a cleaning")
    assert told[1].endswith(": NCBI's refusal instead of 100: a cleaning")
    assert statuses(fallen)["11320", "all"] == "ok"
    assert statuses(fallen)["1335626", "all"] == "rejected"
    assert statuses(fallen)["11520", "all"] == "failed"
    assert [change for change in fallen.changes() if change[2] == "accepted"] == [
        ("11320", "all", "accepted"), ("1335626", "all", "accepted"),
    ]  # fmt: skip
    after = fallen.manifest()
    assert after["run_id"] == before["run_id"]
    assert after["generation"] == before["generation"] + 1
    level, _ = after["accepted"]
    assert {name: level[name] for name in level if name != "accepted_at"} == {
        "night": "2026-11-02", "taxon": "11320", "filter_set": "all", "previous_record_count": 100,
        "record_count": 60, "accepted_by": me, "note": "a cleaning",
    }  # fmt: skip
    assert "Flu/A (11320) / all: accepted by" in (fallen.out / "batchsum.log").read_text()
    assert main(["explain", str(fallen.out), "11320", "all"]) == 0
    assert f"accepted by {me}" in capsys.readouterr().out


def test_an_accepted_level_holds(fallen: Nights) -> None:
    main(["accept", str(fallen.out), "11320", "MERS/all"])
    # On the same day run again: the level was accepted for this night.
    assert fallen.night(2) == 3
    assert statuses(fallen)["11320", "all"] == "ok"
    assert statuses(fallen)["1335626", "all"] == "rejected"
    assert [level["record_count"] for level in fallen.manifest()["accepted"]] == [60, 100, None]
    fallen.ncbi.answers["11320"] = {"record_count": 30}
    assert fallen.night(2) == 3
    assert statuses(fallen)["11320", "all"] == "suspect", "another fall is another matter"
    fallen.ncbi.answers["11320"] = {"record_count": 59}
    fallen.night(3)
    assert fallen.table()[0] == ("11320", "all", "59", "60"), (
        "what was accepted is believed, though its run was replaced"
    )
    assert statuses(fallen)["1335626", "all"] == "rejected"


@pytest.mark.parametrize("again", [(500, "down"), {"assembly_count": 3}, {"record_count": 30}])
def test_what_was_accepted_is_the_past_also_where_its_run_is_replaced(fallen: Nights, again: object) -> None:
    fallen.ncbi.answers["11320?host=human"] = {"record_count": 50}
    fallen.night(2)
    main(["accept", str(fallen.out), "11320"])
    for answer in (again, {"record_count": 7}):
        fallen.ncbi.answers |= {"11320": answer, "11320?host=human": answer}
        assert fallen.night(2 if answer is again else 3) == 3
    assert fallen.table()[:2] == [("11320", "all", "7", "60"), ("11320", "human", "7", "50")]
    assert [row["error"][:26] for row in fallen.rows()[:2]] == [
        "fell: 7 is 88.3 % below 60",
        "fell: 7 is 86.0 % below 50",
    ]


def test_a_refusal_that_was_accepted_ends_no_past_where_there_is_a_count_again(fallen: Nights) -> None:
    main(["accept", str(fallen.out), "MERS/all"])
    fallen.ncbi.answers["1335626"] = {"record_count": 3}
    assert fallen.night(2) == 3
    fallen.ncbi.answers["1335626"] = {"record_count": 2}
    assert fallen.night(3) == 3
    assert fallen.table()[2] == ("1335626", "all", "2", "100")
    assert fallen.rows()[2]["error"].startswith("fell:")


def test_accepting_one_row_judges_the_others_by_the_same_nights(nights: Nights) -> None:
    nights.write("taxa: [11320, 11520]\noutput: {keep_nights: 2}")
    nights.night(1, count=1000)
    nights.ncbi.answers = {"11320": {"record_count": 850}}
    nights.night(2)
    nights.ncbi.answers = {"11320": {"record_count": 790}, "11520": {"record_count": 500}}
    assert nights.night(3) == 3
    assert main(["accept", str(nights.out), "11520"]) == 3
    assert statuses(nights) == {("11320", "all"): "suspect", ("11520", "all"): "ok"}
    assert ("11520", "all", "accepted") in nights.changes()


def test_what_cannot_be_accepted_is_told_and_nothing_is_touched(
    fallen: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in fallen.out.glob("[!.]*[!g]")}
    for name, words in (
        ("11520/all", "11520/all: nothing to accept; NCBI gave no count for it on 2026-11-02"),
        ("MERZ", "MERZ: no row of this job has this name; write TAXON or TAXON/SET, as one word; did you mean MERS?"),
        ("MERS/hunan", "1335626 has no filter set hunan; did you mean MERS/human?"),
    ):
        capsys.readouterr()
        assert main(["accept", str(fallen.out), "11320/all", name]) == 2
        assert words in capsys.readouterr().err
    assert before == {
        path.name: path.read_bytes() for path in fallen.out.glob("[!.]*.*") if path.name != "batchsum.log"
    }
    assert main(["accept", str(fallen.out.parent), "11320"]) == 2


def test_a_row_of_the_first_night_is_told_once_with_its_name(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    flu = "{taxon: 11320, label: Flu}"
    nights.write(
        f"taxa: [{flu}, {flu}]\nfilter_sets: {{all: {{}}, region: {{matrix: {{geo_location: [Africa, Asia]}}}}}}"
    )
    nights.ncbi.answers = {"11320?geo_location=Asia": {"record_count": 50}}
    assert nights.night(1, count=40) == 3
    capsys.readouterr()
    assert main(["accept", str(nights.out), "FLU/Region/ASIA"]) == 0
    (told,) = capsys.readouterr().out.splitlines()
    assert told.startswith("Flu (11320) / region/Asia: accepted by ")
    assert told.endswith("Z: 50")
    assert len(nights.manifest()["accepted"]) == 1
    assert main(["accept", str(nights.out), "flu", "--note", "once more"]) == 0
    *_, told = capsys.readouterr().out.splitlines()
    assert told.endswith("Z: 50: once more")
    assert [level["record_count"] for level in nights.manifest()["accepted"]] == [40, 40, 50]


@pytest.mark.parametrize("then", ["locked", "unlocked", "moved"])
def test_what_was_kept_is_judged_with_the_lock_of_that_night(nights: Nights, then: str) -> None:
    """A taxon that is locked afterwards, or no more, was asked as it was asked."""
    nights.write("taxa: [flu, 11520]")
    lock, node = nights.job.parent / "taxa.lock", TaxonNode(11320, "Alphainfluenzavirus", "species", (1, 10239))
    locked = TaxaLock({"flu": LockedTaxon(node, "2026-11-01")})
    moved = TaxaLock({"flu": LockedTaxon(replace(node, tax_id=11321), "2026-11-02")})
    if then != "locked":
        lock.write_text(locked.text())
    nights.night(1, count=100)
    nights.ncbi.answers = {"flu": {"record_count": 60}, "11320": {"record_count": 60}}
    assert nights.night(2) == 3
    lock.unlink(missing_ok=True)
    if then != "unlocked":
        lock.write_text((moved if then == "moved" else locked).text())
    assert main(["accept", str(nights.out), "flu/all"]) == 0
    assert nights.changes() == [("flu", "all", "accepted")]
    assert nights.table()[0] == ("flu", "all", "60", "100")


def test_a_kill_while_accepting_leaves_the_old_night_or_the_new(
    fallen: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (fallen.out / "summary.csv").read_bytes()
    for cut in ("prepare", "put_in_place"):
        with monkeypatch.context() as patch:
            patch.setattr(publish, cut, lambda *_: 1 / 0)
            assert main(["accept", str(fallen.out), "11320/all"]) == 1
        assert (fallen.out / "summary.csv").read_bytes() == before
    # What was begun is finished by the next start, whatever it wants.
    assert main(["accept", str(fallen.out), "MERS/all"]) == 3
    assert statuses(fallen)["11320", "all"] == "ok"
    assert statuses(fallen)["1335626", "all"] == "rejected"
    assert fallen.night(3) == 3


def test_a_row_is_accepted_while_it_is_asked(fallen: Nights) -> None:
    assert fallen.night(3, "--accept", "Flu/A") == 3
    assert statuses(fallen)["11320", "all"] == "ok"
    assert fallen.changes()[0] == ("11320", "all", "accepted")
    assert len(fallen.manifest()["accepted"]) == 2
    assert fallen.night(3, "--accept", "11520/all") == 3
    assert "nothing to accept for 11520/all" in fallen.manifest()["warnings"][0]


def test_an_interrupted_night_is_ended_first_by_the_command_that_is_told(
    fallen: Nights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(night, "judge_and_find_retries", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        fallen.night(3)
    capsys.readouterr()
    assert main(["accept", str(fallen.out), "11320/all"]) == 2
    told = capsys.readouterr().err
    assert f"to end it, type: batchsum run {fallen.job} --out {fallen.out}; then accept again" in told


# What rows are called


ROWS = [
    RowName("11320", "A", "Alphainfluenzavirus influenzae", "all"),
    RowName("11320", "A", "Alphainfluenzavirus influenzae", "human"),
    RowName("Lake/87", "", "", "87"), RowName("Lake", "twin", "", "87"), RowName("other", "twin", "", "all"),
    RowName("A", "", "", "all"), RowName("Influenza B virus", "", "", "all", 11520),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("11320", {("11320", "all"), ("11320", "human")}),
        ("alphaINFLUENZAVIRUS influenzae/Human", {("11320", "human")}),
        ("Lake/87", {("Lake/87", "87")}),
        ("Lake/87/87", {("Lake/87", "87")}),
        ("other/all", {("other", "all")}),
        ("A", {("A", "all")}),
        ("11520", {("Influenza B virus", "all")}),
        ("11520/all", {("Influenza B virus", "all")}),
    ],
)
def test_the_longest_beginning_is_the_taxon(text: str, found: set[tuple[str, str]]) -> None:
    assert named_rows([text], lambda: ROWS) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [("twin", "several taxa; write one of Lake, other"), ("a/all", "several taxa; write one of 11320, A")],
)
def test_a_name_of_several_taxa_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        named_rows([text], lambda: ROWS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Influensa B virus/all", "did you mean Influenza B virus/all?"),
        ("11321/human", "as in the columns taxon, tax_id, label and filter_set"),
        ("Pond", "as in the columns taxon, tax_id, label and filter_set"),
        ("11320/humn", "did you mean 11320/human?"),
        ("A/allo", "did you mean A/all?"),
    ],
)
def test_only_a_near_name_is_suggested_and_never_an_id(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        named_rows([text], lambda: ROWS)
    assert "mean" in words or "mean" not in str(caught.value)


# Asking again


def test_retry_asks_only_for_what_is_doubtful(fallen: Nights) -> None:
    fallen.ncbi.answers = {"11320": {"record_count": 103}, "1335626": {"record_count": 104}}
    fallen.ncbi.otherwise = lambda question: {"record_count": 105}
    before = fallen.manifest()
    assert fallen.night(3, "--retry", "--accept", "nobody") == 2, "and nothing is begun"
    assert fallen.night(3, "--retry") == 0
    assert fallen.ncbi.counts == {"11320": 1, "1335626": 1, "11520": 1}
    assert fallen.manifest()["today"] == "2026-11-02"
    assert fallen.manifest()["run_id"] != before["run_id"]
    assert [row[2:] for row in fallen.table()] == [
        ("103", "100"), ("100", "100"), ("104", "100"), ("100", "100"), ("105", "100"), ("100", "100"),
    ]  # fmt: skip
    assert fallen.night(3, "--retry") == 0
    assert fallen.ncbi.asked == [], "nothing is doubtful any more"


def test_a_night_is_asked_again_for_a_day(fallen: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3

    with sqlite3.connect(fallen.out / "state.sqlite3") as state:
        state.execute("UPDATE runs SET started_at = '2026-01-01T00:00:00Z'")
    assert fallen.night(2, "--retry") == 2
    assert "began over 24 h ago" in capsys.readouterr().err
    assert fallen.ncbi.asked == []


def test_retry_mixes_no_answers_of_two_servers(fallen: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    before = fallen.manifest()
    with scripted_ncbi(otherwise=lambda question: (401, "who are you")) as other:
        assert jobs.night(fallen.job, other, day="2026-11-02") == 5
        assert fallen.night(2, "--retry") == 2
        assert f"unfinished, and asks {other.base_url}; go on with it there" in capsys.readouterr().err
    assert fallen.ncbi.asked == []
    assert fallen.manifest() == before


def test_retry_needs_a_night(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    nights.write("taxa: [11320]")
    assert nights.night(1, "--retry") == 2
    assert "no night was published here" in capsys.readouterr().err


# What was told


def test_a_replaced_night_tells_only_what_was_not_told(nights: Nights) -> None:
    hook = nights.job.parent / "hook.py"
    hook.write_text("import json, sys\nprint(json.dumps(json.load(sys.stdin)), file=open(sys.argv[1], 'a'))\n")
    channels = {name: ["python3", str(hook), str(nights.job.parent / name)] for name in ("on_change", "on_failure")}
    nights.write(f"taxa: [11320, 11520, 11250]\nnotify: {json.dumps(channels)}")

    def told(name: str) -> list[dict[str, object]]:
        path = nights.job.parent / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    nights.night(1, count=100)
    nights.ncbi.answers = {
        "11320": {"record_count": 30},
        "11520": {"record_count": 101},
        "11250": {"record_count": 100},
    }
    assert nights.night(2) == 3
    assert nights.night(2) == 3
    (change,), (failure,) = told("on_change"), told("on_failure")
    assert [one["change"] for one in change["changes"]] == ["became_suspect", "grew"], "the heaviest first"  # type: ignore[attr-defined]
    assert failure["problem_count"] == 1
    nights.ncbi.answers["11250"] = {"record_count": 20}
    assert nights.night(2, "--exit-code-on-change", "9") == 3
    assert [one["taxon"] for one in told("on_change")[1]["changes"]] == ["11250"]  # type: ignore[attr-defined]
    assert (told("on_change")[1]["change_count"], told("on_failure")[1]["problem_count"]) == (1, 1)
    nights.ncbi.answers["11520"] = {"record_count": 105}
    assert nights.night(2) == 3
    (moved,) = told("on_change")[2]["changes"]  # type: ignore[misc]
    assert (moved["taxon"], moved["change"], moved["record_count"]) == ("11520", "grew", 105), "it moved once more"
    assert len(told("on_failure")) == 2
    assert nights.night(3) == 3
    assert len(told("on_change")) == 3, "still suspect is no news"
    assert len(told("on_failure")) == 3
