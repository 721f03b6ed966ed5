"""Every answer has the form of NCBI's specification: no field it does not name, no value of another kind."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.local_ncbi_server import Served, serving

SPECIFICATION = Path(__file__).parents[3] / "shared" / "reference" / "ncbi-datasets-v2-virus.openapi.yaml"

pytestmark = pytest.mark.skipif(not SPECIFICATION.exists(), reason="NCBI's specification is not beside the project")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(as_of=date(2026, 11, 20)) as served:
        yield served


@pytest.fixture(scope="module")
def specification() -> Any:
    return yaml.load(SPECIFICATION.read_text(), yaml.CSafeLoader)


class Form:
    """The schemas of the specification, and what a value has against one of them."""

    def __init__(self, specification: Mapping[str, Any]) -> None:
        self.schemas = specification["components"]["schemas"]

    def faults(self, value: Any, schema: Mapping[str, Any], where: str = "$") -> Iterator[str]:
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        match schema.get("type"):
            case "object" if isinstance(value, dict):
                for name, inner in value.items():
                    if name in schema.get("properties", {}):
                        yield from self.faults(inner, schema["properties"][name], f"{where}.{name}")
                    else:
                        yield f"{where}.{name} is not in the specification"
            case "array" if isinstance(value, list):
                for number, inner in enumerate(value):
                    yield from self.faults(inner, schema["items"], f"{where}[{number}]")
            case "string" if isinstance(value, str):
                if "enum" in schema and value not in schema["enum"]:
                    yield f"{where}: {value!r} is none of the enum"
                if schema.get("format") == "date-time":
                    datetime.fromisoformat(value)
            case "boolean" if isinstance(value, bool):
                pass
            case "integer" if isinstance(value, int) and not isinstance(value, bool):
                pass
            case "number" if isinstance(value, int | float) and not isinstance(value, bool):
                pass
            case kind:
                yield f"{where}: {value!r} is no {kind}"


def expect(specification: Any, path: str, method: str, status: int) -> tuple[str, Mapping[str, Any]]:
    """Content type and schema of an answer of this operation."""
    responses = specification["paths"][path][method.lower()]["responses"]
    content = responses["200" if status == 200 else "default"]["content"]
    kind = "application/json" if status == 200 else "text/plain"
    return kind, content[kind]["schema"]


def parameter(one: Mapping[str, Any], schemas: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a parameter: mostly as the specification wants them, sometimes not."""

    def values(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        if schema["type"] == "array":
            return st.lists(values(schema["items"]), max_size=3)
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if schema["type"] == "boolean":
            return st.sampled_from(["true", "false"])
        if schema["type"] == "integer":
            return st.integers(0, 1200).map(str)
        if schema.get("format") == "date-time":
            return st.dates(date(2000, 1, 1)).map(lambda day: f"{day}T00:00:00Z")
        examples = [str(example["value"]) for example in one.get("examples", {}).values()]
        return st.sampled_from([*examples, "10239", "human", "Influenza A virus", "mus"]) | st.text(max_size=8)

    good = values(one["schema"])
    return st.integers(0, 9).flatmap(lambda lot: good if lot else st.text(max_size=8))


def test_every_path_is_served(server: Served, specification: Any) -> None:
    for path, operations in specification["paths"].items():
        target = path.replace("{taxon}", "11320").replace("{taxons}", "11320").replace("{taxon_query}", "11320")
        for method in operations:
            assert server.ask(target, method=method.upper()).status not in (404, 405)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_answers_to_random_gets(server: Served, specification: Any, data: Any) -> None:
    path = data.draw(st.sampled_from([path for path, item in specification["paths"].items() if "get" in item]))
    target, query = path, {}
    for one in specification["paths"][path]["get"].get("parameters", ()):
        if one["in"] == "path":
            value = data.draw(parameter(one, specification["components"]["schemas"]))
            text = ",".join(value) if isinstance(value, list) else value
            target = target.replace(f"{{{one['name']}}}", quote(text or "11320", safe=""))
        elif data.draw(st.booleans()):
            query[one["name"]] = data.draw(parameter(one, specification["components"]["schemas"]))
    check(server, specification, path, "GET", target, query=query)


def body_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if schema["type"] == "object":
        return st.fixed_dictionaries(
            {}, optional={name: body_of(inner, schemas) for name, inner in schema["properties"].items()}
        )
    if schema["type"] == "array":
        return st.lists(body_of(schema["items"], schemas), max_size=3)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "boolean":
        return st.booleans()
    if schema["type"] == "integer":
        return st.integers(0, 1200)
    if schema.get("format") == "date-time":
        return st.just("2025-01-15T00:00:00Z")
    return st.sampled_from(["", "11320", "2697049", "human", "Influenza A virus", "USA", "CA", "NC_045512.2", "mus"])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_answers_to_random_posts(server: Served, specification: Any, data: Any) -> None:
    path = data.draw(st.sampled_from([path for path, item in specification["paths"].items() if "post" in item]))
    schema = specification["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = data.draw(body_of(schema, specification["components"]["schemas"]))
    check(server, specification, path, "POST", path, body=body)


def check(server: Served, specification: Any, path: str, method: str, target: str, **asked: Any) -> None:
    reply = server.ask(target, headers={"Accept": "*/*"}, **asked)
    assert reply.status in (200, 400)
    kind, schema = expect(specification, path, method, reply.status)
    assert reply.headers["Content-Type"].partition(";")[0] == kind
    assert list(Form(specification).faults(reply.json, schema)) == []


@pytest.mark.parametrize(
    "filters", [{}, {"include_sequence": ["GENOME", "CDS", "PROTEIN"], "aux_report": "ANNOTATION"}]
)
def test_full_summary(server: Served, specification: Any, filters: dict[str, Any]) -> None:
    path = "/virus/taxon/{taxon}/genome"
    check(server, specification, path, "GET", "/virus/taxon/11320/genome", query=filters)


def test_the_form_finds_faults(specification: Any) -> None:
    form = Form(specification)
    schema = {"$ref": "#/components/schemas/v2DownloadSummary"}
    wrong = {"record_count": "7", "count": 7, "available_files": {"prot_fasta": {"size_mb": True}}, "hydrated": []}
    assert len(list(form.faults(wrong, schema))) == 4
