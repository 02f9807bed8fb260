"""Laws of the comparison of arms."""

import pytest

from tests.core.ablation.making import verdicts
from weak2wise_core.ablation.comparing import BASE, compare

ORDERED = {
    ("highest", 0): "1111",
    ("highest", 1): "1110",
    ("random", 0): "1100",
    ("random", 1): "1100",
    ("lowest", 0): "1000",
    ("lowest", 1): "0000",
    (BASE, None): "0000",
}


def test_accuracies_are_means_over_seeds_and_questions() -> None:
    """Every arm has its mean, every seed its own, and the base model stands beside them."""
    (found,) = compare(verdicts(ORDERED), resamples=200)
    arms = {one.arm: one for one in found.arms}
    assert (found.pool, found.benchmark, found.items) == ("all", "b", 4)
    assert arms["highest"].accuracy.value == 0.875
    assert arms["highest"].by_seed == {0: 1.0, 1: 0.75}
    assert arms[BASE].accuracy.value == 0.0
    assert arms[BASE].by_seed == {}
    assert found.disorders == ()
    compared = {(one.first, one.second): one.difference.value for one in found.differences}
    assert compared == {
        ("highest", "random"): 0.375,
        ("random", "lowest"): 0.375,
        ("highest", BASE): 0.875,
    }


def test_every_ordering_that_fails_is_named() -> None:
    """A seed that is reversed or level is named although the average is in order."""
    answers = ORDERED | {("random", 1): "1110", ("lowest", 0): "1110"}
    (found,) = compare(verdicts(answers), resamples=100)
    named = [(one.seed, one.better, one.worse) for one in found.disorders]
    assert named == [(1, "highest", "random"), (0, "random", "lowest")]
    assert found.disorders[0].accuracy_better == found.disorders[0].accuracy_worse == 0.75


def test_an_average_out_of_order_is_named_first() -> None:
    """Where all seeds together are reversed, the average is a failure of its own."""
    answers = ORDERED | {("highest", 0): "0000", ("highest", 1): "0000"}
    (found,) = compare(verdicts(answers), resamples=100)
    assert [one.seed for one in found.disorders] == [None, 0, 1]


def test_without_random_highest_is_held_against_lowest() -> None:
    """The order is that of the arms which were trained."""
    answers = {key: value for key, value in ORDERED.items() if key[0] != "random"}
    (found,) = compare(verdicts(answers | {("highest", 1): "0000"}), resamples=50)
    assert [(one.better, one.worse, one.seed) for one in found.disorders] == [
        ("highest", "lowest", 1)
    ]


def test_pools_and_benchmarks_are_compared_by_themselves() -> None:
    """Each pool stands beside the same base model; nothing is mixed."""
    rows = [
        *verdicts(ORDERED),
        *verdicts({("highest", 0): "1000"}, pool="length-balanced"),
        *verdicts({("highest", 0): "11", (BASE, None): "10"}, benchmark="c"),
    ]
    found = {(one.pool, one.benchmark): one for one in compare(rows, resamples=50)}
    assert set(found) == {("all", "b"), ("length-balanced", "b"), ("all", "c")}
    assert found["length-balanced", "b"].arms[0].accuracy.value == 0.25
    assert found["length-balanced", "b"].arms[1].arm == BASE


def test_an_unjudged_answer_is_not_correct_and_is_counted() -> None:
    """It lowers the accuracy, and the result says how many there were."""
    (found,) = compare(verdicts({("highest", 0): "1?0?"}), resamples=50)
    assert found.arms[0].accuracy.value == 0.25
    assert found.arms[0].unjudged == 2


def test_arms_that_were_asked_different_questions_are_refused() -> None:
    """A missing answer would shift every difference."""
    with pytest.raises(ValueError, match="same questions"):
        compare(verdicts({("highest", 0): "11", ("random", 0): "1"}), resamples=10)
    with pytest.raises(ValueError, match="every question once"):
        compare(verdicts({("highest", 0): "11", ("highest", 1): "1"}), resamples=10)
