"""Laws of looking ahead: what the store answers is known, what it lacks is bounded."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.core.planning.world import MemoryStore, World, questions
from weak2wise_core.errors import BudgetReachedError
from weak2wise_core.planning.meter import Row
from weak2wise_core.planning.meter import total as total_taken
from weak2wise_core.planning.needs import Bounds
from weak2wise_core.planning.needs import total as total_needs

MakeWorld = Callable[..., World]

RULE = {"judging": {"method": "rule"}, "truncation": {"method": "rule", "over_tokens": 4}}
RACE = {"step_mask": {"granularity": 3, "policy": "race"}}
RESAMPLE = {"zero_score": {"action": "resample", "max_draws": 5}}
RECIPES: dict[str, dict[str, Any]] = {
    "exhaustive, judged by votes": {},
    "exhaustive, judged by rules": RULE,
    "race, judged by votes": RACE,
    "race, judged by rules": RACE | RULE,
    "race, rules then votes": RACE | {"judging": {"method": "rule_then_llm"}},
    "race, drawn again": RACE | RESAMPLE,
    "exhaustive, drawn again, five votes": RESAMPLE | {"judging": {"votes": 5}},
    "chosen by length": {"selection": {"by": "shortest"}},
    "unfiltered race": RACE | {"filter": {"enabled": False}},
    "unfiltered, kept at zero": {"filter": {"enabled": False}, "zero_score": {"action": "keep"}},
}


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
async def test_after_a_whole_build_nothing_is_left_to_pay_for(
    world: MakeWorld, changes: dict[str, Any]
) -> None:
    """Every reply that was paid for is counted as stored, in its line, and none is missing."""
    made, chosen = world(**changes), questions(8)
    _, accounts = await made.run(chosen)
    outlooks = await made.look_ahead(chosen)
    stored = total_taken(one.stored for one in outlooks)
    assert {one.waits_at for one in outlooks} == {None}
    assert total_needs(one.needs for one in outlooks) == {}
    assert {row: one.calls for row, one in stored.items()} == {
        row: account.calls for row, account in accounts.items() if account.calls
    }
    tokens = sum(one.completion_tokens for one in accounts.values())
    assert sum(one.completion_tokens for one in stored.values()) == tokens


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("paid", [0, 3, 20, 60, 110])
async def test_what_an_interrupted_build_still_pays_lies_within_the_bounds(
    world: MakeWorld, changes: dict[str, Any], paid: int
) -> None:
    """For every stage and model, the resumed build pays at least `least` and at most `most`."""
    made, chosen = world(**changes), questions(8)
    with suppress(BudgetReachedError):
        await made.run(chosen, calls=paid)
    outlooks = await made.look_ahead(chosen)
    needs = total_needs(one.needs for one in outlooks)
    _, accounts = await made.run(chosen)
    for row, account in accounts.items():
        bounds = needs.get(row, Bounds())
        assert bounds.least <= account.calls <= bounds.most, row
    assert all(row in accounts for row, bounds in needs.items() if bounds.least)


@pytest.mark.parametrize("paid", [0, 25, 60])
async def test_filter_and_first_draws_are_exact(world: MakeWorld, paid: int) -> None:
    """Unaided attempts are known to the call; draws are, where the filter has spoken."""
    made, chosen = world(**RULE), questions(8)
    with suppress(BudgetReachedError):
        await made.run(chosen, calls=paid)
    outlooks = await made.look_ahead(chosen)
    needs = total_needs(one.needs for one in outlooks)
    _, accounts = await made.run(chosen)
    row = Row("filter_qa", "weak")
    bounds = needs.get(row, Bounds())
    assert bounds.least == bounds.most == accounts[row].calls
    if all(one.waits_at != "filter_qa" for one in outlooks):
        for name in ("s1", "s2"):
            row = Row("generate_candidates", name)
            bounds = needs.get(row, Bounds())
            assert bounds.least == bounds.most == accounts[row].calls


async def test_an_exhaustive_build_that_waits_for_the_weak_model_only_is_exact(
    world: MakeWorld,
) -> None:
    """With every trace there and rules as judge, the missing mask levels are known to the call."""
    made, chosen = world(**RULE, filter={"enabled": False}), questions(6)
    await made.run(chosen)
    store = made.store
    assert isinstance(store, MemoryStore)
    levels = [key for key, reply in store.replies.items() if reply.model == "weak-1"]
    for key in levels[::3]:
        del store.replies[key]
    needs = total_needs(one.needs for one in await made.look_ahead(chosen))
    removed = len(levels[::3])
    assert needs == {Row("score_step_masks", "weak"): Bounds(least=removed, most=removed)}


async def test_behind_an_unknown_verdict_nothing_is_certain(world: MakeWorld) -> None:
    """With the filter's replies gone, a question may be solved and need none of the others."""
    made, chosen = world(**RULE), questions(12)
    await made.run(chosen)
    store = made.store
    assert isinstance(store, MemoryStore)
    for call in made.models["weak"].calls:
        if "## Hint" not in call.messages[0].content:
            store.replies.pop(made.key("weak", call.messages))
    outlooks = await made.look_ahead(chosen)
    needs = total_needs(one.needs for one in outlooks)
    _, accounts = await made.run(chosen)
    assert needs.pop(Row("filter_qa", "weak")) == Bounds(least=12, most=12)
    assert {row for row, one in accounts.items() if one.calls} == {Row("filter_qa", "weak")}
    assert needs
    assert not any(bounds.least for bounds in needs.values())
    assert total_taken(one.stored for one in outlooks) == {}


async def test_a_missing_vote_costs_one_call_or_its_re_ask(world: MakeWorld) -> None:
    """Where one vote of a ballot is gone, at least one call and at most two are needed for it."""
    made, chosen = world(filter={"enabled": True}), questions(1)
    await made.run(chosen)
    store = made.store
    assert isinstance(store, MemoryStore)
    key = next(key for key, reply in store.replies.items() if reply.model == "judge-1")
    del store.replies[key]
    (outlook,) = await made.look_ahead(chosen)
    bounds = outlook.needs[Row("filter_qa", "judge")]
    assert (outlook.waits_at, bounds.least) == ("filter_qa", 1)
    assert bounds.least <= bounds.most <= 2 * 3


async def test_bounds_of_an_empty_store_are_those_of_the_recipe(world: MakeWorld) -> None:
    """Six cells a pair of draws, three votes an answer, one re-ask a vote, all twice; no more."""
    made = world(filter={"enabled": False})
    (outlook,) = await made.look_ahead(questions(1))
    assert outlook.needs == {
        Row("generate_candidates", "s1"): Bounds(least=2, most=2),
        Row("generate_candidates", "s2"): Bounds(least=2, most=2),
        Row("score_step_masks", "weak"): Bounds(least=0, most=12),
        Row("score_step_masks", "judge"): Bounds(least=0, most=144, reasks=108),
        Row("truncate_golden", "truncator"): Bounds(least=0, most=1),
    }


async def test_looking_ahead_asks_nothing(world: MakeWorld) -> None:
    """No model is called, whatever the store lacks."""
    made, chosen = world(), questions(4)
    await made.look_ahead(chosen)
    assert not any(model.calls for model in made.models.values())


async def test_two_names_of_one_model_pay_for_a_request_once(world: MakeWorld) -> None:
    """Strong models that are the same model ask the same; the second one finds the reply."""
    made, chosen = world(**RULE, filter={"enabled": False}), questions(3)
    made.models["s2"] = made.models["s1"]
    needs = total_needs(one.needs for one in await made.look_ahead(chosen))
    _, accounts = await made.run(chosen)
    drawn = sum(one.calls for row, one in accounts.items() if row.stage == "generate_candidates")
    expected = [bounds for row, bounds in needs.items() if row.stage == "generate_candidates"]
    assert sum(one.least for one in expected) == sum(one.most for one in expected) == drawn == 6
