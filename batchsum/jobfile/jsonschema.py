"""The job file as JSON Schema, for editors: made from the models that read it.

It wants NCBI's own spelling where batchsum takes more (lower case, BIOSAMPLE), and knows nothing of what lies
between two keys: `batchsum check` has the last word.
"""

from typing import Any

from batchsum.jobfile.schema import JobKeys

SCHEMA_FILE = "batchsum.schema.json"


def job_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a YAML job file; ready for JSON."""
    schema = _plain(JobKeys.model_json_schema())
    schema["anyOf"] = [{"required": ["taxa"]}, {"required": ["taxa_files"]}]
    # In a list of taxa, most are a bare id or name.
    taxon = schema["$defs"]["TaxonKeys"]
    bare = {**taxon["properties"]["taxon"], "description": "NCBI Taxonomy ID or name."}
    schema["$defs"]["TaxonKeys"] = {"anyOf": [bare, taxon]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema, "title": "A batchsum job"}


def _plain(value: Any) -> Any:
    """Without the titles and defaults that pydantic adds, which an editor would show as if they meant something."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _plain(inner) for name, inner in one.items()} if key in ("properties", "$defs") else _plain(one)
        for key, one in value.items()
        if not (key == "title" or (key == "default" and one is None))
    }
