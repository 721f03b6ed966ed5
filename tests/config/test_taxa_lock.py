"""taxa.lock: what it says survives the way to the file and back, and what is wrong in it is told with its place."""

import stat
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.config.taxa_lock import NO_LOCK, TaxaLock, lock_file, read_lock, write_lock
from batchsum.errors import JobFileError, OutputError
from batchsum.model.filters import parse_taxon
from batchsum.ncbi.taxonomy import Name, TaxonNode
from batchsum.text import one_line

DAY = date(2026, 11, 23)
FLU = TaxonNode(11320, "Influenza A virus", "no rank", (1, 10239, 2955291))
SPECIES = TaxonNode(2955291, "Alphainfluenzavirus influenzae", "species", (1, 10239))

TEXT = """\
# batchsum taxa.lock 1
# Written by `batchsum check JOB --online`: each taxon is asked by the id beside it. Keep this file with the job.
# To follow a name that has moved, remove its line and check again.
taxon	tax_id	scientific_name	rank	lineage	locked_on
11320	11320	Influenza A virus	no rank	1 10239 2955291	2026-11-23
2955291	2955291	Alphainfluenzavirus influenzae	species	1 10239	2026-11-23
#flu	11320	Influenza A virus	no rank	1 10239 2955291	2026-11-23
influenza a	11320	Influenza A virus	no rank	1 10239 2955291	2026-11-23
"""


def locked(*names: Name, day: date = DAY, lock: TaxaLock = NO_LOCK) -> TaxaLock:
    return lock.with_names(names, day)


def four_names() -> TaxaLock:
    asked = {"influenza a": FLU, "2955291": SPECIES, "#flu": FLU, "11320": FLU}
    return locked(*(Name(text, (node,)) for text, node in asked.items()))


def problems(path: Path, text: str | bytes) -> list[tuple[int, int]]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(JobFileError) as caught:
        read_lock(path)
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    return [(problem.line, problem.column) for problem in caught.value.problems]


def test_the_file_is_one_line_a_taxon_in_an_order_of_its_own(tmp_path: Path) -> None:
    path = lock_file(tmp_path / "job.yaml")
    assert path == tmp_path / "taxa.lock"
    assert write_lock(path, four_names())
    assert path.read_text() == TEXT
    assert [entry.name for entry in tmp_path.iterdir()] == ["taxa.lock"]


def test_what_is_written_twice_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "taxa.lock"
    write_lock(path, four_names())
    before = path.stat().st_ino
    assert not write_lock(path, read_lock(path))
    assert path.stat().st_ino == before


def test_a_link_and_a_mode_outlive_a_new_version(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    target = tmp_path / "shared" / "names"
    target.write_text("")
    target.chmod(0o640)
    (tmp_path / "taxa.lock").symlink_to(target)
    write_lock(tmp_path / "taxa.lock", four_names())
    assert (tmp_path / "taxa.lock").is_symlink()
    assert target.read_text() == TEXT
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_lock_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "taxa.lock").mkdir()
    with pytest.raises(OutputError, match=r"taxa\.lock"):
        write_lock(tmp_path / "taxa.lock", four_names())


def test_a_lock_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "taxa.lock").mkdir()
    with pytest.raises(JobFileError, match=r"taxa\.lock:1:1: this is a directory, and not a file"):
        read_lock(tmp_path / "taxa.lock")


def test_without_a_lock_names_are_asked_as_written(tmp_path: Path) -> None:
    lock = read_lock(tmp_path / "taxa.lock")
    assert (len(lock), lock.asked_as("MERS"), lock.ancestors("MERS"), lock.tax_id("MERS")) == (0, "MERS", (), None)
    assert (lock.tax_id("11320"), lock.tax_id("²")) == (11320, None), "an id is known by itself"


def test_a_lock_that_was_read_knows_ids_and_lineages(tmp_path: Path) -> None:
    path = tmp_path / "taxa.lock"
    # As an editor on Windows leaves it.
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    lock = read_lock(path)
    assert lock.text() == TEXT
    assert lock.asked_as("influenza a") == "11320"
    assert lock.ancestors("#flu") == (1, 10239, 2955291)
    assert lock.ancestors_among(["influenza a", "2955291", "10239"]) == {2955291}
    assert lock.ancestors_among(["influenza a"]) == set()


def test_a_locked_name_keeps_its_id() -> None:
    lock = locked(Name("flu", (FLU,)))
    moved = locked(Name("flu", (SPECIES,)), day=date(2027, 1, 1), lock=lock)
    assert moved.asked_as("flu") == "11320"
    assert moved.text() == lock.text()


def test_what_is_said_of_a_locked_id_is_brought_up_to_date() -> None:
    renamed = TaxonNode(11320, "Influenza A", "no rank", (1, 10239, 3))
    lock = locked(Name("flu", (renamed,)), day=date(2027, 1, 1), lock=locked(Name("flu", (FLU,))))
    assert lock.text().splitlines()[-1] == "flu\t11320\tInfluenza A\tno rank\t1 10239 3\t2027-01-01"


def test_only_one_virus_alone_is_locked() -> None:
    human = TaxonNode(9606, "Homo sapiens", "species", (1, 131567))
    lock = locked(Name("unknown"), Name("several", (FLU, SPECIES)), Name("human", (human,)), Name("flu", (FLU,)))
    assert [text for text in ("unknown", "several", "human", "flu") if text in lock] == ["flu"]


@pytest.mark.parametrize(
    ("change", "places"),
    [
        (("# batchsum taxa.lock 1", "# batchsum taxa.lock 2"), [(1, 1)]),
        (("taxon\ttax_id", "taxon\tid"), [(4, 1)]),
        (("11320\t11320\t", "11320\tflu\t"), [(5, 1)]),
        (("11320\t11320\t", "011320\t0\t"), [(5, 1)]),
        (("11320\t11320\t", "11320\t2147483648\t"), [(5, 1)]),
        (("species\t1 10239", "species\t1  10239"), [(6, 1)]),
        (("#flu\t", "influenza a\t"), [(8, 1)]),
        (("#flu\t", "#flu "), [(7, 1)]),
        (("2955291\t2026-11-23\n2955291", "2955291\t2026-13-23\n2955291"), [(5, 1)]),
        (("#flu", "<<<<<<< mine\n#flu"), [(7, 1)]),
        (("#flu", "=======\n#flu"), [(7, 1)]),
    ],
)
def test_each_problem_is_told_with_its_place(
    tmp_path: Path, change: tuple[str, str], places: list[tuple[int, int]]
) -> None:
    assert TEXT.count(change[0]) >= 1
    assert problems(tmp_path / "taxa.lock", TEXT.replace(*change, 1)) == places


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    assert problems(tmp_path / "taxa.lock", b"\xff\xfe#") == [(1, 1)]
    assert problems(tmp_path / "taxa.lock", b"") == [(1, 1)]


def is_taxon(text: str) -> bool:
    try:
        parse_taxon(text)
    except ValueError:
        return False
    return True


taxa = st.text(min_size=1, max_size=40).filter(is_taxon)
nodes = st.builds(
    TaxonNode,
    tax_id=st.integers(1, 2**31 - 1),
    scientific_name=st.text(max_size=40).map(one_line),
    rank=st.sampled_from(["species", "no rank"]),
    parents=st.just(()) | st.lists(st.integers(1, 2**31 - 1), max_size=5).map(lambda ids: (10239, *ids)),
)


@given(names=st.dictionaries(taxa, nodes, max_size=8))
def test_any_name_survives_the_file(tmp_path_factory: pytest.TempPathFactory, names: dict[str, TaxonNode]) -> None:
    path = tmp_path_factory.mktemp("lock") / "taxa.lock"
    lock = locked(*(Name(text, (node,)) for text, node in names.items()))
    write_lock(path, lock)
    again = read_lock(path)
    assert again.text() == lock.text()
    for text, node in names.items():
        assert (again.tax_id(text), again.ancestors(text)) == (node.tax_id, node.parents)


@given(st.binary(max_size=200))
def test_whatever_stands_there_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    path = tmp_path_factory.mktemp("lock") / "taxa.lock"
    head = TEXT.encode().partition(b"11320")[0]
    path.write_bytes(head + rest)
    try:
        lock = read_lock(path)
    except JobFileError:
        return
    write_lock(path, lock)
    assert read_lock(path).text() == lock.text()
