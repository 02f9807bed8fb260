"""Laws of the forecast: its range holds the truth, and never leaves the bounds."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.planning.world import World, questions
from weak2wise_core.accounts import price
from weak2wise_core.config import Prices
from weak2wise_core.planning.forecast import Expected, Line, Range, forecast
from weak2wise_core.planning.meter import Row, Taken, total
from weak2wise_core.planning.needs import Bounds
from weak2wise_core.planning.pilot import Sample, pilot_of
from weak2wise_core.planning.plan import plan_of
from weak2wise_core.records import Usage

MakeWorld = Callable[..., World]

ROW = Row("filter_qa", "weak")
PRICES = Prices(input=1.0, output=2.0, cached_input=0.5)
TYPICAL = Usage(prompt_tokens=100, completion_tokens=50)


def sample(number: int, *, calls: int, tokens: int) -> Sample:
    """A question that took some calls."""
    taken = Taken(
        calls=calls,
        prompt_tokens=2 * tokens,
        completion_tokens=tokens,
        reasoning_tokens=tokens // 2,
        cached_tokens=tokens // 4,
        counted=calls,
    )
    return Sample(question_id=f"q{number}", taken={ROW: taken})


def line(*, most: int, least: int = 0, stored: int = 0) -> Line:
    """A line with bounds."""
    bounds = Bounds(least=least, most=most)
    return Line(stored=stored, bounds=bounds, prices=PRICES, typical=TYPICAL)


def ranges(expected: Expected) -> dict[str, Range]:
    """Every range by name."""
    return {field.name: getattr(expected, field.name) for field in fields(expected)}


def test_nothing_open_costs_nothing() -> None:
    """With every question answered, every range is zero."""
    found = forecast([sample(1, calls=3, tokens=9)], open_questions=0, lines={ROW: line(most=0)})
    assert set(ranges(found.total).values()) == {Range(0, 0, 0)}


def test_questions_that_are_alike_leave_nothing_to_guess() -> None:
    """Equal samples give one figure, and it is theirs times the open questions."""
    samples = [sample(number, calls=3, tokens=40) for number in range(5)]
    found = forecast(samples, open_questions=7, lines={ROW: line(most=99)})
    usage = Usage(prompt_tokens=560, completion_tokens=280, cached_tokens=70)
    for range_, figure in (
        (found.total.calls, 21),
        (found.total.completion_tokens, 280),
        (found.total.cached_tokens, 70),
        (found.total.reasoning_tokens, 140),
        (found.total.usd, price(usage, PRICES)),
    ):
        assert range_ == pytest.approx((figure, figure, figure))


@settings(deadline=None, max_examples=50)
@given(
    calls=st.lists(st.integers(0, 20), min_size=1, max_size=12),
    opened=st.integers(0, 50),
    least=st.integers(0, 100),
    width=st.integers(0, 100),
    stored=st.integers(0, 60),
)
def test_calls_stay_within_their_bounds(
    calls: list[int], opened: int, least: int, width: int, stored: int
) -> None:
    """However odd the pilot, least <= low <= high <= most, and ranges are in order."""
    samples = [sample(i, calls=count, tokens=10 * count) for i, count in enumerate(calls)]
    bounds = line(least=least, most=least + width, stored=stored)
    found = forecast(samples, open_questions=opened, lines={ROW: bounds}).lines[ROW]
    assert least <= found.calls.low <= found.calls.high <= least + width
    assert least <= found.calls.middle <= least + width
    assert all(one.low <= one.high and one.low >= 0 for one in ranges(found).values())


def test_a_line_that_no_sample_came_to_costs_the_typical_call() -> None:
    """Calls that are certain are not free because the pilot did not meet them."""
    samples = [Sample(question_id="q", taken={}) for _ in range(6)]
    found = forecast(samples, open_questions=4, lines={ROW: line(least=3, most=8)}).total
    assert found.calls.low == found.calls.high == 3
    assert found.usd.high == pytest.approx(3 * price(TYPICAL, PRICES))


def test_replies_that_nobody_counted_cost_the_typical_call() -> None:
    """A server without token counts is not free; where it counted some, those tell."""
    silent = [Sample(question_id=f"s{n}", taken={ROW: Taken(calls=3)}) for n in range(6)]
    found = forecast(silent, open_questions=4, lines={ROW: line(most=99)}).total
    assert found.calls.middle == 12
    assert found.usd.middle == pytest.approx(12 * price(TYPICAL, PRICES))
    counted = [sample(number, calls=3, tokens=30) for number in range(6)]
    both = forecast([*silent, *counted], open_questions=4, lines={ROW: line(most=99)}).total
    assert both.completion_tokens.middle == pytest.approx(12 * 10)


def test_failed_samples_say_nothing() -> None:
    """A question that was cut short by a failure does not make the others look cheap."""
    good = [sample(number, calls=4, tokens=40) for number in range(3)]
    failed = Sample(question_id="x", taken={}, failed="gone")
    lines = {ROW: line(most=99)}
    with_it = forecast([*good, failed], open_questions=5, lines=lines)
    assert with_it == forecast(good, open_questions=5, lines=lines)
    with pytest.raises(ValueError, match="no question"):
        forecast([failed], open_questions=5, lines=lines)


@pytest.mark.slow
async def test_most_intervals_hold_what_the_others_really_take(world: MakeWorld) -> None:
    """Over many pilots of one build, calls, tokens and money of the rest lie in most ranges."""
    made, chosen = world(step_mask={"granularity": 3, "policy": "race"}), questions(60)
    samples, _ = await made.run(chosen)
    rows = sorted({row for one in samples for row in one.taken})
    lines = {row: line(most=10_000) for row in rows}
    held: dict[str, int] = {}
    trials = 60
    for seed in range(trials):
        shuffled = random.Random(seed).sample(samples, 60)
        found = forecast(shuffled[:15], open_questions=45, lines=lines).total
        for name, truth in truths(shuffled[15:]).items():
            range_ = ranges(found)[name]
            held[name] = held.get(name, 0) + (range_.low <= truth <= range_.high)
    assert all(count >= 0.75 * trials for count in held.values()), held


def truths(rest: Sequence[Sample]) -> Mapping[str, float]:
    """What some questions really took."""
    taken = sum(total(one.taken for one in rest).values(), Taken())
    return {
        "calls": taken.calls,
        "prompt_tokens": taken.prompt_tokens,
        "completion_tokens": taken.completion_tokens,
        "cached_tokens": taken.cached_tokens,
        "usd": price(taken.usage, PRICES),
    }


async def test_a_plan_after_a_pilot_expects_what_the_build_then_pays(world: MakeWorld) -> None:
    """Line by line the build's calls lie within the bounds, and its money is not far off."""
    made, chosen = world(), questions(40)
    samples, _ = await made.run(pilot_of(chosen, size=15))
    outlooks = await made.look_ahead(chosen)
    plan = plan_of(made.scene, chosen, outlooks, rows=40, rejected=0, samples=samples)
    _, accounts = await made.run(chosen)
    assert (plan.samples, plan.open) == (15, 25)
    for row in plan.calls:
        paid = accounts[Row(row.stage, row.model)]
        assert row.least <= paid.calls <= row.most
        assert row.expected is not None
        assert row.least <= row.expected.calls.low <= row.expected.calls.high <= row.most
    usd = sum(account.usd for account in accounts.values())
    assert plan.expected is not None
    assert plan.expected.usd.low / 1.2 <= usd <= plan.expected.usd.high * 1.2
    assert plan.expected.usd.high <= (plan.usd("usd_most") or 0)
