"""Laws of the rounds of drawing: every draw comes once; a score of 0 is settled by the recipe."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import Recipe
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import (
    GoldenReasoning,
    GoldenSource,
    Rejection,
    Truncation,
)
from weak2wise_core.stages.rounds import rounds_of, settle_zero


def recipe(**changes: Any) -> Recipe:
    """The least recipe."""
    model = {"backend": "testbed", "model": "weak"}
    content: dict[str, Any] = {
        "dataset": "d",
        "questions": {"path": "q.jsonl"},
        "models": {"weak": model, "strong": [model | {"name": "s"}]},
        "judging": {"method": "rule"},
        "truncation": {"method": "rule"},
    }
    return parse_recipe(content | changes)


GOLDEN = GoldenReasoning(
    question_id="q",
    strong_model="s",
    draw=1,
    source=GoldenSource.STEP_MASK,
    score=0.0,
    golden_reasoning="a trace",
    truncation=Truncation.NOT_NEEDED,
    normal_tokens=2,
    golden_tokens=2,
    spent=(),
)


@given(step=st.integers(1, 20), more=st.integers(0, 60))
def test_rounds_hold_every_draw_once_and_in_order(step: int, more: int) -> None:
    """With resampling they end at `max_draws`; no round is larger than the first."""
    zero = {"action": "resample", "max_draws": step + more}
    rounds = rounds_of(recipe(generate={"samples_per_model": step}, zero_score=zero))
    draws = [draw for one in rounds for draw in range(one.first, one.first + one.draws)]
    assert draws == list(range(step + more))
    assert all(1 <= one.draws <= step for one in rounds)


@pytest.mark.parametrize("action", ["drop", "keep", "annotate"])
def test_without_resampling_there_is_one_round(action: str) -> None:
    """Nothing is drawn again."""
    made = recipe(generate={"samples_per_model": 4}, zero_score={"action": action})
    assert rounds_of(made) == [(0, 4)]


@pytest.mark.parametrize(
    ("action", "notes", "expected"),
    [
        ("drop", {"q": "a note"}, "zero_score"),
        ("resample", {}, "zero_score"),
        ("keep", {}, "a trace"),
        ("annotate", {}, "awaiting_annotation"),
        ("annotate", {"q": "a note"}, "a note"),
    ],
)
def test_a_score_of_zero_is_settled_as_the_recipe_says(
    action: str, notes: dict[str, str], expected: str
) -> None:
    """Dropped and waiting questions say why; notes count only where the recipe annotates."""
    found = settle_zero(
        GOLDEN,
        recipe=recipe(zero_score={"action": action}),
        notes=notes,
        count_tokens=lambda text: len(text.split()),
    )
    told = found.reason if isinstance(found, Rejection) else found.golden_reasoning
    assert told == expected
