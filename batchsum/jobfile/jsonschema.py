"""The job file as JSON Schema, for editors: made from the models that read it.

It wants NCBI's own spelling where batchsum takes more (lower case, BIOSAMPLE), and knows nothing of what lies
between two keys: `batchsum check` has the last word.
"""

from typing import Any

from batchsum.config.schema import JobKeys

SCHEMA_FILE = "batchsum.schema.json"


_NULL = {"type": "null"}


def job_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a YAML job file; ready for JSON."""
    schema = _plain(JobKeys.model_json_schema())
    schema["anyOf"] = [{"required": ["taxa"]}, {"required": ["taxa_files"]}]
    pieces = schema["$defs"]
    for name, piece in pieces.items():
        pieces[name] = piece if name == "TaxonKeys" else _or_null(piece)
    # In a list of taxa, most are a bare id or name.
    taxon = pieces["TaxonKeys"]
    bare = {**taxon["properties"]["taxon"], "description": "NCBI Taxonomy ID or name."}
    pieces["TaxonKeys"] = {"anyOf": [bare, taxon]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema, "title": "A batchsum job"}


def _plain(value: Any) -> Any:
    """Without the titles and defaults that pydantic adds, and null as one type more: an editor that has to choose
    between alternatives cannot tell where the mistake is."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {
        key: {name: _plain(inner) for name, inner in one.items()} if key in ("properties", "$defs") else _plain(one)
        for key, one in value.items()
        if not (key == "title" or (key == "default" and one is None))
    }
    choices = plain.get("anyOf", [])
    if _NULL in choices:
        rest = [one for one in choices if one != _NULL]
        del plain["anyOf"]
        return {**(_or_null(rest[0]) if len(rest) == 1 else {"anyOf": [*rest, _NULL]}), **plain}
    return plain


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A key without a value is as good as absent. What is referred to says so itself."""
    if "type" not in schema:
        return schema
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **enum}
