"""What a data report holds, counted in one pass."""

import gzip
import json
import os
import sys
import threading
import zipfile
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

import pytest

from batchsum.config.taxa_lock import LockedTaxon, TaxaLock
from batchsum.ncbi.taxonomy import TaxonNode
from batchsum.run.holdings.count import count_held
from batchsum.run.holdings.package import HoldingError, open_report
from tests.run.holdings.reports import (
    CORONAVIRIDAE,
    HUMAN,
    MAMMALS,
    SARS1,
    SARS2,
    SPECIES,
    VIRUSES,
    lines,
    organism,
    record,
    snake_cased,
    want,
    write,
)  # fmt: skip

LAST = date(2025, 4, 1)
THREE = [record(1), record(2, releaseDate="2025-03-01T00:00:00Z"), record(3, SARS1)]


@pytest.mark.parametrize("form", ["plain", "gzip", "zip"])
def test_what_a_file_tells(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "report", THREE, form)
    os.utime(path, (0, datetime(2026, 11, 4, 23, tzinfo=UTC).timestamp()))
    held = count_held(path, SPECIES, [want(SPECIES), want(SARS2), want(SARS2, released_since="2025-04-01")])
    assert held.counts == (3, 2, 1)
    assert (held.total, held.newest, held.unreadable) == (3, LAST, (0, 0))
    assert held.released == {LAST: 2, date(2025, 3, 1): 1}
    assert held.covers == {SPECIES, SARS1, SARS2}
    assert count_held(path, SPECIES, []).total == 3
    # The zip has a day of its own, in the entry that has one at all.
    assert held.day == (date(2026, 11, 3) if form == "zip" else date(2026, 11, 4))


def test_both_spellings_count_the_same(tmp_path: Path) -> None:
    fields = {
        "location": {"geographicLocation": "USA: Boston, MA", "geographicRegion": "North America", "usaState": "MA"},
        "completeness": "COMPLETE",
        "isAnnotated": True,
        "sourceDatabase": "RefSeq",
        "updateDate": "2025-05-01T00:00:00Z",
        "virus": organism(SARS2, pangolinClassification="XFG"),
        "host": organism(HUMAN, commonName="human"),
    }
    wanted = [
        want(usa_state="MA"), want(geo_location="USA"), want(geo_location="North America"), want(complete_only=True),
        want(annotated_only=True), want(refseq_only=True), want(updated_since="2025-05-01"), want(host="human"),
        want(pangolin_classification="XFG"), want(released_since="2025-04-01"),
    ]  # fmt: skip
    camel = [record(1, **fields), record(2)]
    told = [
        count_held(write(tmp_path / name, content), SARS2, wanted)
        for name, content in (("camel", camel), ("snake", snake_cased(camel)))
    ]
    assert told[0].counts == told[1].counts == (*(1,) * 7, 2, 1, 2)
    assert told[0].covers == told[1].covers


def test_an_accession_counts_once(tmp_path: Path) -> None:
    odd = [record(accession=text) for text in ("PP1", "1", "1.1", "LAB_x", "LAB_x.2", "LAB_100", "LAB_00")]
    held = count_held(write(tmp_path / "report", [*THREE, *THREE[:2], *odd]), VIRUSES, [want(VIRUSES)])
    assert held.counts == (8,)
    assert (held.total, sum(held.released.values())) == (8, 8)


def test_a_taxon_is_known_by_records_by_lock_or_not_at_all(tmp_path: Path) -> None:
    lock = TaxaLock({"HKU1": LockedTaxon(TaxonNode(290028, "HKU1", parents=(VIRUSES, CORONAVIRIDAE)), "2026-11-01")})
    path = write(tmp_path / "report", THREE)
    wanted = [
        want(None, "betacoronavirus PANDEMICUM"), want(290028, "HKU1"), want(290028, "290028"),
        want(VIRUSES), want(None, "Flu"), want(CORONAVIRIDAE),
    ]  # fmt: skip
    assert count_held(path, CORONAVIRIDAE, wanted, lock=lock).counts == (3, 0, None, None, None, 3)


def test_a_host_is_known_by_every_name_that_one_record_has(tmp_path: Path) -> None:
    twins = [{"taxId": 1000 + number, "organismName": "twin"} for number in range(2)]
    hosts = [organism(HUMAN), organism(HUMAN, commonName="Human"), organism(MAMMALS), None, *twins, {}]
    path = write(tmp_path / "report", [record(number, host=host) for number, host in enumerate(hosts)])
    names = ("human", "homo SAPIENS", "9606", "mammalia", "9031", "Unicorn", "twin")
    assert count_held(path, SARS2, [want(host=name) for name in names]).counts == (2, 2, 2, 3, 0, None, None)
    path = write(tmp_path / "report", [record()])
    assert count_held(path, SARS2, [want(host="Human"), want(host="Unicorn")]).counts == (1, None)


def test_what_a_record_does_not_tell_no_filter_finds(tmp_path: Path) -> None:
    bare = {"accession": "X1.1", "virus": {"taxId": SARS2}, "host": None, "location": None, "releaseDate": "soon"}
    wanted = [
        want(), want(released_since="2000-01-01"), want(updated_since="2000-01-01"), want(geo_location="USA"),
        want(host="9606"), want(released_since="2000-01-01", released_before="2030-01-01"),
    ]  # fmt: skip
    held = count_held(write(tmp_path / "report", [bare]), SARS2, wanted)
    assert held.counts == (1, 0, 0, 0, 0, 0)
    assert (held.newest, held.released) == (None, {})


def test_lines_that_are_no_record_are_counted_and_named(tmp_path: Path) -> None:
    bad = [b"[]", b'{"accession": "X2"}', b'{"accession": "X3", "virus": {"taxId": "many"}}', b"\xff", b"[" * 50_000,
           b'{"x": "' + b"x" * 5_000_000 + b'"}']  # fmt: skip
    content = b"\n".join([b"\xef\xbb\xbf" + lines([record(1)]), b"", *bad, lines([record(2)])])
    held = count_held(write(tmp_path / "report", content), SARS2, [want()])
    assert held.counts == (2,)
    assert held.unreadable == (len(bad), 4)


def test_a_relative_date_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        count_held(write(tmp_path / "report", THREE), SARS2, [want(released_since="7d")])


def test_progress_may_end_the_reading(tmp_path: Path) -> None:
    told: list[int] = []

    def stop(number: int) -> None:
        told.append(number)
        if number == 2000:
            raise KeyboardInterrupt

    path = write(tmp_path / "report", [record(number) for number in range(3000)])
    with pytest.raises(KeyboardInterrupt):
        count_held(path, SARS2, [want()], progress=stop)
    assert told == [1000, 2000]


@pytest.mark.parametrize("form", ["plain", "gzip", "zip"])
def test_no_thread_outlives_a_reading_that_ends_early(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "report", [record(number) for number in range(5000)], form)
    before = threading.enumerate()
    for stop_after in (0, 1, 2):
        with open_report(path) as report:
            assert len(list(islice(report.blocks, stop_after))) <= stop_after
        assert threading.enumerate() == before


def test_a_record_takes_one_line(tmp_path: Path) -> None:
    for end in ("\n", "\r\n"):
        pretty = "".join(json.dumps(record(number), indent=1).replace("\n", end) + end for number in range(300))
        assert "(line 1: {)" in refusal(write(tmp_path / "report", pretty.encode()))


def test_files_joined_without_a_line_end_and_blank_lines_between_records_lose_none(tmp_path: Path) -> None:
    joined = lines([record(1)]).strip() + lines([record(2)]) + b"\n \n" + lines([record(3)]) + b"broken\n"
    for form in ("plain", "gzip"):
        held = count_held(write(tmp_path / "report", joined, form), SARS2, [])
        assert (held.total, held.unreadable) == (3, (1, 5))


def test_a_gzip_file_of_several_members(tmp_path: Path) -> None:
    members = b"".join(gzip.compress(lines([record(number)])) for number in range(300))
    for padding in (b"", b"\0" * 100_000):
        path = write(tmp_path / "report", gzip.compress(b"") + padding + members + padding)
        assert count_held(path, SARS2, [want()]).counts == (300,)
    assert "cut off or damaged" in refusal(write(tmp_path / "report", members + b"garbage"))
    assert "cut off or damaged" in refusal(write(tmp_path / "report", members[:-1]))


# What is wrong with a file is said, and nothing is counted.


def refusal(path: Path, taxon: int = SARS2) -> str:
    with pytest.raises(HoldingError) as refused:
        count_held(path, taxon, [want()])
    message = str(refused.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize("form", ["gzip", "zip"])
def test_a_package_that_is_cut_off(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "report", [record(number) for number in range(500)], form)
    path.write_bytes(path.read_bytes()[:-20])
    assert "cut off or damaged" in refusal(path)


@pytest.mark.parametrize("form", ["gzip", "zip"])
def test_a_package_that_is_damaged(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "report", [record(number) for number in range(500)], form)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert "cut off or damaged" in refusal(path)


def test_a_package_with_a_damaged_name(tmp_path: Path) -> None:
    path = tmp_path / "report.zip"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("données.txt", "")  # as UTF-8, which the entry says of itself
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xc3\xc3"))
    assert "cut off or damaged" in refusal(path)


def test_half_a_last_line(tmp_path: Path) -> None:
    whole, says = lines(THREE), " breaks off within its last line; download it again"
    assert refusal(write(tmp_path / "report", whole[:-9])) == says
    assert refusal(write(tmp_path / "report", whole + b"[" * 100_000)) == says
    assert count_held(write(tmp_path / "report", whole[:-1]), VIRUSES, [want(VIRUSES)]).counts == (3,)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", " is empty"),
        (b"\n\n", "no record in it"),
        (lines(THREE).decode().encode("utf-16"), " is UTF-16"),
        (b'{"reports":[' + b" " * 10_000_000, "(--as-json-lines)"),
        (bytes(10_000_000), "no report of virus genomes (line 1: "),
        (b'{"accession":"GCF_1.1","assemblyInfo":{}}\n', "a report of genome assemblies"),
        (b'{"reports":[{"accession":"X1.1"}],"total_count":1}\n', "(--as-json-lines)"),
        (b"Accession\tVirus\nX1\tFlu\n", "no report of virus genomes (line 1: Accession Virus)"),
        (lines([record(1, SARS1)]), f"no record of {SARS2} or below, but of {SARS1}"),
    ],
)
def test_another_file(tmp_path: Path, content: bytes, says: str) -> None:
    assert says in refusal(write(tmp_path / "report", content))


def test_a_package_without_a_report(tmp_path: Path) -> None:
    path = write(tmp_path / "report.zip", THREE, "zip")
    path.write_bytes(path.read_bytes().replace(b"/data_report.jsonl", b"/data_tables.jsonl"))
    assert "has no files data_report.jsonl in it" in refusal(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "is no file; name the zip" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in refusal(tmp_path / "pipe")
    assert refusal(tmp_path / "none.zip") == ": No such file or directory"


def test_a_file_that_is_written_to_while_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "report", [record(number) for number in range(1000)])

    def write_on(number: int) -> None:
        with path.open("ab") as file:
            file.write(lines([record(9999)]))

    with pytest.raises(HoldingError, match="was written to while it was read"):
        count_held(path, SARS2, [want()], progress=write_on)


def test_a_file_that_is_replaced_while_it_is_read_counts_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "report", [record(number) for number in range(1000)], "zip")
    newer = write(tmp_path / "newer", THREE, "zip")

    def replace(number: int) -> None:
        newer.replace(path)

    assert count_held(path, SARS2, [want()], progress=replace).counts == (1000,)
    assert count_held(path, VIRUSES, [want(VIRUSES)]).counts == (3,)


def test_without_the_reader_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "batchsum.run.holdings.record", None)  # as where msgspec is not installed
    assert "pip install '.[holdings]' in a clone" in refusal(write(tmp_path / "report", THREE))


def test_a_package_that_is_encrypted(tmp_path: Path) -> None:
    path = write(tmp_path / "report.zip", THREE, "zip")
    package = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := package.find(start, place + 1)) >= 0:
            package[place + flags] |= 1
    path.write_bytes(package)
    assert " is encrypted; download it again" in refusal(path)


def test_a_package_with_a_date_that_is_none_has_the_files_day(tmp_path: Path) -> None:
    path = write(tmp_path / "report.zip", THREE, "zip")
    package = bytearray(path.read_bytes())
    place = -1
    while (place := package.find(b"PK\x01\x02", place + 1)) >= 0:
        package[place + 14 : place + 16] = (46 << 9).to_bytes(2, "little")  # 2026, month zero
    path.write_bytes(package)
    os.utime(path, (0, datetime(2026, 11, 4, 23, tzinfo=UTC).timestamp()))
    assert count_held(path, SPECIES, []).day == date(2026, 11, 4)
