"""Which trace of each question an arm trains on. No model is asked."""

from collections.abc import Sequence

from weak2wise_core.ablation.pools import Pool
from weak2wise_core.config import Recipe
from weak2wise_core.config.ablation import Arm
from weak2wise_core.records import MaskOutcomes
from weak2wise_core.selectors.choosing import Choosing, Evidence, select

SEEDED = frozenset({Arm.RANDOM})
"""Arms that choose anew for every seed; the others train on the same traces each time."""


def choose(
    outcomes: Sequence[MaskOutcomes], arm: Arm, *, recipe: Recipe, seed: int, evidence: Evidence
) -> MaskOutcomes:
    """The candidate of one question that an arm trains on.

    `highest` and `untruncated` are the build's own selection (equation 8).

    Args:
        outcomes: Scored candidates of one question, one or more.
        arm: Who chooses.
        recipe: The settings of the step-mask score and of the selectors.
        seed: Read by `random` only.
        evidence: Traces and measures of the candidates.
    """
    selection = recipe.selection.model_copy(update={"seed": seed})
    choosing = Choosing(selection=selection, step_mask=recipe.step_mask)
    chosen = select(outcomes, by=arm.selector, evidence=evidence, choosing=choosing)
    assert chosen is not None, "a pool holds scored candidates only"
    return chosen


def choices(pool: Pool, arm: Arm, *, recipe: Recipe, seed: int) -> dict[str, MaskOutcomes]:
    """The choice of an arm for every question of a pool, by question id."""
    return {
        question.id: choose(
            pool.outcomes[question.id], arm, recipe=recipe, seed=seed, evidence=pool.evidence
        )
        for question in pool.questions
    }


def is_truncated(arm: Arm) -> bool:
    """Whether an arm trains on truncated traces (Table 4)."""
    return arm is not Arm.UNTRUNCATED
