"""Golden reasoning: the candidate that helps the weak model most (equation 8).

Also the other arms of Table 3, random and lowest, and one of ours, shortest. All are functions of
the set of candidates: the order in which replies came in changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.hashing import content_hash
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
    ranked = sorted(_checked(scored), key=lambda one: _best_case_rank(one, settings))
    at = next((n for n, candidate in enumerate(ranked) if is_judged(candidate)), len(ranked))
    winner = ranked[at] if at < len(ranked) else None
    return Choice(
        winner=winner,
        score=exact_bounds(winner, settings=settings)[0] if winner else None,
        uncertain=tuple(ranked[:at]),
    )


def select_lowest(
    scored: Sequence[MaskOutcomes], *, settings: StepMaskSettings
) -> MaskOutcomes | None:
    """The scored candidate with the lowest score; ties as in `select_golden` (Table 3)."""
    return _first(
        [candidate for candidate in scored if is_judged(candidate)],
        rank=lambda one: (exact_bounds(one, settings=settings)[0], *_tie_break(one)),
    )


def select_shortest(candidates: Sequence[MaskOutcomes]) -> MaskOutcomes | None:
    """The candidate with the fewest tokens of Normal-Reasoning, whatever its score (ours)."""
    return _first(candidates, rank=_tie_break)


def select_random(candidates: Sequence[MaskOutcomes], *, seed: int) -> MaskOutcomes | None:
    """Any candidate with equal chance, the same one for the same seed and set (Table 3).

    Each candidate draws a lot from the seed, its question and its identity, and the lowest lot
    wins: the result depends on neither order nor process.
    """
    return _first(
        candidates,
        rank=lambda one: (content_hash(seed, one.question_id, one.strong_model, one.draw),),
    )


def _first(
    candidates: Sequence[MaskOutcomes], *, rank: Callable[[MaskOutcomes], tuple[object, ...]]
) -> MaskOutcomes | None:
    return min(_checked(candidates), key=rank, default=None)


def _best_case_rank(
    candidate: MaskOutcomes, settings: StepMaskSettings
) -> tuple[Fraction, int, str, int]:
    return (-exact_bounds(candidate, settings=settings)[1], *_tie_break(candidate))


def _tie_break(candidate: MaskOutcomes) -> tuple[int, str, int]:
    return candidate.normal_tokens, candidate.strong_model, candidate.draw


def _checked(candidates: Sequence[MaskOutcomes]) -> Sequence[MaskOutcomes]:
    questions = {candidate.question_id for candidate in candidates}
    if len(questions) > 1:
        raise ValueError(f"candidates of {len(questions)} questions: {sorted(questions)[:3]}")
    if len({_tie_break(one)[1:] for one in candidates}) < len(candidates):
        raise ValueError(f"question {min(questions)}: a candidate is there twice")
    return candidates
