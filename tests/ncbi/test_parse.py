"""Bytes to Summary or Failure: exactly what the specification promises is data, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsum.model.filters import FilterSet
from batchsum.model.queries import FILE_KINDS, Failure, FileSummary, Package, Request, Summary
from batchsum.ncbi.parse import MOST_MESSAGES, parse_answer
from batchsum.ncbi.refusals import is_refusal, message_and_code
from batchsum.text import LONGEST_DETAIL, one_line
from tests.fakes.raw_server import DUPLICATE_KEYS, NAN_JSON, NESTED_JSON

WHOLE = {
    "record_count": 1234,
    "assembly_count": 1234,
    "resource_updated_on": "2025-01-15T08:30:00.123456Z",
    "hydrated": {"estimated_file_size_mb": 12, "url": "https://h/x?a=b", "cli_download_command_line": "datasets d"},
    "dehydrated": {
        "estimated_file_size_mb": 1,
        "url": "https://d",
        "cli_download_command_line": "datasets e",
        "cli_rehydrate_command_line": "datasets r",
    },
    "available_files": {kind: {"file_count": 1, "size_mb": 0.5} for kind in FILE_KINDS},
    "messages": [{"warning": {"message": "one was replaced", "reason": "MERGED"}}],
}


def parse(document: Any, status: int = 200) -> Summary | Failure:
    return parse_answer(status, json.dumps(document).encode())


def summary(document: Any) -> Summary:
    answer = parse(document)
    assert isinstance(answer, Summary), answer
    return answer


def failure(document: Any, status: int = 200) -> Failure:
    answer = parse_answer(status, document) if isinstance(document, bytes) else parse(document, status)
    assert isinstance(answer, Failure), answer
    return answer


def test_every_field_of_a_download_summary() -> None:
    assert summary(WHOLE) == Summary(
        record_count=1234,
        assembly_count=1234,
        resource_updated_on="2025-01-15T08:30:00.123456Z",
        hydrated=Package(12, "https://h/x?a=b", "datasets d"),
        dehydrated=Package(1, "https://d", "datasets e", "datasets r"),
        available_files={kind: FileSummary(1, 0.5) for kind in FILE_KINDS},
        messages=("one was replaced",),
    )


def test_fields_that_nobody_knows_yet_are_no_harm() -> None:
    assert summary({"record_count": 7, "new_in_2031": [1]}) == Summary(7)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"record_count": 0},
        {"resource_updated_on": "2025-01-15"},
        {"assembly_count": 0, "hydrated": {"estimated_file_size_mb": 0, "url": "https://h"}},
        {"available_files": {"all_genomic_fasta": {"size_mb": 0}}, "messages": []},
        {"hydrated": None, "errors": None},
    ],
)
def test_a_count_that_is_left_out_is_zero(document: dict[str, Any]) -> None:
    assert summary(document).record_count == 0


@pytest.mark.parametrize(
    "document",
    [
        {"assembly_count": 3},
        {"hydrated": {"estimated_file_size_mb": 12}},
        {"available_files": {"cds_fasta": {"file_count": 1}}},
        {"available_files": {"cds_fasta": {"size_mb": 0.001}}},
    ],
)
def test_but_not_where_something_contradicts_zero(document: dict[str, Any]) -> None:
    assert summary(document).record_count is None


@pytest.mark.parametrize(
    "count", [None, "7", 7.0, 7.5, -1, True, [], {}, 2**53 + 1, 10**30], ids=lambda count: repr(count)[:12]
)
def test_what_is_no_count_is_never_one(count: Any) -> None:
    answer = failure({"record_count": count})
    assert (answer.status, answer.reason) == ("failed", "bad_answer")
    assert "record_count" in answer.detail


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<html>maintenance</html>", "not JSON"),
        (b'{"record_count": 7', "cut off"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (b"7", "no object"),
        (b'{"record_count": 7}{"record_count": 8}', "not JSON"),
        (b'{"record_count": 7, "x": "\xff"}', "UTF-8"),
        (b'{"record_count": ' + b"9" * 5000 + b"}", "not JSON"),
        (NESTED_JSON, "deep"),
        (NAN_JSON, "NaN"),
        (b'{"record_count": Infinity}', "Infinity"),
        (DUPLICATE_KEYS, "twice"),
        (b'{"record_count": 7, "hydrated": {"url": "a", "url": "b"}}', "twice"),
        (b'{"unknown": 1}', "no field"),
        (b'{"resource_updated_on": "yesterday"}', "resource_updated_on"),
        (b'{"hydrated": []}', "hydrated"),
        (b'{"available_files": {"cds_fasta": {"size_mb": "0,5"}}}', "size_mb"),
    ],
)
def test_a_broken_200_is_no_data_and_says_what_is_broken(body: bytes, told: str) -> None:
    answer = failure(body)
    assert (answer.status, answer.reason) == ("failed", "bad_answer")
    assert told in answer.detail


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ('"hydrated": []', "hydrated is no object"),
        ('"hydrated": {"url": 5}', "url is no text"),
        ('"hydrated": {"url": "' + "x" * 9000 + '"}', "url has 9,000 characters"),
        ('"hydrated": {"estimated_file_size_mb": "12"}', 'estimated_file_size_mb is no count: "12"'),
        ('"available_files": {"cds_fasta": {"size_mb": 1e400}}', "size_mb is no size: Infinity"),
        ('"available_files": {"cds_fasta": {"size_mb": NaN}}', "size_mb is no size: NaN"),
        ('"available_files": {"cds_fasta": {"size_mb": -1}}', "size_mb is no size: -1"),
        ('"available_files": {"cds_fasta": {"size_mb": "0,5"}}', 'size_mb is no size: "0,5"'),
        ('"available_files": 5', "available_files is no object"),
        ('"assembly_count": 7.5', "assembly_count is no count: 7.5"),
        ('"resource_updated_on": "2025-13-45"', 'resource_updated_on is no date: "2025-13-45"'),
        ('"resource_updated_on": "0001-01-01T00:00:00Z"', 'resource_updated_on is no date: "0001-01-01T00:00:00Z"'),
        ('"resource_updated_on": "1970-01-01"', 'resource_updated_on is no date: "1970-01-01"'),
        ('"resource_updated_on": "soon"', 'resource_updated_on is no date: "soon"'),
        ('"errors": {}', "errors is no list"),
        ('"messages": ["x"]', "messages is no list of objects"),
    ],
)
def test_an_odd_value_beside_a_good_count_costs_its_cell_and_not_the_count(beside: str, told: str) -> None:
    answer = parse_answer(200, f'{{"record_count": 7, {beside}}}'.encode())
    assert isinstance(answer, Summary)
    assert answer.record_count == 7
    assert answer.messages == (f"left empty: {told}",)
    assert answer == Summary(7, messages=answer.messages, available_files=answer.available_files)
    assert all(files == FileSummary() for files in answer.available_files.values())


@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_no_depth_breaks_the_parser_or_costs_a_good_count(opening: str, closing: str) -> None:
    """The parser gives up at one depth, and whatever shows the value must not at a smaller one."""
    for depth in range(800, 1010):
        nested = opening * depth + "1" + closing * depth
        assert failure(f'{{"record_count": {nested}}}'.encode()).reason == "bad_answer"
        beside = parse_answer(200, f'{{"record_count": 7, "assembly_count": {nested}}}'.encode())
        assert beside == Failure("failed", "bad_answer", "nested too deeply") or (
            isinstance(beside, Summary) and beside.record_count == 7
        )


@given(cut=st.integers(0, len(json.dumps(WHOLE)) - 1))
def test_no_beginning_of_an_answer_is_an_answer(cut: int) -> None:
    assert failure(json.dumps(WHOLE).encode()[:cut]).reason == "bad_answer"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WHOLE, "url", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(document=st.dictionaries(st.sampled_from([*WHOLE, "errors", "message", "code"]), json_values, max_size=5))
def test_no_document_breaks_the_parser_and_a_count_is_what_was_sent(document: dict[str, Any]) -> None:
    answer = parse(document)
    if isinstance(answer, Summary) and answer.record_count:
        assert answer.record_count == document["record_count"]


@given(body=st.binary(max_size=60), status=st.sampled_from([200, 204, 400, 404, 418, 429, 500, 501, 599, 999]))
def test_no_bytes_break_the_parser(body: bytes, status: int) -> None:
    answer = parse_answer(status, body)
    assert isinstance(answer, Failure) or status == 200


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("The taxonomy name 'Foo virus' is not a recognized name", "unknown_taxon"),
        ("invalid or unsupported taxon: 999999999", "unknown_taxon"),
        ("The taxonomy ID '999999999' does not match any existing taxids for 'virus'", "unknown_taxon"),
        ("The taxonomy ID '999999999' does not match any existing taxids for 'viral host'", "bad_request"),
        ("No such organism", "unknown_taxon"),
        ("Unknown virus", "unknown_taxon"),
        ("Taxon 5 is not found in the taxonomy database", "unknown_taxon"),
        ("Taxonomy ID 9606 is not a virus", "not_a_virus"),
        ("taxon name 'influenza' is ambiguous: multiple matches", "ambiguous_name"),
        ("The host taxon 'unicorn' is not recognized", "bad_request"),
        ("released_since: bad date", "bad_request"),
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_says_what_is_wrong_with_the_query(message: str, reason: str, status: int) -> None:
    answer = failure({"code": 3, "message": message}, status)
    assert (answer.status, answer.reason, answer.detail) == ("rejected", reason, message)


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"message": 5}', b"[]", NESTED_JSON, b'{"code": 5, "message": "Not Found", "details": []}'],
)
def test_without_a_word_about_the_query_it_may_pass(status: int, body: bytes) -> None:
    answer = failure(body, status)
    assert (answer.status, answer.reason) == ("failed", f"http_{status}")


@pytest.mark.parametrize(
    "document",
    [
        {"error": "Internal Server Error", "code": 500},
        {"code": 14, "message": "upstream connect error"},
        {"code": 8, "message": "the taxonomy quota is used up"},
        {"code": 4, "message": "context deadline exceeded"},
        {"code": 13},
        {"error": {"code": 503, "message": "Service Unavailable"}},
        {"errors": [{"message": "Search Backend failed: timeout"}]},
        {"message": "API rate limit exceeded for taxon 5"},
        {"message": "something"},
        {"messages": [{"error": {"message": "Request timed out while parsing taxon 5"}}]},
        {"message": "too many requests for this API key"},
        {"message": "quota of the API key is used up"},
        {"message": "rpc error: code = Unknown desc = taxon lookup failed: EOF"},
        {"error": "Unknown error while fetching taxon 5"},
        {"message": "taxon 5: invalid character '<' looking for beginning of value"},
        {"message": "java.lang.IllegalStateException: taxon 5 not found"},
        {"message": "taxonomy database not found"},
        {"code": "503", "message": "taxon 5 not found"},
        {"code": "unavailable", "message": "taxon 5 not found"},
        {"status": "INTERNAL", "message": "taxon 5 not found"},
        {"status": 500, "error": "taxon 5 not found"},
        {"code": 12, "message": "unknown method for taxon 5"},
    ],
)
@pytest.mark.parametrize("status", [200, 400, 404])
def test_trouble_of_ncbis_own_may_pass_whatever_its_status(document: dict[str, Any], status: int) -> None:
    answer = failure(document, status)
    assert (answer.status, answer.reason) == ("failed", "bad_answer" if status == 200 else f"http_{status}")


ASKED = Request("Lake virus", FilterSet(host="unicorn"))


@pytest.mark.parametrize(
    "message",
    [
        "host not found",
        "Invalid Host header",
        "no healthy upstream",
        "upstream host 10.0.0.7 not found",
        "Unknown host",
        "dial tcp: lookup datasets-taxonomy.default.svc.cluster.local: no such host",
        "No route to host",
        "Host is down",
        "Unknown host: datasets-taxonomy.default.svc",
        "getaddrinfo: Name or service not known",
        "Unknown server name",
        "no such service: taxonomy",
        "Invalid header field",
        "Request header or cookie too large; unknown field",
        "malformed request",
        "Requests must be sent over TLS",
        "Cannot GET /datasets/v2/virus/taxon/Lake%20virus/genome",
        "The requested URL /datasets/v2/virus/taxon/11320/genome was not found on this server",
        "unrecognized name",
        "No match for https://api.ncbi.nlm.nih.gov/datasets/v2/virus/taxon/11320/genome?host=unicorn: invalid route",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 404])
def test_a_gateways_words_of_hosts_and_names_are_passing_trouble(message: str, status: int) -> None:
    answer = parse_answer(status, json.dumps({"message": message}).encode(), ASKED)
    assert isinstance(answer, Failure)
    assert (answer.status, answer.reason) == ("failed", "bad_answer" if status == 200 else f"http_{status}")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("The host taxon 'unicorn' is not recognized", "bad_request"),
        ("Unknown host 'unicorn'", "bad_request"),
        ("invalid host: Unicorn", "bad_request"),
        ("host unicorn not found", "bad_request"),
        ("The taxonomy name 'unicorn' is not a recognized host", "bad_request"),
        ("no taxid for host", "bad_request"),
        ("Lake virus is not a recognized name", "unknown_taxon"),
        ("no such virus: lake virus", "unknown_taxon"),
        ('parsing field "released_since": invalid value', "bad_request"),
        ("invalid value for enum", "bad_request"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 404])
def test_words_about_the_query_name_taxon_parameter_or_value(message: str, reason: str, status: int) -> None:
    answer = parse_answer(status, json.dumps({"error": message}).encode(), ASKED)
    assert answer == Failure("rejected", reason, message)


def test_a_word_of_two_letters_is_no_value_of_the_query() -> None:
    asked = Request("404", FilterSet(usa_state="OR", pangolin_classification="B"))
    answer = parse_answer(404, b'{"message": "404: page or file not found, see appendix B"}', asked)
    assert answer == Failure("failed", "http_404", "Not Found")


@pytest.mark.parametrize("taxon", ["Timeout virus", "Server error virus", "api key virus", "Bad gateway host virus"])
def test_the_querys_own_words_are_no_trouble_without_quotes_either(taxon: str) -> None:
    body = json.dumps({"message": f"Invalid taxon {taxon}"}).encode()
    assert parse_answer(404, body, Request(taxon)) == Failure("rejected", "unknown_taxon", f"Invalid taxon {taxon}")


@pytest.mark.parametrize("name", ["Timeout virus", "Internal error virus", "api key virus"])
def test_the_name_of_a_taxon_is_no_word_of_ncbis(name: str) -> None:
    answer = failure({"code": 3, "message": f"The taxonomy name '{name}' is not a recognized name"}, 400)
    assert (answer.status, answer.reason) == ("rejected", "unknown_taxon")


@pytest.mark.parametrize("status", [200, 400, 404, 422])
@pytest.mark.parametrize("document", [{"error": "API key invalid"}, {"code": 3, "message": "API-key not valid"}])
def test_words_about_the_key_may_be_about_us(document: dict[str, Any], status: int) -> None:
    answer = failure(document, status)
    assert (answer.status, answer.reason) == ("rejected", f"http_{status}")
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "document",
    [
        {"code": 7},
        {"code": 403, "message": "Forbidden"},
        {"status": "401"},
        {"code": "PERMISSION_DENIED", "error": "x"},
    ],
)
def test_a_refusal_may_be_inside_a_200(document: dict[str, Any]) -> None:
    answer = failure(document)
    assert (answer.status, answer.reason) == ("rejected", "http_200")
    assert is_refusal(answer)


def test_an_error_may_be_wrapped_however_often() -> None:
    document: dict[str, Any] = {"message": "the taxon is unknown", "code": 3}
    for _ in range(5000):
        document = {"error": document}
    assert message_and_code(document) == ("the taxon is unknown", 3)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_by_status_may_be_about_us(status: int) -> None:
    assert is_refusal(failure(b"<html>", status))


@pytest.mark.parametrize(
    "document",
    [
        {"errors": [{"message": "Taxon 5 is not recognized", "virus_error_code": "X"}]},
        {"messages": [{"error": {"reason": "Taxon 5 is not recognized"}}]},
        {"code": 5, "message": "Taxon 5 is not recognized"},
        {"error": "Taxon 5 is not recognized"},
        {"errors": [{"message": "Taxon 5 is not recognized"}], "hydrated": {"estimated_file_size_mb": 3}},
    ],
)
def test_an_error_inside_a_200_without_a_count_is_a_refusal(document: dict[str, Any]) -> None:
    assert failure(document) == Failure("rejected", "unknown_taxon", "Taxon 5 is not recognized")


def test_an_error_beside_a_count_is_kept_for_the_guards() -> None:
    answer = summary({"record_count": 7, "errors": [{"virus_error_code": "UNKNOWN"}], "messages": [{}]})
    assert (answer.record_count, answer.errors) == (7, ("UNKNOWN",))


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({"messages": ["x"]}, "messages is no list of objects"),
        ({"messages": [{"error": "x"}]}, "error is no object"),
        ({"errors": [{"message": "no backend"}, {"message": 5}]}, "message is no text"),
    ],
)
def test_an_odd_message_hides_no_error_beside_a_count(beside: dict[str, Any], told: str) -> None:
    answer = summary({"record_count": 7, "errors": [{"message": "no backend"}], **beside})
    assert (answer.record_count, answer.errors) == (7, ("no backend",))
    assert answer.messages == (f"left empty: {told}",)


@pytest.mark.parametrize(
    "status", [402, 405, 408, 409, 410, 413, 414, 422, 425, 429, 451, 500, 501, 502, 503, 504, 505, 511, 599]
)
def test_what_may_pass_is_failed_and_its_body_is_not_repeated(status: int) -> None:
    answer = failure({"message": "key 0123456789 of 192.0.2.7"}, status)
    assert (answer.status, answer.reason) == ("failed", f"http_{status}")
    assert "key" not in str(answer)


@pytest.mark.parametrize("status", [201, 204, 206, 999])
def test_a_status_that_no_summary_has_is_a_bad_answer(status: int) -> None:
    assert failure(WHOLE, status) == Failure("failed", "bad_answer", f"HTTP status {status}")


def test_text_of_the_server_fits_a_line_and_a_file() -> None:
    answer = failure({"code": 3, "message": "a\nb\x00\x1b[31m c\u202e\ud800" + "x" * 1000}, 400)
    assert answer.detail.startswith("a b [31m c x")
    assert len(answer.detail) == LONGEST_DETAIL
    package = summary({"record_count": 7, "hydrated": {"url": "https://h/\ud800\nx"}}).hydrated
    assert package.url == "https://h/  x"


def test_messages_are_bounded() -> None:
    many = [{"warning": {"message": str(number)}} for number in range(1000)]
    assert len(summary({"record_count": 7, "messages": many}).messages) == MOST_MESSAGES


@given(text=st.text())
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    line.encode()
    assert line == line.strip()
    assert len(line) <= LONGEST_DETAIL
    assert line.isprintable()
