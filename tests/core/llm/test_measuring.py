"""The faster way of batching wins, and figures are shares of what could have been."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.llm.machines import answer_to, prompt
from weak2wise_core.llm.measuring import Contest, LocalStats, Tally, Way
from weak2wise_core.llm.session import Stretch

PLAIN, CONTINUOUS = Way.PLAIN, Way.CONTINUOUS


def test_a_single_way_is_not_measured() -> None:
    """Where there is nothing to choose, nothing is counted and nothing changes."""
    contest = Contest((CONTINUOUS,), sample=10)
    contest.count(CONTINUOUS, requests=100, tokens=1, seconds=9.0)
    assert contest.decided
    assert contest.way is CONTINUOUS
    assert contest.paces == {}


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_each_way_answers_a_sample_and_the_faster_one_the_rest(
    plain_s: float, continuous_s: float
) -> None:
    """The first requests of a way do not count; equal speed keeps plain batches."""
    contest = Contest((PLAIN, CONTINUOUS), warm_up=8, sample=16)
    order = []
    for _ in range(8):
        way = contest.way
        order.append(way)
        warm = order.count(way) == 1
        seconds = 1000.0 if warm else plain_s if way is PLAIN else continuous_s
        contest.count(way, requests=8, tokens=80, seconds=seconds)
    assert order[:6] == [PLAIN] * 3 + [CONTINUOUS] * 3
    assert contest.decided
    assert contest.way is (CONTINUOUS if continuous_s < plain_s else PLAIN)
    assert contest.paces == {
        PLAIN: pytest.approx(80 / plain_s),
        CONTINUOUS: pytest.approx(80 / continuous_s),
    }


def test_time_without_an_answer_counts() -> None:
    """A way that works long before it answers is not the faster one."""
    contest = Contest((PLAIN, CONTINUOUS), sample=1)
    contest.count(PLAIN, requests=1, tokens=10, seconds=2.0)
    contest.count(CONTINUOUS, requests=0, tokens=0, seconds=5.0)
    assert not contest.decided
    contest.count(CONTINUOUS, requests=1, tokens=10, seconds=0.1)
    assert contest.way is PLAIN


def test_a_decision_stays() -> None:
    """What is counted later changes nothing: the way does not flutter."""
    contest = Contest((PLAIN, CONTINUOUS), sample=1)
    contest.count(PLAIN, requests=1, tokens=10, seconds=2.0)
    contest.count(CONTINUOUS, requests=1, tokens=10, seconds=1.0)
    contest.count(CONTINUOUS, requests=1, tokens=10, seconds=99.0)
    assert contest.way is CONTINUOUS


def test_a_way_that_fails_is_left_out_unless_it_is_the_only_one() -> None:
    """The other way goes on, measured or not."""
    contest = Contest((PLAIN, CONTINUOUS), sample=1)
    assert contest.withdraw(CONTINUOUS)
    assert contest.way is PLAIN
    assert contest.decided
    assert not contest.withdraw(PLAIN)
    assert contest.way is PLAIN


def test_figures_of_both_ways_are_added_up() -> None:
    """A plain batch fills its slots up to its longest reply, a stretch as many as it answered."""
    tally = Tally()
    assert tally.stats == LocalStats()
    assert (tally.stats.tokens_per_s, tally.stats.slots_used, tally.stats.busy_share) == (0, 0, 0)
    tally.begin()
    tally.on("paper")
    pairs = [(prompt(3), answer_to(prompt(3))) for _ in range(3)]
    tally.plain(pairs, slots=4, seconds=2.0)
    assert (tally.stats.steps, tally.stats.slot_steps, tally.stats.slots_used) == (2, 8, 6 / 8)
    stretch = Stretch(answered=pairs, steps=5, seconds=1.0, full=True)
    tally.session(stretch, slots=2, opened=True)
    tally.session(stretch, slots=2, opened=False)
    stats = tally.stats
    assert (stats.requests, stats.batches, stats.prompt_tokens) == (9, 2, 27)
    assert (stats.generated_tokens, stats.steps, stats.slot_steps) == (18, 12, 28)
    assert stats.tokens_per_s == pytest.approx(18 / 4)
    assert (stats.device, stats.way) == ("paper", CONTINUOUS)
    assert stats.busy_share == 1
