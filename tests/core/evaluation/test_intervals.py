"""Laws of intervals and tests: they hold the value, and cover what they promise."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="needs the extra eval")

from weak2wise_core.evaluation.intervals import (
    accuracy_interval,
    difference_interval,
    paired_test,
    wilson,
)

outcomes = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40)
pairs = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1)


def columns(rows: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Both models' outcomes."""
    return [a for a, _ in rows], [b for _, b in rows]


def test_wilson_is_the_published_interval() -> None:
    """81 of 263, an example of Newcombe's (1998): 0.2553 to 0.3662."""
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@given(outcomes)
def test_an_interval_holds_its_accuracy(items: list[float]) -> None:
    """Within [0, 1], around the value, and never of no width: a sample is never certain."""
    found = accuracy_interval(items, samples=1, resamples=100)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0
    assert found.method == "wilson"


@given(st.lists(st.sampled_from([0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=20))
def test_several_samples_are_drawn_by_question(items: list[float]) -> None:
    """With k answers to a question the interval comes from the questions, and has a width."""
    found = accuracy_interval(items, samples=4, resamples=200)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high > found.low
    assert found.method == ("wilson" if len(set(items)) == 1 else "bootstrap")


def test_more_answers_to_the_same_questions_do_not_narrow_it_like_more_questions() -> None:
    """Where every question is always right or always wrong, k answers say no more than one."""
    shares = [1.0, 0.0] * 50
    one = accuracy_interval(shares, samples=1, resamples=4000)
    many = accuracy_interval(shares, samples=64, resamples=4000)
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.1)


@given(pairs)
def test_a_difference_is_as_large_the_other_way_round(rows: list[tuple[float, float]]) -> None:
    """Exchanging the models changes the sign and nothing else."""
    first, second = columns(rows)
    there = difference_interval(first, second, samples=1, resamples=1)
    back = difference_interval(second, first, samples=1, resamples=1)
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low)
    )
    assert -1 <= there.low <= there.value <= there.high <= 1


def test_no_difference_in_thirty_questions_is_no_certainty() -> None:
    """Two models that agree on every question of a small benchmark may still differ."""
    same = [1.0] * 20 + [0.0] * 10
    found = difference_interval(same, same, samples=1, resamples=1)
    assert found.low < 0 < found.high


@pytest.mark.parametrize(
    ("first", "second"),
    [([1.0], [0.5]), ([1.0] * 3, [0.5] * 3), ([0.5, 0.75], [0.25, 0.5]), ([1.0], [1.0])],
)
def test_the_same_difference_everywhere_is_no_certainty(
    first: list[float], second: list[float]
) -> None:
    """Several samples of few questions, one at least: the interval still has a width."""
    found = difference_interval(first, second, samples=4, resamples=100)
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.5
    assert found.method == "newcombe"
    assert paired_test(first, second, samples=4).p_value >= 2 ** (1 - len(first))


@pytest.mark.parametrize("samples", [1, 4])
def test_intervals_of_differences_cover_the_truth(samples: int) -> None:
    """Of many experiments with a known difference about 95% hold it."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        ease = rng.beta(1, 1, size=80)
        first = rng.binomial(samples, np.minimum(ease + 0.1, 1)) / samples
        second = rng.binomial(samples, ease) / samples
        truth = float(np.mean(np.minimum(np.linspace(0, 1, 1001) + 0.1, 1)) - 0.5)
        found = difference_interval(list(first), list(second), samples=samples, resamples=400)
        held += found.low <= truth <= found.high
    assert 0.88 <= held / 200 <= 1


@given(pairs)
def test_mcnemar_counts_only_where_the_models_disagree(rows: list[tuple[float, float]]) -> None:
    """The exact p-value is a sum of binomial probabilities of the disagreements."""
    first, second = columns(rows)
    found = paired_test(first, second, samples=1)
    up, down = (sum(sign * (a - b) > 0 for a, b in rows) for sign in (1, -1))
    tail = sum(math.comb(up + down, k) for k in range(min(up, down) + 1)) / 2 ** (up + down)
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))
    assert found.method == "mcnemar"


def test_a_clear_difference_is_found_and_none_is_not() -> None:
    """With several samples models are swapped question by question."""
    rng = np.random.default_rng(1)
    base = rng.uniform(0, 0.6, size=60)
    better = list(base + 0.25)
    assert paired_test(better, list(base), samples=4).p_value < 0.001
    assert paired_test(list(base), list(base), samples=4).p_value == 1
    assert paired_test(better, list(base), samples=4).method == "permutation"


def test_an_accuracy_needs_a_question() -> None:
    """Nothing was asked, so nothing is known."""
    with pytest.raises(ValueError, match="at least one question"):
        accuracy_interval([], samples=1, resamples=10)
