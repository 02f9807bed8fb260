"""What a report reads: the tables of one dataset, and what the dataset says about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    Finding,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    Rejection,
    ScoredTrace,
    SFTExample,
)

Key = tuple[str, str, int]
"""Question, strong model and draw: the identity of a candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables of one dataset, each in the order of its file."""

    manifest: Mapping[str, Any]
    questions: Sequence[Question]
    attempts: Sequence[Attempt]
    candidates: Sequence[CandidateTrace]
    outcomes: Sequence[MaskOutcomes]
    scores: Sequence[ScoredTrace]
    golden: Sequence[GoldenReasoning]
    train: Sequence[SFTExample]
    rejections: Sequence[Rejection]
    findings: Sequence[Finding]


def key_of(row: CandidateTrace | MaskOutcomes | ScoredTrace | GoldenReasoning) -> Key:
    """The identity of a candidate, in whichever table it stands."""
    return row.question_id, row.strong_model, row.draw
