"""The table as Parquet: typed columns, one row group after the other, so that its length costs no memory.

A missing value is null, a filter that is on is `true`, and text is as NCBI and the job wrote it: the apostrophe
that protects spreadsheets is for CSV. Nothing volatile stands in it, as in every format of the table: of the
manifest it carries what is the same for the same rows, and the manifest knows its digest.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchsum.output.files import MANIFEST
from batchsum.output.table import SUMMARY, Column, Row, Value
from batchsum.store.store import in_groups

ROWS_A_GROUP = 20_000

_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}

METADATA = b"batchsum"
"""Key of the file's metadata, a JSON object."""
_STABLE = ("job", "job_hash", "resolved_dates")


def schema(manifest: Mapping[str, Any], columns: Sequence[Column] = SUMMARY) -> pa.Schema:
    """A field for each column with its description, and what of the manifest is the same for the same rows."""
    fields = [
        pa.field(one.name, _TYPES[one.kind], nullable=not one.required, metadata={"description": one.about})
        for one in columns
    ]
    about = {"manifest": MANIFEST, **{name: manifest[name] for name in _STABLE if name in manifest}}
    return pa.schema(fields, metadata={METADATA: json.dumps(about, ensure_ascii=False, sort_keys=True).encode()})


def write_parquet(
    path: Path, rows: Iterable[Row], *, manifest: Mapping[str, Any], columns: Sequence[Column] = SUMMARY
) -> None:
    """Write `rows` to `path`; text is encoded by dictionary inside each row group."""
    table_schema = schema(manifest, columns)
    texts = [one.name for one in columns if one.kind == "string"]
    options = {"compression": "zstd", "use_dictionary": texts}
    # Opened here: pyarrow takes a path for an address, and none that is no UTF-8.
    with path.open("wb") as file, pq.ParquetWriter(file, table_schema, **options) as writer:
        # Column by column inside a group: so wide a table would not fit into memory as a whole.
        for group in in_groups(rows, ROWS_A_GROUP):
            arrays = [_array(column, values) for column, values in zip(columns, zip(*group, strict=True), strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=table_schema), row_group_size=ROWS_A_GROUP)


def _array(column: Column, values: tuple[Value, ...]) -> pa.Array:
    missing = "" if column.required else None  # a column that has no nulls says so in its schema
    given = [missing if value is None or value == "" else value for value in values]
    if column.kind in ("boolean", "date"):  # both come as text
        return pa.array(given, pa.string()).cast(_TYPES[column.kind])
    return pa.array(given, _TYPES[column.kind])
