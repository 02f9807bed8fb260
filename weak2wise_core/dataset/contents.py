"""Everything that one build found, in the order of the question file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from weak2wise_core.config import Recipe
from weak2wise_core.errors import BuildError
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    Rejection,
    ScoredTrace,
    SFTExample,
    TraceMeasure,
    Verdict,
)
from weak2wise_core.scoring import score

R = TypeVar(
    "R",
    Attempt,
    CandidateTrace,
    MaskOutcomes,
    TraceMeasure,
    GoldenReasoning,
    SFTExample,
    Rejection,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The tables of a dataset.

    Every row of the question file is accounted for once: it is trained on, was solved by the weak
    model unaided, or left as a rejection with a name.
    """

    recipe: Recipe
    rows: int
    """Rows of the question file, within the recipe's limit."""
    questions: tuple[Question, ...]
    attempts: tuple[Attempt, ...] = ()
    candidates: tuple[CandidateTrace, ...] = ()
    outcomes: tuple[MaskOutcomes, ...] = ()
    measures: tuple[TraceMeasure, ...] = ()
    """What the weak model's reading gave the selector; empty where it needs none."""
    golden: tuple[GoldenReasoning, ...] = ()
    train: tuple[SFTExample, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Versions of the templates that were used."""

    def in_order(self) -> Self:
        """The same tables, each sorted by the question file, then by strong model and draw."""
        place = {question.id: number for number, question in enumerate(self.questions)}

        def ordered(rows: Sequence[R]) -> tuple[R, ...]:
            return tuple(sorted(rows, key=lambda row: _sort_key(row, place)))

        return replace(
            self,
            attempts=ordered(self.attempts),
            candidates=ordered(self.candidates),
            outcomes=ordered(self.outcomes),
            measures=ordered(self.measures),
            golden=ordered(self.golden),
            train=ordered(self.train),
            rejections=ordered(self.rejections),
        )

    @property
    def solved(self) -> int:
        """Questions that the weak model answers unaided; no trace is needed for them."""
        return sum(attempt.verdict is Verdict.CORRECT for attempt in self.attempts)

    @property
    def scores(self) -> tuple[ScoredTrace, ...]:
        """The step-mask score of every candidate that was asked about."""
        return tuple(score(one, settings=self.recipe.step_mask) for one in self.outcomes)

    def check(self) -> None:
        """Make sure that no row was lost.

        Raises:
            BuildError: The rows that came in are not the rows that went out.
        """
        out = len(self.train) + self.solved + len(self.rejections)
        if out != self.rows:
            raise BuildError(
                f"{self.rows} rows came in, but {len(self.train)} are trained on, {self.solved} "
                f"were solved and {len(self.rejections)} were rejected, {out} in all; nothing is "
                "published. This is a fault of the program: please report it"
            )


def _sort_key(row: Any, place: dict[str, int]) -> tuple[int, str, str, int]:
    # Rejected rows of the file have no question: they come after those that have one.
    position = place.get(row.question_id, len(place))
    draw = getattr(row, "draw", None)
    return (
        position,
        row.question_id,
        getattr(row, "strong_model", ""),
        -1 if draw is None else draw,
    )


def by_id(questions: Iterable[Question]) -> dict[str, Question]:
    """Questions by their id."""
    return {question.id: question for question in questions}
