"""Laws of the bootstrap."""

import numpy as np
import pytest

from weak2wise_core.bootstrap import Bootstrap


def table(rows: list[str]) -> "np.typing.NDArray[np.float64]":
    """Accuracies from rows of 0 and 1."""
    return np.array([[float(bit) for bit in row] for row in rows])


def test_the_interval_holds_the_value_and_what_never_varies_has_none() -> None:
    """A model that is always right is certain; one that is half right is not."""
    found = Bootstrap({"sure": table(["1111"]), "half": table(["1010"])}, resamples=2000)
    assert found.accuracy("sure").low == found.accuracy("sure").high == 1.0
    half = found.accuracy("half")
    assert half.low < half.value == 0.5 < half.high


def test_it_agrees_with_the_formula_of_a_mean() -> None:
    """With one seed the spread of resampled means is that of a mean of independent questions."""
    bits = np.random.default_rng(1).integers(0, 2, size=(1, 400)).astype(float)
    found = Bootstrap({"arm": bits}, resamples=20_000).accuracy("arm")
    expected = 1.96 * float(bits.std()) / np.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.06)


def test_seeds_vary_too() -> None:
    """Two seeds that disagree widen the interval beyond what the questions explain."""
    level = table(["10" * 50, "01" * 50])
    apart = table(["1" * 100, "0" * 100])
    found = Bootstrap({"level": level, "apart": apart}, resamples=4000)
    same, wide = found.accuracy("level"), found.accuracy("apart")
    assert same.value == wide.value == 0.5
    assert (wide.low, wide.high) == (0.0, 1.0)
    assert same.high - same.low < 0.35


def test_a_difference_is_taken_on_the_same_questions_and_seeds() -> None:
    """An arm that is right wherever another is has a difference of exactly 0."""
    rows = table(["1100110010", "0101010101"])
    found = Bootstrap({"a": rows, "b": rows.copy()}, resamples=500).difference("a", "b")
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_the_base_model_has_no_seeds_to_draw() -> None:
    """One row stands beside arms of several seeds."""
    found = Bootstrap({"arm": table(["11", "10"]), "base": table(["00"])}, resamples=100)
    assert found.difference("arm", "base").value == 0.75


def test_the_number_of_resamples_kept_in_memory_changes_nothing() -> None:
    """More resamples than are drawn at once, and the same seed: the same figures every time."""
    rows = {"a": table(["1010010111"]), "b": table(["0010110100"])}
    first, second = (Bootstrap(rows, resamples=2500) for _ in range(2))
    assert first.difference("a", "b") == second.difference("a", "b")


@pytest.mark.parametrize("other", [["110"], ["11", "10", "01"]])
def test_arms_with_other_questions_or_seeds_are_refused(other: list[str]) -> None:
    """They cannot be compared pairwise."""
    with pytest.raises(ValueError, match="cannot be compared"):
        Bootstrap({"a": table(["11", "10"]), "b": table(other)}, resamples=10)
