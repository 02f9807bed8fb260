"""Rounds of drawing: how often candidates are drawn, and what ends a question (section 3.5).

Pure: no model is asked. A build, a pilot and a plan follow the same rounds.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from weak2wise_core.config import Recipe, ZeroScoreAction
from weak2wise_core.records import GoldenReasoning, Rejection
from weak2wise_core.stages.selecting import annotated, zero_score_rejection


class Round(NamedTuple):
    """Draws of every strong model for one question that come together."""

    first: int
    """The first draw, from 0."""
    draws: int


def rounds_of(recipe: Recipe) -> list[Round]:
    """Every round that a question may need; the second one comes only with `resample`."""
    step, zero = recipe.generate.samples_per_model, recipe.zero_score
    most = zero.max_draws if zero.action is ZeroScoreAction.RESAMPLE else step
    return [Round(first, min(step, most - first)) for first in range(0, most, step)]


def settle_zero(
    golden: GoldenReasoning,
    *,
    recipe: Recipe,
    notes: Mapping[str, str],
    count_tokens: Callable[[str], int],
) -> GoldenReasoning | Rejection:
    """What becomes of a question whose best candidate scores 0 after the last round.

    Args:
        golden: That candidate.
        recipe: Says whether it is kept, dropped or replaced by what a person wrote.
        notes: Reasoning that people wrote, by question id; read where the recipe annotates.
        count_tokens: Length of a text in tokens of the weak model.
    """
    action = recipe.zero_score.action
    if action is ZeroScoreAction.KEEP:
        return golden
    annotates = action is ZeroScoreAction.ANNOTATE
    if annotates and golden.question_id in notes:
        return annotated(golden, notes, tokens=count_tokens(notes[golden.question_id]))
    draws = sum(one.draws for one in rounds_of(recipe))
    return zero_score_rejection(golden, draws=draws, awaits_person=annotates)
