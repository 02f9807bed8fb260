"""Preference pairs as a Parquet file of conversations, which TRL trains on as it is loaded."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from weak2wise_core.dataset.conversations import TURNS
from weak2wise_core.related.records import PreferencePair
from weak2wise_core.related.shapes import to_preference

SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *(pa.field(name, TURNS, nullable=False) for name in ("prompt", "chosen", "rejected")),
    ]
)
"""One column for each key of `PreferenceRow`."""


def preferences(pairs: Sequence[PreferencePair]) -> bytes:
    """A Parquet file in memory: each pair as `to_preference` shapes it, in the given order."""
    sink = pa.BufferOutputStream()
    rows = [dict(to_preference(pair)) for pair in pairs]
    options = {"version": "2.6", "compression": "zstd", "write_page_checksum": True}
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, **options)
    return bytes(sink.getvalue())
