"""Which trace of each question an arm trains on. No model is asked."""

from collections.abc import Sequence

from weak2wise_core.ablation.pools import Pool
from weak2wise_core.config import StepMaskSettings
from weak2wise_core.config.ablation import Arm
from weak2wise_core.records import MaskOutcomes
from weak2wise_core.selection import (
    select_golden,
    select_lowest,
    select_random,
    select_shortest,
)

SEEDED = frozenset({Arm.RANDOM})
"""Arms that choose anew for every seed; the others train on the same traces each time."""


def choose(
    outcomes: Sequence[MaskOutcomes], arm: Arm, *, settings: StepMaskSettings, seed: int
) -> MaskOutcomes:
    """The candidate of one question that an arm trains on.

    `highest` and `untruncated` are the build's own selection (equation 8).

    Args:
        outcomes: Scored candidates of one question, one or more.
        arm: Who chooses.
        settings: Granularity, beta and the reading of equation 6.
        seed: Read by `random` only.
    """
    if arm is Arm.RANDOM:
        chosen = select_random(outcomes, seed=seed)
    elif arm is Arm.LOWEST:
        chosen = select_lowest(outcomes, settings=settings)
    elif arm is Arm.SHORTEST:
        chosen = select_shortest(outcomes)
    else:
        chosen = select_golden(outcomes, settings=settings).winner
    assert chosen is not None, "a pool holds scored candidates only"
    return chosen


def choices(
    pool: Pool, arm: Arm, *, settings: StepMaskSettings, seed: int
) -> dict[str, MaskOutcomes]:
    """The choice of an arm for every question of a pool, by question id."""
    return {
        question.id: choose(pool.outcomes[question.id], arm, settings=settings, seed=seed)
        for question in pool.questions
    }


def is_truncated(arm: Arm) -> bool:
    """Whether an arm trains on truncated traces (Table 4)."""
    return arm is not Arm.UNTRUNCATED
