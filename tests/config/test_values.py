"""Text to setting values, as job files and options write them."""

from datetime import timedelta
from pathlib import Path

import pytest

from batchsum.config import values
from batchsum.config.load import load_job
from batchsum.errors import JobFileError
from batchsum.ncbi.urls import check_base_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.ncbi.nlm.nih.gov/datasets/v2", "https://api.ncbi.nlm.nih.gov/datasets/v2"),
        ("https://proxy.lab.org:8443/", "https://proxy.lab.org:8443"),
        ("http://127.0.0.1:8765/datasets/v2/", "http://127.0.0.1:8765/datasets/v2"),
        ("http://127.8.8.8", "http://127.8.8.8"),
        ("http://[::1]:8765", "http://[::1]:8765"),
        ("http://localhost:1", "http://localhost:1"),
    ],
)
def test_addresses(text: str, url: str) -> None:
    assert check_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["http://localhost.example.org", "http://127.0.0.1.example.org", "http://128.0.0.1", "http://[2001:db8::1]",
     "http://0.0.0.0", "http://2130706433"],
)  # fmt: skip
def test_plain_http_elsewhere_must_be_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is not encrypted"):
        check_base_url(text)
    assert check_base_url(text, allow_http=True) == text


@pytest.mark.parametrize(
    "text",
    ["", "https://", "https:///v2", "file:///etc/passwd", "https://a b.org", "https://a.org\\@b.org", "https://a.org#x",
     "https://a.org?", "https://me:secret@a.org", "https://[::1", "https://a.org:0", "https://a.org\n"],
)  # fmt: skip
def test_what_is_no_address_is_none_whatever_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_base_url(text, allow_http=True)
    assert "secret" not in str(caught.value)


def test_http_is_allowed_wherever_the_key_stands(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    for keys in ("base_url: 'http://lab', allow_http: true", "allow_http: true, base_url: 'http://lab'"):
        path.write_text(f"version: 1\ntaxa: [1]\napi: {{{keys}}}\n")
        assert load_job(path).api.base_url == "http://lab"
    path.write_text("version: 1\ntaxa: [1]\napi: {base_url: 'http://lab', allow_http: false}\n")
    with pytest.raises(JobFileError):
        load_job(path)


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0%", 0.0), ("100 %", 1.0), ("12.5%", 0.125)])
def test_percentages(text: str, share: float) -> None:
    assert values.parse_percent(text) == share


@pytest.mark.parametrize(
    ("text", "hint"), [("20", "20%"), ("0.2", "20%"), ("1", "100%"), ("500", "20%"), ("-5%", "as in")]
)
def test_a_number_is_no_percentage(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        values.parse_percent(text)


@pytest.mark.parametrize(("text", "rate"), [("auto", "auto"), ("unlimited", "unlimited"), ("3", 3.0), ("0.5", 0.5)])
def test_rates(text: str, rate: float | str) -> None:
    assert values.parse_requests_per_second(text) == rate


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "inf", "nan", "1e3", "", "10/s", "٣"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        values.parse_requests_per_second(text)


@pytest.mark.parametrize("text", ["1s", "60s", "1h"])
def test_timeouts(text: str) -> None:
    assert timedelta(seconds=1) <= values.parse_timeout(text) <= timedelta(hours=1)


@pytest.mark.parametrize("text", ["me@lab.org", "https://lab.org/people/me", "first.last+batch@uni.example.ac.uk"])
def test_contacts(text: str) -> None:
    assert values.parse_contact(text) == text


@pytest.mark.parametrize(
    "text", ["me", "me@", "ftp://lab.org", "me@lab.org (me)", "mé@lab.org", "a@b\tc", "me@lab.org\r\nX: 1"]
)
def test_what_cannot_stand_in_a_header(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        values.parse_contact(text)
