"""Laws of the formulas, on numbers that can be checked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.selectors.formulas import (
    BinaryCut,
    cut,
    local_naturalness,
    mean_log_probability,
    rank_surprisal_ratio,
    solution_likelihood,
)
from weak2wise_core.selectors.soundness import agreement

logs = st.lists(st.floats(-30, -1e-6), min_size=1, max_size=20)


def test_values_by_hand() -> None:
    """One trace worked out with pencil and paper."""
    assert mean_log_probability([-1.0, -3.0]) == -2.0
    assert local_naturalness([[-1.0, -3.0], [-4.0]]) == -3.0
    assert rank_surprisal_ratio([-1.0, -3.0], [1, 7], cap=100) == 2.0
    assert solution_likelihood([-1.0, -3.0], least_weight=0.5) == -3.5


@given(logs)
def test_a_step_weighs_the_same_whatever_its_length(values: list[float]) -> None:
    """A repeated step changes no mean over steps, while it shifts the mean over tokens."""
    short = [-2.0]
    found = local_naturalness([values, short])
    assert found == pytest.approx((math.fsum(values) / len(values) - 2.0) / 2)
    assert local_naturalness([values, [], short]) == found


@given(logs, st.integers(2, 50))
def test_a_rank_beyond_the_cap_counts_as_the_cap(values: list[float], cap: int) -> None:
    """One absurd token cannot decide about a whole trace."""
    ranks = [cap + 5] * len(values)
    capped = rank_surprisal_ratio(values, [cap] * len(values), cap=cap)
    assert rank_surprisal_ratio(values, ranks, cap=cap) == capped


@given(logs)
def test_likelihoods_rise_with_every_token(values: list[float]) -> None:
    """A more probable token never makes a trace less natural."""
    better = [value / 2 for value in values]
    for formula in (
        mean_log_probability,
        lambda x: local_naturalness([x]),
        lambda x: solution_likelihood(x, least_weight=0.01),
    ):
        before, after = formula(values), formula(better)
        assert before is not None
        assert after is not None
        assert after > before


def test_what_is_undefined_is_none() -> None:
    """No token, no step, no surprise: there is no value, and not 0."""
    assert mean_log_probability([]) is None
    assert local_naturalness([[], []]) is None
    assert rank_surprisal_ratio([], [], cap=9) is None
    assert rank_surprisal_ratio([0.0], [1], cap=9) is None
    assert solution_likelihood([], least_weight=1) is None


@given(st.integers(1, 200), st.integers(1, 201))
def test_binary_cutting_finds_the_shortest_where_more_never_hurts(parts: int, least: int) -> None:
    """It asks about log2 of the parts, the whole trace first, and finds the threshold."""
    search, asked = BinaryCut(parts), []
    while (kept := search.asks) is not None:
        asked.append(kept)
        search.answer(enough=kept >= least)
    assert search.found == (least if least <= parts else None)
    assert asked[0] == parts
    assert len(asked) <= 2 + math.log2(parts)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_binary_cutting_never_returns_what_was_not_enough(answers: list[bool]) -> None:
    """Whatever the model says, the result was tried and was enough."""
    found = cut(len(answers), enough=lambda kept: answers[kept - 1])
    assert (found is None) == (not answers[-1])
    assert found is None or answers[found - 1]


def test_a_search_that_is_over_takes_no_answer() -> None:
    """And one over nothing has nothing to ask."""
    assert BinaryCut(0).asks is None
    over = BinaryCut(1)
    over.answer(enough=False)
    with pytest.raises(ValueError, match="over"):
        over.answer(enough=True)


@pytest.mark.parametrize(
    ("steps", "thinking", "share"),
    [
        ("## Add\n17 + 5 = 22\n\n## Final Answer\n9", "17 + 5 = 22", 1.0),
        ("## Add\n17 + 5 = 22\n\n## Final Answer\n22", "17 + 5 = 23", 2 / 3),
        ("## Step 1\n17 + 5 = 22", "17, 5, 22", 1.0),
        ("## Think\nNo number here.", "42", 1.0),
        ("no title: 5", "none", 0.0),
        ("## Big\n1,000 and 2.5", "1000 and 2.5", 1.0),
    ],
)
def test_agreement_counts_the_numbers_of_the_steps(steps: str, thinking: str, share: float) -> None:
    """The final answer, the numbering of steps and separators make no difference."""
    assert float(agreement(steps, thinking)) == pytest.approx(share)
