"""Agreed responses and preference pairs as files for trainers, under the ids of their sources."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from weak2wise_core.dataset.conversations import TURNS
from weak2wise_core.dataset.preferences import preferences
from weak2wise_core.related.reading import Id
from weak2wise_core.related.records import PlainExample, PreferencePair

EXAMPLES: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("prompt", TURNS, nullable=False),
        pa.field("completion", TURNS, nullable=False),
    ]
)


class ExamplesFormat(StrEnum):
    """What a file of agreed responses is for."""

    LLAMA_FACTORY = "llama-factory"
    """A JSON list of `{"id", "content", "output"}`, as the authors released theirs."""
    TRL = "trl"
    """Conversational prompt and completion, as Parquet."""


class PairsFormat(StrEnum):
    """What a file of preference pairs is for."""

    LLAMA_FACTORY = "llama-factory"
    """A JSON list of `{"id", "prompt", "chosen", "rejected"}`, for an entry with `ranking`."""
    RELEASED = "released"
    """A JSON list of `{"id", "instruction", "input", "output": [chosen, rejected]}`, as the authors
    released theirs; present versions of LLaMA-Factory do not read it."""
    TRL = "trl"
    """Conversational prompt, chosen and rejected, as Parquet."""


def examples_file(
    rows: Sequence[PlainExample], *, ids: Mapping[str, Id], to: ExamplesFormat
) -> bytes:
    """The rows of stage I as a file.

    Args:
        rows: In the order of the file.
        ids: The ids as their source writes them; Parquet holds them as text.
        to: Whom it is for.
    """
    if to is ExamplesFormat.TRL:
        return _conversations(rows)
    return _json_list(
        [{"id": ids[row.id], "content": row.prompt, "output": row.response} for row in rows]
    )


def pairs_file(pairs: Sequence[PreferencePair], *, ids: Mapping[str, Id], to: PairsFormat) -> bytes:
    """The pairs of stage II as a file; see `examples_file`."""
    if to is PairsFormat.TRL:
        return preferences(pairs)
    shape = _released if to is PairsFormat.RELEASED else _ranking
    return _json_list([{"id": ids[pair.id], **shape(pair)} for pair in pairs])


def _ranking(pair: PreferencePair) -> dict[str, object]:
    return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def _released(pair: PreferencePair) -> dict[str, object]:
    return {"instruction": pair.prompt, "input": "", "output": [pair.chosen, pair.rejected]}


def _json_list(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Escaped, indented by 4 and without a last line feed: byte for byte as the released files."""
    return json.dumps(rows, indent=4).encode()


def _conversations(rows: Sequence[PlainExample]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(
        [
            {
                "id": row.id,
                "prompt": [{"role": "user", "content": row.prompt}],
                "completion": [{"role": "assistant", "content": row.response}],
            }
            for row in rows
        ],
        schema=EXAMPLES,
    )
    pq.write_table(table, sink, version="2.6", compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())
