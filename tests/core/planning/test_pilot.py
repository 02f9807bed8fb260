"""Laws of the pilot: the same questions every time, paid for once, within the budget."""

import random
from collections.abc import Callable, Sequence

import pytest

from tests.core.planning.world import World, questions, strong
from weak2wise_core.errors import BudgetReachedError, FatalModelError, TransientModelError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.scripted import ScriptedModel
from weak2wise_core.planning.meter import total
from weak2wise_core.planning.pilot import pilot_of
from weak2wise_core.records import ChatReply, Message
from weak2wise_core.sharding import shards_of

MakeWorld = Callable[..., World]


def test_a_pilot_has_the_same_questions_whatever_their_order() -> None:
    """Neither the order of the file nor further rows decide, and a larger pilot has them all."""
    chosen = questions(50)
    whole, small = pilot_of(chosen, size=50), pilot_of(chosen, size=8)
    assert sorted(whole, key=lambda one: one.id) == sorted(chosen, key=lambda one: one.id)
    assert pilot_of(random.Random(1).sample(chosen, 50), size=8) == small == whole[:8]
    assert pilot_of(chosen[:30], size=30) == [one for one in whole if one in chosen[:30]]


def test_a_pilot_is_not_one_shard_of_its_build() -> None:
    """Its questions come from many shards."""
    chosen = questions(50)
    small = pilot_of(chosen, size=8)
    shards = shards_of(chosen, largest=5)
    assert len({shard.name for shard in shards for one in shard.questions if one in small}) > 2


async def test_what_the_pilot_paid_for_is_not_paid_again(world: MakeWorld) -> None:
    """Pilot and build together pay for exactly what a build alone pays for."""
    chosen = questions(10)
    alone, piloted = world(), world()
    _, whole = await alone.run(chosen)
    _, first = await piloted.run(pilot_of(chosen, size=4))
    _, rest = await piloted.run(chosen)
    paid = {row: first[row].calls + one.calls for row, one in rest.items()}
    assert paid == {row: one.calls for row, one in whole.items()}
    assert sum(one.calls for one in first.values()) > 0


async def test_samples_say_what_was_paid_and_say_it_again_when_all_is_stored(
    world: MakeWorld,
) -> None:
    """Samples add up to the account of the run; a later one, which pays nothing, has them too."""
    made, chosen = world(), questions(6)
    samples, accounts = await made.run(chosen)
    taken = total(one.taken for one in samples)
    for row, account in accounts.items():
        if account.calls:
            assert taken[row].calls == account.calls
            assert taken[row].usage.cached_tokens == account.cached_tokens
            assert taken[row].reasoning_tokens == account.reasoning_tokens
    again, unpaid = await made.run(chosen)
    assert again == samples
    assert sum(account.calls for account in unpaid.values()) == 0


@pytest.mark.parametrize("cap", [0, 1, 17])
async def test_the_budget_stops_a_pilot_and_keeps_what_was_paid(world: MakeWorld, cap: int) -> None:
    """No call too many is made, and the next run goes on from there."""
    made, chosen = world(), questions(5)
    with pytest.raises(BudgetReachedError, match="raise the budget"):
        await made.run(chosen, calls=cap)
    made_calls = sum(len(model.calls) for model in made.models.values())
    assert made_calls == cap
    _, accounts = await made.run(chosen)
    _, fresh = await world().run(chosen)
    paid = sum(account.calls for account in accounts.values())
    assert cap + paid == sum(account.calls for account in fresh.values())


async def test_a_question_that_fails_is_not_a_sample_of_the_others(world: MakeWorld) -> None:
    """Its failure is named, and the other questions are measured."""
    made, chosen = world(filter={"enabled": False}), questions(4)

    def failing(messages: Sequence[Message], sampling: Sampling, draw: int) -> ChatReply:
        if "number 2?" in messages[0].content:
            raise TransientModelError("the server is gone")
        return strong("s1")(messages, sampling, draw)

    made.models["s1"] = ScriptedModel(failing, name="s1")
    samples, _ = await made.run(chosen)
    assert [bool(one.failed) for one in samples] == [False, False, True, False]
    assert "the server is gone" in samples[2].failed


async def test_a_model_that_can_never_answer_ends_the_pilot(world: MakeWorld) -> None:
    """A wrong key is not a matter of single questions."""
    made = world()
    made.models["weak"] = ScriptedModel(lambda *_: FatalModelError("wrong key"), name="weak")
    with pytest.raises(FatalModelError, match="wrong key"):
        await made.run(questions(3))
