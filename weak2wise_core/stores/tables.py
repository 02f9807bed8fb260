"""One explicit Parquet schema for each noun of the method.

A column is named as its field. What is optional in the record is nullable in the file, and nothing
else is; enums are stored as their words, tuples as lists.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from weak2wise_core.records import (
    Answer,
    Attempt,
    CandidateTrace,
    EvaluatedSample,
    Finding,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    QueuedQuestion,
    Rejection,
    ScoredTrace,
    SFTExample,
    TraceMeasure,
)
from weak2wise_core.related.records import PreferencePair

TABLE_KEY: Final = b"weak2wise.table"
"""Where a file's metadata names its table."""
VERSION_KEY: Final = b"weak2wise.version"
ROWS_KEY: Final = b"weak2wise.rows"
"""How many rows there are: Parquet has checksums for its pages, not for its own counts."""

_TEXT: Final = pa.string()
_WHOLE: Final = pa.int64()
_REAL: Final = pa.float64()
_YES_NO: Final = pa.bool_()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """How the records of one kind lie in a file."""

    name: str
    version: int
    """Raised with every change of the columns or of what they mean."""
    columns: tuple[pa.Field, ...]

    @property
    def id(self) -> str:
        """Name and version, as in `candidates/1`."""
        return f"{self.name}/{self.version}"

    @property
    def schema(self) -> pa.Schema:
        """The columns, with table and version in the metadata."""
        metadata = {TABLE_KEY: self.name.encode(), VERSION_KEY: str(self.version).encode()}
        return pa.schema(self.columns, metadata=metadata)


def _column(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _optional(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=True)


def _many(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False))


_SPENT: Final = _many(
    pa.struct(
        [
            _column("model", _TEXT),
            _column("returned", _TEXT),
            _column("calls", _WHOLE),
            _column("prompt_tokens", _WHOLE),
            _column("completion_tokens", _WHOLE),
            _column("reasoning_tokens", _WHOLE),
            _column("cached_tokens", _WHOLE),
        ]
    )
)
_CANDIDATE_KEY: Final = (
    _column("question_id", _TEXT),
    _column("strong_model", _TEXT),
    _column("draw", _WHOLE),
)

TABLES: Final[Mapping[type, TableSpec]] = types.MappingProxyType(
    {
        Question: TableSpec(
            name="questions",
            version=1,
            columns=(_column("id", _TEXT), _column("question", _TEXT), _column("answer", _TEXT)),
        ),
        QueuedQuestion: TableSpec(
            name="annotation_queue",
            version=1,
            columns=(
                _column("id", _TEXT),
                _column("question", _TEXT),
                _column("answer", _TEXT),
                _column("reasoning", _TEXT),
            ),
        ),
        Attempt: TableSpec(
            name="attempts",
            version=1,
            columns=(
                _column("question_id", _TEXT),
                _column("attempt", _TEXT),
                _column("finish_reason", _TEXT),
                _column("verdict", _TEXT),
                _column("judged_by", _TEXT),
                _column("votes", _many(_TEXT)),
                _column("model", _TEXT),
                _column("spent", _SPENT),
            ),
        ),
        Answer: TableSpec(
            name="answers",
            version=1,
            columns=(
                _column("question_id", _TEXT),
                _column("prompt", _TEXT),
                _column("draw", _WHOLE),
                _column("reasoning", _TEXT),
                _column("content", _TEXT),
                _column("finish_reason", _TEXT),
                _column("verdict", _TEXT),
                _column("model", _TEXT),
                _column("spent", _SPENT),
            ),
        ),
        PreferencePair: TableSpec(
            name="pairs",
            version=1,
            columns=(
                _column("id", _TEXT),
                _column("prompt", _TEXT),
                _column("chosen", _TEXT),
                _column("rejected", _TEXT),
                _column("kind", _TEXT),
                _column("answer", _TEXT),
                _column("confidence", _REAL),
            ),
        ),
        CandidateTrace: TableSpec(
            name="candidates",
            version=2,
            columns=(
                *_CANDIDATE_KEY,
                _column("normal_reasoning", _TEXT),
                _column("step_reasoning", _TEXT),
                _optional("refusal", _TEXT),
                _column("detail", _TEXT),
                _column("answer_leak", _YES_NO),
                _column("told_answer", _YES_NO),
                _column("steps_disagree", _YES_NO),
                _column("model", _TEXT),
                _column("spent", _SPENT),
            ),
        ),
        MaskOutcomes: TableSpec(
            name="outcomes",
            version=2,
            columns=(
                *_CANDIDATE_KEY,
                _column("outcomes", _many(_TEXT)),
                _column("asked", _many(_YES_NO)),
                _column("attempts", _many(_TEXT)),
                _column("normal_tokens", _WHOLE),
                _column("spent", _SPENT),
                _column("judged_by", _many(_TEXT)),
                _column("votes", _many(_many(_TEXT))),
            ),
        ),
        ScoredTrace: TableSpec(
            name="scores",
            version=1,
            columns=(
                *_CANDIDATE_KEY,
                _column("outcomes", _many(_TEXT)),
                _column("asked", _many(_YES_NO)),
                _column("normal_tokens", _WHOLE),
                _column("reading", _TEXT),
                _column("beta", _REAL),
                _optional("s_avg", _REAL),
                _optional("s_ew", _REAL),
                _optional("score", _REAL),
                _column("lower", _REAL),
                _column("upper", _REAL),
            ),
        ),
        TraceMeasure: TableSpec(
            name="measures",
            version=1,
            columns=(*_CANDIDATE_KEY, _column("selector", _TEXT), _optional("value", _REAL)),
        ),
        GoldenReasoning: TableSpec(
            name="golden",
            version=1,
            columns=(
                *_CANDIDATE_KEY,
                _column("source", _TEXT),
                _column("score", _REAL),
                _column("golden_reasoning", _TEXT),
                _column("truncation", _TEXT),
                _column("normal_tokens", _WHOLE),
                _column("golden_tokens", _WHOLE),
                _column("spent", _SPENT),
            ),
        ),
        SFTExample: TableSpec(
            name="train",
            version=1,
            columns=(
                _column("question_id", _TEXT),
                _column("prompt", _TEXT),
                _column("response", _TEXT),
                _column("answer", _TEXT),
                _column("strong_model", _TEXT),
                _column("draw", _WHOLE),
                _column("score", _REAL),
                _column("truncation", _TEXT),
                _column("tokens", _WHOLE),
            ),
        ),
        Rejection: TableSpec(
            name="quarantine",
            version=1,
            columns=(
                _column("question_id", _TEXT),
                _column("stage", _TEXT),
                _column("kind", _TEXT),
                _column("reason", _TEXT),
                _column("detail", _TEXT),
                _column("model", _TEXT),
                _optional("draw", _WHOLE),
            ),
        ),
        Finding: TableSpec(
            name="audits",
            version=1,
            columns=(
                _column("audit", _TEXT),
                _column("question_id", _TEXT),
                _column("strong_model", _TEXT),
                _optional("draw", _WHOLE),
                _column("other_id", _TEXT),
                _column("trained_on", _YES_NO),
                _column("detail", _TEXT),
            ),
        ),
        EvaluatedSample: TableSpec(
            name="evaluated_samples",
            version=1,
            columns=(
                _column("benchmark", _TEXT),
                _column("item", _TEXT),
                _column("draw", _WHOLE),
                _column("gold", _TEXT),
                _column("verdict", _TEXT),
                _optional("answer", _TEXT),
                _column("cut", _YES_NO),
                _column("finish_reason", _TEXT),
                _column("prompt_tokens", _WHOLE),
                _column("completion_tokens", _WHOLE),
                _column("reply", _TEXT),
                _column("error", _TEXT),
            ),
        ),
    }
)
