"""The training rows as a Parquet file of conversations, which TRL trains on as it is loaded.

`train.jsonl` holds the same rows. Parquet is written as well because `datasets` reads all tables of
a folder with one reader: beside the other tables only Parquet can be the one that it loads first.
"""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from weak2wise_core.records import SFTExample
from weak2wise_core.sft import to_conversational

_TURN: Final = pa.struct(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("content", pa.string(), nullable=False),
    ]
)
TURNS: Final = pa.list_(pa.field("element", _TURN, nullable=False))
SCHEMA: Final = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in (
            ("id", pa.string()),
            ("prompt", TURNS),
            ("completion", TURNS),
            ("answer", pa.string()),
            ("strong_model", pa.string()),
            ("draw", pa.int64()),
            ("score", pa.float64()),
            ("truncation", pa.string()),
            ("tokens", pa.int64()),
        )
    ]
)
"""One column for each key of `TrainRow`."""
_ROWS_A_GROUP: Final = 1024


def conversations(rows: Sequence[SFTExample]) -> bytes:
    """A Parquet file in memory: each row as `to_conversational` shapes it, in the given order.

    The same rows give the same bytes with the same version of pyarrow.
    """
    sink = pa.BufferOutputStream()
    options = {"version": "2.6", "compression": "zstd", "write_page_checksum": True}
    with pq.ParquetWriter(sink, SCHEMA, **options) as writer:
        for start in range(0, len(rows), _ROWS_A_GROUP):
            group = [dict(to_conversational(row)) for row in rows[start : start + _ROWS_A_GROUP]]
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
    return bytes(sink.getvalue())
