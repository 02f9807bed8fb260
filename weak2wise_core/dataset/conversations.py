"""The training rows as a Parquet file of conversations, which TRL trains on as it is loaded.

`train.jsonl` holds the same rows. Parquet is written as well because `datasets` reads all tables of
a folder with one reader: beside the other tables only Parquet can be the one that it loads first.
"""

import io
from collections.abc import Iterable
from typing import IO, Any, Final, Self

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


def conversations(rows: Iterable[SFTExample]) -> bytes:
    """A Parquet file in memory: each row as `to_conversational` shapes it, in the given order."""
    sink = io.BytesIO()
    with ConversationsWriter(sink) as file:
        for row in rows:
            file.add(row)
    return sink.getvalue()


class ConversationsWriter:
    """Writes each row as `to_conversational` shapes it, with one group of rows in memory.

    The same rows give the same bytes with the same version of pyarrow.
    """

    def __init__(self, sink: IO[bytes]) -> None:
        """Begin a file."""
        options = {"version": "2.6", "compression": "zstd", "write_page_checksum": True}
        self._writer = pq.ParquetWriter(sink, SCHEMA, **options)
        self._waiting: list[dict[str, Any]] = []

    def add(self, row: SFTExample) -> None:
        """Append one row."""
        self._waiting.append(dict(to_conversational(row)))
        if len(self._waiting) == _ROWS_A_GROUP:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the file."""
        try:
            if kind is None and self._waiting:
                self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=SCHEMA))
        self._waiting = []
