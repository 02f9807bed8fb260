"""Laws of the arms."""

import pytest

from tests.core.ablation.making import PAPERS, outcomes, pool_of, recipe
from weak2wise_core.ablation.arms import SEEDED, choices, choose, is_truncated
from weak2wise_core.config import Selector
from weak2wise_core.config.ablation import Arm
from weak2wise_core.selection import select_golden
from weak2wise_core.selectors.choosing import Evidence

RECIPE = recipe()
EVIDENCE = Evidence()
ROWS = [
    outcomes("111", draw=0, tokens=90),
    outcomes("110", draw=1, tokens=50),
    outcomes("000", draw=2, tokens=70),
    outcomes("100", draw=3, tokens=60),
]


@pytest.mark.parametrize(
    ("arm", "draw"),
    [(Arm.HIGHEST, 0), (Arm.UNTRUNCATED, 0), (Arm.LOWEST, 2), (Arm.SHORTEST, 1)],
)
def test_each_arm_chooses_by_its_name(arm: Arm, draw: int) -> None:
    """Best score, worst score, fewest tokens; untruncated is highest before the cut."""
    assert choose(ROWS, arm, recipe=RECIPE, evidence=EVIDENCE, seed=0).draw == draw


def test_highest_is_the_selection_of_the_build() -> None:
    """There is one definition of golden reasoning."""
    for arm in (Arm.HIGHEST, Arm.UNTRUNCATED):
        chosen = choose(ROWS, arm, recipe=RECIPE, evidence=EVIDENCE, seed=3)
        assert chosen == select_golden(ROWS, settings=RECIPE.step_mask).winner


def test_only_random_depends_on_the_seed() -> None:
    """Every candidate comes up under some seed; the other arms choose the same each time."""
    for arm in PAPERS:
        found = {
            choose(ROWS, arm, recipe=RECIPE, evidence=EVIDENCE, seed=seed).draw
            for seed in range(40)
        }
        assert len(found) == (len(ROWS) if arm in SEEDED else 1), arm


def test_random_draws_for_each_question_by_itself() -> None:
    """One seed does not pick the same draw everywhere."""
    rows = {
        f"q{number}": [outcomes("100", question=f"q{number}", draw=draw) for draw in range(4)]
        for number in range(20)
    }
    picked = choices(pool_of(rows, settings=RECIPE), Arm.RANDOM, recipe=RECIPE, seed=1)
    assert len({one.draw for one in picked.values()}) == 4


def test_all_but_one_arm_are_truncated() -> None:
    """Table 4 compares highest with and without the cut, and nothing else."""
    assert [arm for arm in Arm if not is_truncated(arm)] == [Arm.UNTRUNCATED]


def test_every_selector_has_an_arm_of_its_own() -> None:
    """Step-Mask's is called highest, as in Table 3; the others are called as they are."""
    for selector in Selector:
        assert Arm.of(selector).selector is selector
        assert is_truncated(Arm.of(selector))
    assert {Arm.of(one) for one in Selector} == set(Arm) - {Arm.UNTRUNCATED}
