"""Golden reasoning: the candidate that helps the weak model most (equation 8).

A function of the set of candidates: the order in which replies came in changes nothing. Other ways
to choose are in `weak2wise_core.selectors`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.records import MaskOutcomes
from weak2wise_core.scoring import exact_bounds, is_judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which candidate of one question won, and who might have."""

    winner: MaskOutcomes | None
    """The best candidate that has a score; None where none has."""
    score: Fraction | None
    """The winner's score, exactly."""
    uncertain: tuple[MaskOutcomes, ...]
    """Candidates with an unjudged level that would come before the winner if every unjudged level
    were correct, best first. While there is one, the winner is not proven."""

    @property
    def is_proven(self) -> bool:
        """Whether no further verdict could change the winner."""
        return self.winner is not None and not self.uncertain


def select_golden(scored: Sequence[MaskOutcomes], *, settings: StepMaskSettings) -> Choice:
    """The candidate with the highest score.

    Ties: the fewest tokens of Normal-Reasoning, then the name of the strong model, then the draw.

    Args:
        scored: The candidates of one question. One with an unjudged level has no score and cannot
            win; when its best case would, the choice says so instead of hiding it.
        settings: Granularity, beta and the reading of equation 6.

    Returns:
        The winner, or none where no candidate has a score.

    Raises:
        ValueError: The candidates belong to several questions, or one of them is there twice.

    Source: paper section 3.5, equation 8, with its tie-break by length.
    Departure: scores are compared exactly, and ties of both score and length have an order.
    """
    ranked = sorted(one_question(scored), key=lambda one: _best_case_rank(one, settings))
    at = next((n for n, candidate in enumerate(ranked) if is_judged(candidate)), len(ranked))
    winner = ranked[at] if at < len(ranked) else None
    return Choice(
        winner=winner,
        score=exact_bounds(winner, settings=settings)[0] if winner else None,
        uncertain=tuple(ranked[:at]),
    )


def _best_case_rank(
    candidate: MaskOutcomes, settings: StepMaskSettings
) -> tuple[Fraction, int, str, int]:
    return (-exact_bounds(candidate, settings=settings)[1], *tie_break(candidate))


def tie_break(candidate: MaskOutcomes) -> tuple[int, str, int]:
    """What decides between equals: fewest tokens of Normal-Reasoning, strong model, draw."""
    return candidate.normal_tokens, candidate.strong_model, candidate.draw


def one_question(candidates: Sequence[MaskOutcomes]) -> Sequence[MaskOutcomes]:
    """The same candidates, made sure to be different ones of one question.

    Raises:
        ValueError: They are not.
    """
    questions = {candidate.question_id for candidate in candidates}
    if len(questions) > 1:
        raise ValueError(f"candidates of {len(questions)} questions: {sorted(questions)[:3]}")
    if len({tie_break(one)[1:] for one in candidates}) < len(candidates):
        raise ValueError(f"question {min(questions)}: a candidate is there twice")
    return candidates
