"""What a report reads: the rows of one dataset, and what the dataset says about itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.records import (
    CandidateTrace,
    Finding,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    Rejection,
    ScoredTrace,
)
from weak2wise_core.scoring import score
from weak2wise_core.stores.portions import Portion

Key = tuple[str, str, int]
"""Question, strong model and draw: the identity of a candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """One dataset. Its traces pass through memory a question at a time."""

    manifest: Mapping[str, Any]
    questions: Sequence[Question]
    portions: Callable[[], Iterator[Portion]]
    """The rows of one question after the other, in the order of `questions`, as often as asked."""
    rejections: Sequence[Rejection]
    findings: Sequence[Finding]

    @property
    def step_mask(self) -> StepMaskSettings:
        """How its traces were scored."""
        return StepMaskSettings.model_validate(self.manifest["settings"]["step_mask"])

    def by_question(self) -> Iterator[tuple[Question, Portion]]:
        """Every question with its rows, of which there may be none."""
        portions = self.portions()
        waiting = next(portions, None)
        for question in self.questions:
            if waiting is not None and waiting.question_id == question.id:
                yield question, waiting
                waiting = next(portions, None)
            else:
                yield question, Portion(question_id=question.id)


def scored(outcomes: Iterable[MaskOutcomes], settings: StepMaskSettings) -> list[ScoredTrace]:
    """The scores of candidates, as the table of scores has them."""
    return [score(one, settings=settings) for one in outcomes]


def key_of(row: CandidateTrace | MaskOutcomes | ScoredTrace | GoldenReasoning) -> Key:
    """The identity of a candidate, in whichever table it stands."""
    return row.question_id, row.strong_model, row.draw
