"""Broken job files, each beside the problems that must be told of it: all of them, in order, and no others.

`broken_jobs/NAME.yaml.problems` holds what `NAME.yaml` is refused with, one problem a line.
"""

from pathlib import Path

import pytest

from batchsum.config import csv_list
from batchsum.config.load import load_job
from batchsum.errors import JobFileError

FOLDER = Path(__file__).parent / "broken_jobs"
CASES = sorted(path.name.removesuffix(".problems") for path in FOLDER.glob("*.problems"))
SECRET = "0123456789abcdef0123456789abcdef0123"


def problems_of(path: str | Path) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    assert caught.value.exit_code == 2
    assert SECRET not in str(caught.value), "nor in a warning"
    assert "not-to-be-repeated" not in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("case", CASES)
def test_every_problem_is_told_and_nothing_else(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    problems = problems_of(case)
    assert problems == Path(f"{case}.problems").read_text().splitlines(), f"broken_jobs/{case}.problems"
    assert SECRET not in "\n".join(problems)
    assert "not-to-be-repeated" not in "\n".join(problems)


def test_there_are_more_than_a_hundred() -> None:
    assert len(CASES) > 200


def test_the_message_holds_every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(JobFileError) as caught:
        load_job("everything_at_once.yaml")
    assert str(caught.value) == Path("everything_at_once.yaml.problems").read_text().rstrip("\n")


def test_files_are_called_as_the_user_called_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent)
    problems = problems_of("broken_jobs/file_missing.yaml")
    assert problems == [
        "broken_jobs/file_missing.yaml:2:14: taxa_files: broken_jobs/no_such_list.csv: this file does not exist"
    ]


def test_a_job_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    assert problems_of(path) == [f"{path}:1:1: this file does not exist"]


def test_a_directory_in_place_of_a_job_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == [
        f"{tmp_path}:1:1: this is a directory, and not a file; name a file in it, or move it away"
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[" * 100_000, "1:51"),
        ("- " * 100_000 + "x", "1:101"),
        ("{a: " * 100_000, "1:201"),
        ("".join(" " * depth + "a:\n" for depth in range(200)), "51:51"),
    ],
    ids=["brackets", "dashes", "braces", "indented"],
)
def test_deep_nesting_is_refused_and_ends_no_process(text: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    assert problems_of(path) == [f"{path}:{place}: nested more than 50 deep"]


def test_aliases_that_explode(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = tmp_path / "job.yaml"
    path.write_text("\n".join(lines))
    (problem,) = problems_of(path)
    assert problem.endswith("aliases repeat more than 100,000 values; write fewer")


def test_aliases_that_nest_deeper_than_brackets_may(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60))]
    path = tmp_path / "job.yaml"
    path.write_text("\n".join(lines))
    (problem,) = problems_of(path)
    assert problem.endswith("nested more than 50 deep")


def test_more_yaml_than_anybody_writes(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("version: 1\n#" + "x" * 10_000_000)
    assert problems_of(path) == [f"{path}:1:1: more than 10 MB of YAML; move the taxa into a CSV, named by taxa_files"]


def test_more_rows_than_a_job_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert csv_list.MOST_ROWS == 1_000_000
    monkeypatch.setattr(csv_list, "MOST_ROWS", 1_000)
    path = tmp_path / "taxa.csv"
    path.write_text("taxon\n" + "11320\n" * 1_001)
    assert f"{path}:1002:1: more than 1,000 rows; make several jobs of them" in problems_of(path)
    path.write_text("taxon\n" + "11320\n" * 1_000)
    assert len(load_job(path).taxa) == 1_000


def test_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "taxa.csv"
    path.write_text("taxon\n" + "x" * 1_000_001)
    assert problems_of(path) == [f"{path}:2:1: a line of more than 1,000,000 characters"]


def test_what_is_wrong_in_every_row_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "taxa.csv"
    path.write_text("taxon\n" + "".join(f"00{number}\n" for number in range(11_000, 31_000)))
    assert problems_of(path) == [
        f"{path}:2:1: taxon: '0011000' has leading zeros; write 11000"
        " (20,000 rows like this: lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...)"
    ]
