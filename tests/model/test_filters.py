"""Text to filter values."""

import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.model.filters import (
    USA_STATES,
    FilterSet,
    midnight_before,
    parse_accession,
    parse_boolean,
    parse_duration,
    parse_moment,
    parse_report_type,
    parse_sequence_type,
    parse_taxon,
    parse_text,
    parse_usa_state,
)


@pytest.mark.parametrize(
    "text",
    ["2697049", "1", "2147483647", "Influenza A virus", "A/goose/Guangdong/1/96", "é", "流感", "O'nyong-nyong virus",
     "229E", "v" * 200, "virus: strain #1", "...", "1-Jan-virus", "HCoV-229E", "Severe acute respiratory syndrome 2"],
)  # fmt: skip
def test_taxa_as_written(text: str) -> None:
    assert parse_taxon(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0011320", "'0011320' has leading zeros; write 11320"),
        ("00", "0 is not an NCBI Taxonomy ID"),
        ("2147483648", "2147483648 is too large for an NCBI Taxonomy ID"),
        ("11320.0", "'11320.0' looks like an id that went through a spreadsheet; write 11320"),
        ("1.1E+06", "'1.1E+06' is an id that a spreadsheet has rounded; write the id out in digits"),
        ("1 335 626", "write 1335626 without separators"),
        ("12.5", "'12.5' is neither an NCBI Taxonomy ID (digits only) nor a name"),
        ("2-Jan", "'2-Jan' is a name that a spreadsheet has turned into a date; write the name"),
        ("..", "'..' is not the name of a taxon"),
        ("", "is empty; write a Taxonomy ID or a name, or remove the entry"),
        (" x", "has blanks around it; write 'x'"),
        ("v" * 201, "has 201 characters; at most 200 are allowed"),
        ("a\u202eb", "has an invisible character, U+202E (RIGHT-TO-LEFT OVERRIDE); remove it"),
        ("a\ud800b", "has an invisible character, U+D800 (a control character); remove it"),
    ],
)
def test_what_is_no_taxon(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        parse_taxon(text)


@given(st.text(max_size=210))
def test_a_taxon_comes_back_as_written_or_not_at_all(text: str) -> None:
    try:
        assert parse_taxon(text) == text
    except ValueError:
        return
    assert 1 <= len(text) <= 200
    assert text.strip() == text
    assert text not in (".", "..")
    assert text.isprintable() or any(ord(one) > 127 for one in text)


@given(st.from_regex(r"[ -~]{1,60}", fullmatch=True))
def test_the_short_way_lets_nothing_pass_that_the_long_way_refuses(text: str) -> None:
    # A letter outside ASCII keeps the short way out; nothing else about the text changes.
    def verdict(one: str) -> bool:
        try:
            parse_text(one)
        except ValueError:
            return False
        return True

    if not text.endswith(" "):
        assert verdict(text) == verdict(text + "é")


def test_no_message_repeats_a_key() -> None:
    key = "0123456789abcdef0123456789abcdef0123"
    for parse in (parse_text, parse_taxon, parse_accession, parse_usa_state):
        with pytest.raises(ValueError, match="looks like an NCBI API key") as caught:
            parse(key)
        assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2025-01-15", date(2025, 1, 15)), ("2025-01-15T00:00:00Z", date(2025, 1, 15)),
        ("2025-01-15T00:00:00.000000+0000", date(2025, 1, 15)), ("2024-02-29", date(2024, 2, 29)),
        ("7d", timedelta(days=7)), ("2w", timedelta(days=14)), ("48h", timedelta(days=2)), ("0d", timedelta()),
    ],
)  # fmt: skip
def test_moments(text: str, value: date | timedelta) -> None:
    assert parse_moment(text) == value


def test_no_days_back_is_a_date() -> None:
    """What is released since tonight's midnight is another question than all there is, and known as another one."""
    tonight = FilterSet(released_since="0d")
    assert tonight.canonical() == tonight.text() == "released_since=0d"
    assert tonight.cells()["released_since"] == "0d"
    with pytest.raises(ValueError, match="released_since is relative"):
        list(tonight.parameters())


@pytest.mark.parametrize(
    "text", ["2025-1-15", "15.01.2025", "20250115", "2025-02-29", "2025-01-15T12:00:00Z", "25h", "7", "d", "-7d",
             "7 days", "today", "2025-01-15T00:00:00+01:00", "1000000000d", "٣d"],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_moment(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [("30s", 30), ("10m", 600), ("6h", 21600), ("7d", 604800), ("2w", 1209600)],
)
def test_durations(text: str, length: int) -> None:
    assert parse_duration(text) == timedelta(seconds=length)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("TRUE", True), ("Yes", True), ("false", False), ("no", False)]
)
def test_booleans(text: str, value: bool) -> None:
    assert parse_boolean(text) is value


def test_states_and_territories() -> None:
    assert parse_usa_state("pr") == "PR"
    assert len(USA_STATES) == 56
    with pytest.raises(ValueError, match="write NY"):
        parse_usa_state("new york")


@pytest.mark.parametrize("text", ["NC_038294.1", "MN908947.3", "mn908947", "OX014251.1", "AY274119"])
def test_accessions(text: str) -> None:
    assert parse_accession(text) == text


def test_enumerations_take_ncbis_own_example_and_lower_case() -> None:
    assert parse_report_type("BIOSAMPLE") == "BIOSAMPLE_REPORT"
    assert parse_report_type("annotation") == "ANNOTATION"
    assert parse_sequence_type("genome") == "GENOME"
    with pytest.raises(ValueError, match="did you mean PROTEIN"):
        parse_sequence_type("PROTEINS")


def test_a_relative_date_counts_from_midnight() -> None:
    assert midnight_before(timedelta(days=7), date(2025, 3, 1)) == date(2025, 2, 22)
    assert midnight_before(timedelta(days=36500), date(50, 1, 1)) == date.min
