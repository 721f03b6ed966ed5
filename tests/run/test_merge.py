"""Shards, merged, are what one run would have left: byte for byte, whatever their number, for the same questions."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from batchsum.config.taxa_lock import LockedTaxon, TaxaLock, write_lock
from batchsum.ncbi.taxonomy import TaxonNode
from batchsum.run import merge
from tests.builders.sharded_night import ShardedNight
from tests.fakes.scripted_ncbi import scripted_ncbi


@pytest.fixture
def night(tmp_path: Path) -> Iterator[ShardedNight]:
    with scripted_ncbi(rate_limit=None) as server:
        yield ShardedNight(tmp_path, server)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_merged_shards_are_one_run(night: ShardedNight, count: int) -> None:
    codes, asked = list[int](), []
    for night.night in (1, 2):
        codes.append(night.run("one"))
        asked.append(night.asked())
    for night.night in (1, 2):
        shards = night.shards(count, order=-1)
        assert night.merge("merged", shards) == codes[night.night - 1] == 3
        assert night.asked() == asked[night.night - 1]
    assert night.files("merged") == night.files("one")
    assert night.manifest("merged") == night.manifest("one")


def test_what_only_the_past_makes_doubtful_is_asked_again_while_merging(night: ShardedNight) -> None:
    night.merge("merged", night.shards(3))
    night.asked()
    night.night = 2
    shards = night.shards(3)
    before = night.ncbi.counts
    night.merge("merged", shards)
    again = night.asked() - before
    assert {question.partition("?")[0] for question in again} == {"31337", "31338", "777", "778"}
    assert set(again.values()) == {1}


def test_a_merge_needs_no_server_where_nothing_is_doubtful(tmp_path: Path) -> None:
    with scripted_ncbi(rate_limit=None) as server:
        night = ShardedNight(tmp_path, server)
        shards = night.shards(2)
    assert night.merge("merged", shards) == 3
    assert night.manifest("merged")["statuses"]["ok"] == 38


def test_a_merge_without_a_server_leaves_doubtful_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "LONGEST_OUTAGE", timedelta(0))
    with scripted_ncbi(rate_limit=None) as server:
        night = ShardedNight(tmp_path, server)
        night.merge("merged", night.shards(2))
        night.asked()
        night.night = 2
        shards = night.shards(2)
    assert night.merge("merged", shards) == 3
    # Of 777 and 778 three rows each, of 31337 and 31338 two: what rolls with the night is not held against the last.
    assert night.manifest("merged")["statuses"]["suspect"] == 12


def test_merging_again_changes_nothing(night: ShardedNight) -> None:
    shards = night.shards(3)
    assert night.merge("merged", shards) == 3
    manifest = (night.directory / "merged" / "run.json").read_bytes()
    assert night.merge("merged", shards[::-1]) == 3
    assert (night.directory / "merged" / "run.json").read_bytes() == manifest


def test_merging_again_after_the_store_was_lost_keeps_the_night(night: ShardedNight) -> None:
    shards = night.shards(3)
    night.merge("merged", shards)
    before = night.files("merged")
    state = night.directory / "merged/state.sqlite3"
    state.unlink()
    assert night.merge("merged", shards) == 3
    assert night.files("merged") == before
    with closing(sqlite3.connect(state)) as store:
        assert store.execute("SELECT today FROM runs").fetchall() == [(night.manifest("merged")["today"],)]


def test_shards_of_an_earlier_night_replace_no_later_one(
    night: ShardedNight, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = night.shards(2)
    night.merge("merged", shards)
    night.run("merged")
    assert night.merge("merged", shards) == 2
    assert "merged already" in capsys.readouterr().err


def test_a_merge_that_was_cut_off_goes_on(night: ShardedNight, monkeypatch: pytest.MonkeyPatch) -> None:
    night.run("one")
    night.merge("merged", night.shards(3))
    night.night = 2
    night.asked()
    night.run("one")
    once = night.asked()
    shards = night.shards(3)

    def cut_off(*_: object) -> None:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr("batchsum.run.night.stage_night", cut_off)
        assert night.merge("merged", shards) == 1
    assert night.merge("merged", shards) == 3
    assert night.asked() == once
    assert night.files("merged") == night.files("one")


def test_an_unfinished_run_gives_way_to_the_shards(night: ShardedNight, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = night.shards(2)
    night.run("one")
    with monkeypatch.context() as patched:
        patched.setattr("batchsum.run.night.stage_night", lambda *_: 1 / 0)
        assert night.run("merged") == 1
    assert night.merge("merged", shards) == 3
    assert night.files("merged") == night.files("one")


def test_a_merge_without_anything_usable_leaves_the_last_night_alone(night: ShardedNight) -> None:
    night.merge("merged", night.shards(2))
    before = night.files("merged")
    night.ncbi.otherwise = lambda question: {"record_count": 7} if question.taxon == "2697049" else (500, "oops")
    shards = night.shards(2)
    assert night.merge("merged", shards) == 4
    assert night.merge("merged", shards) == 4
    assert night.files("merged") == before


def test_the_table_of_a_run_is_no_shard(night: ShardedNight, capfd: pytest.CaptureFixture[str]) -> None:
    night.run("one")
    assert night.merge("merged", [night.directory / "one"]) == 2
    assert "one: this is the table of a run, and no shard" in capfd.readouterr().err


def test_hooks_of_a_merged_night_run_beside_the_job(
    night: ShardedNight, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    night.job.write_text(night.job.read_text() + "notify: {on_failure: [touch, told]}\n")
    monkeypatch.chdir(night.directory)
    night.job = Path(night.job.name)
    shards = night.shards(2)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert night.merge("merged", shards) == 3
    assert (night.directory / "told").exists()


def test_rows_are_accepted_where_the_shards_were_told_so(night: ShardedNight) -> None:
    night.merge("merged", night.shards(2))
    night.night = 2
    assert night.merge("merged", night.shards(2, "--accept", "31337")) == 3
    assert night.manifest("merged")["statuses"]["suspect"] == 3


def test_what_a_deadline_left_unasked_is_skipped(night: ShardedNight) -> None:
    night.ncbi.delay = lambda question: 0.2
    shards = night.shards(2, "--deadline", "1s")
    assert night.merge("merged", shards) in (3, 4)
    skipped = [json.loads((shard / "shard.json").read_text())["unanswered"] for shard in shards]
    assert night.manifest("merged")["statuses"]["skipped"] > 0 < sum(skipped)
    assert b"deadline: not asked within 1 s" in night.files("merged")["summary.csv"]


def change(name: str, value: Any) -> Callable[[list[Path]], list[Path]]:
    def change(shards: list[Path]) -> list[Path]:
        path = shards[1] / "shard.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
        return shards

    return change


def forget_an_answer(shards: list[Path]) -> list[Path]:
    with closing(sqlite3.connect(shards[1] / "state.sqlite3")) as state, state:
        state.execute("DELETE FROM answers WHERE request = (SELECT max(request) FROM answers)")
    return shards


def swap_states(shards: list[Path]) -> list[Path]:
    ids = [json.loads((shard / "shard.json").read_text())["run_id"] for shard in shards]
    (shards[0] / "state.sqlite3").replace(shards[0] / "kept")
    shutil.copy(shards[1] / "state.sqlite3", shards[0] / "state.sqlite3")
    change("run_id", ids[1])([shards[1], shards[0]])
    return shards


def unfinish(shards: list[Path]) -> list[Path]:
    (shards[1] / "shard.json").unlink()
    return shards


def garble(shards: list[Path]) -> list[Path]:
    (shards[1] / "shard.json").write_text("[]")
    return shards


def lose_the_job(shards: list[Path]) -> list[Path]:
    with closing(sqlite3.connect(shards[0] / "state.sqlite3")) as state, state:
        state.execute("UPDATE job SET copy = x'00'")
    return shards


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda shards: shards[:1], "missing: 2/2"),
        (lambda shards: [*shards, shards[0]], "2/1 and {0}/2/1 are both shard 1/2"),
        (lambda shards: [*shards, shards[0].parent / "nowhere"], "{0}/2/nowhere: no shard was run here"),
        (unfinish, "{0}/2/2: this shard is not finished; the same run command goes on"),
        (garble, "{0}/2/2/shard.json is not what a shard leaves"),
        (change("shard", "2/3"), "{0}/2/2 is shard 2/3, but {0}/2/1 is shard 1/2"),
        (change("job_hash", "0" * 64), "{0}/2/2 and {0}/2/1 differ in the rows of the job, or how they are judged"),
        (change("lock_digest", "0" * 64), "differ in the content of taxa.lock"),
        (change("today", "2026-01-01"), "differ in the day; set BATCHSUM_TODAY for all of them: 2026-01-01, "),
        (change("base_url", "http://127.0.0.1:1/v2"), "differ in the server asked: http://127.0.0.1:1/v2, "),
        (change("batchsum", "0.0.1"), "differ in the version of batchsum"),
        (forget_an_answer, "{0}/2/2: its answers are not those that its shard.json tells of"),
        (swap_states, "{0}/2/1: shard 1/2 holds /virus/taxon/"),
        (lose_the_job, "{0}/2/1: its job cannot be read"),
    ],
)
def test_shards_that_do_not_belong_together_are_refused_by_name(
    night: ShardedNight, capsys: pytest.CaptureFixture[str], damage: Callable[[list[Path]], list[Path]], words: str
) -> None:
    shards = damage(night.shards(2))
    night.ncbi.asked.clear()
    assert night.merge("merged", shards) == 2
    assert words.format(night.directory) in capsys.readouterr().err
    assert night.ncbi.asked == []
    assert not (night.directory / "merged" / "summary.csv").exists()


def test_a_table_does_not_go_into_one_of_its_shards(night: ShardedNight, capsys: pytest.CaptureFixture[str]) -> None:
    shards = night.shards(2)
    assert night.merge("2/1", shards) == 2
    assert "needs a directory of its own" in capsys.readouterr().err


def test_locked_names_are_asked_and_judged_by_their_lock(night: ShardedNight) -> None:
    above = TaxonNode(11320, "Alphainfluenzavirus influenzae", "species", (10239,))
    below = TaxonNode(31338, "H1N1", "no rank", (10239, 11320))
    taxa = {
        "11320": above,
        "31338": below,
        "Lake trout rhabdovirus 903/87": TaxonNode(777, "Lake", "species", (10239,)),
    }
    lock = TaxaLock({name: LockedTaxon(node, "2026-11-01") for name, node in taxa.items()})
    write_lock(night.directory / "taxa.lock", lock)
    night.ncbi.answers = {"31338": {"record_count": 5000}}
    night.run("one")
    night.asked()
    shards = night.shards(3)
    (night.directory / "taxa.lock").unlink()
    assert night.merge("merged", shards) == 3
    assert b"exceeds_wider: 5,000 here, but 1,035 in 11320 all" in night.files("merged")["summary.csv"]
    assert night.files("merged") == night.files("one")
    assert night.manifest("merged") == night.manifest("one")


def test_the_job_file_may_be_gone(night: ShardedNight) -> None:
    night.run("one")
    shards = night.shards(2)
    night.job.unlink()
    assert night.merge("merged", shards) == 3
    assert night.files("merged") == night.files("one")


def test_shards_may_lie_where_the_name_is_no_utf_8(night: ShardedNight) -> None:
    shards = night.shards(2)
    elsewhere = shards[0].parent.rename(night.directory / "\udcff")
    assert night.merge("merged", [elsewhere / one.name for one in shards]) == 3
