"""Laws of the door through which every model call passes."""

import asyncio
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.accounts import ledger, price
from weak2wise_core.config import Backend, BudgetSettings, ModelSpec, Prices
from weak2wise_core.errors import (
    BudgetReachedError,
    FatalModelError,
    ModelError,
    RequestRefusedError,
    TransientModelError,
)
from weak2wise_core.gateway import LONGEST_REPLY, Gateway, ModelHandle
from weak2wise_core.llm.scripted import ScriptedModel
from weak2wise_core.payments import before_next_try, lose_try
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage
from weak2wise_core.stores.replies import ReplyStore

HELLO = [Message(role="user", content="hello")]
PRICES = Prices(input=1.0, output=2.0, cached_input=0.5)


def spec(**settings: object) -> ModelSpec:
    """A model specification with prices."""
    return ModelSpec.model_validate(
        {"backend": Backend.TESTBED, "model": "scripted", "usd_per_mtok": PRICES} | settings
    )


def reply(content: str = "fine") -> ChatReply:
    """A reply of 1,000 prompt tokens, 400 of them cached, and 500 reply tokens: 0.0018 USD."""
    usage = Usage(prompt_tokens=1000, cached_tokens=400, completion_tokens=500, reasoning_tokens=9)
    return ChatReply(
        content=content, reasoning=None, finish_reason=FinishReason.STOP, usage=usage, model="m-1"
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplyStore]:
    """An empty reply store."""
    with ReplyStore(tmp_path / "replies.sqlite") as opened:
        yield opened


async def test_an_answered_call_is_never_paid_for_again(store: ReplyStore) -> None:
    """The same request with the same draw is asked once, also by another gateway."""
    model = ScriptedModel(lambda *_: reply())
    accounts = []
    for _ in range(2):
        handle = Gateway(in_flight=4, store=store).handle(model, spec=spec(), name="m", stage="s")
        assert (await handle.ask(HELLO)).content == "fine"
        assert (await handle.ask(HELLO)).content == "fine"
        accounts.append((handle.account.calls, handle.account.stored))
    assert len(model.calls) == 1
    assert accounts == [(1, 1), (0, 2)]


async def test_k_draws_are_k_calls(store: ReplyStore) -> None:
    """Draws of one request are different calls and different replies."""
    model = ScriptedModel(lambda _messages, _sampling, draw: f"reply {draw}")
    handle = Gateway(in_flight=4, store=store).handle(model, spec=spec(), name="m", stage="s")
    replies = await asyncio.gather(*(handle.ask(HELLO, draw=draw) for draw in range(5)))
    assert [one.content for one in replies] == [f"reply {draw}" for draw in range(5)]
    assert len(model.calls) == 5


async def test_all_models_share_the_slots() -> None:
    """No more calls than slots are in flight, whichever model they go to."""
    active, most = 0, 0

    class Watched(ScriptedModel):
        async def chat(self, *args: object, **kwargs: object) -> ChatReply:
            nonlocal active, most
            active += 1
            most = max(most, active)
            await asyncio.sleep(0.001)
            active -= 1
            return reply()

    gateway = Gateway(in_flight=3)
    handles = [
        gateway.handle(Watched(lambda *_: reply()), spec=spec(), name=name, stage="s")
        for name in ("a", "b")
    ]
    await asyncio.gather(*(handle.ask(HELLO, draw=d) for handle in handles for d in range(10)))
    assert most == 3


async def test_the_account_counts_what_was_paid() -> None:
    """Calls, tokens and money add up by stage and model."""
    gateway = Gateway(in_flight=2)
    handle = gateway.handle(ScriptedModel(lambda *_: reply()), spec=spec(), name="m", stage="s")
    await handle.ask(HELLO)
    await handle.ask(HELLO)
    account = gateway.accounts["s", "m"]
    assert (account.calls, account.prompt_tokens, account.completion_tokens) == (2, 2000, 1000)
    assert account.usd == pytest.approx(2 * (600 * 1.0 + 400 * 0.5 + 500 * 2.0) / 1e6)


@pytest.mark.parametrize(("prices", "unpriced"), [(PRICES, 2), (Prices(), 0)])
async def test_replies_without_token_counts_are_counted(prices: Prices, unpriced: int) -> None:
    """Their tokens are unknown, and their money where it depends on tokens: 0 would be false."""
    replies = iter([reply(), *(dataclasses.replace(reply(), usage=Usage()) for _ in range(2))])
    model = ScriptedModel(lambda *_: next(replies))
    handle = Gateway(in_flight=1).handle(model, spec=spec(usd_per_mtok=prices), name="m", stage="s")
    for draw in range(3):
        await handle.ask(HELLO, draw=draw)
    account = handle.account
    assert (account.calls, account.uncounted, account.unpriced) == (3, 2, unpriced)
    assert account.prompt_tokens == 1000


def test_no_reply_costs_less_than_nothing() -> None:
    """Where a server leaves cached tokens out of the prompt's, both are paid for."""
    apart = Usage(prompt_tokens=10, cached_tokens=1000)
    assert price(apart, PRICES) == pytest.approx((10 * 1.0 + 1000 * 0.5) / 1e6)


@pytest.mark.parametrize(
    ("limits", "longest"),
    [
        ({"max_tokens": 7}, 7),
        ({"extra_body": {"max_completion_tokens": 9}}, 9),
        ({"max_tokens": 7, "extra_body": {"max_completion_tokens": 9}}, 7),
        ({"extra_body": {"max_completion_tokens": "x"}}, LONGEST_REPLY),
        ({}, LONGEST_REPLY),
    ],
)
def test_the_worst_call_is_as_long_as_the_recipe_allows(
    limits: dict[str, object], longest: int
) -> None:
    """By either name of the limit; without one, as long as servers write."""
    handle = Gateway(in_flight=1).handle(
        ScriptedModel(lambda *_: reply()), spec=spec(**limits), name="m", stage="s"
    )
    least = Gateway(in_flight=1).handle(
        ScriptedModel(lambda *_: reply()), spec=spec(max_tokens=1), name="m", stage="s"
    )
    more = handle.worst_usd(HELLO) - least.worst_usd(HELLO)
    assert more == pytest.approx((longest - 1) * 2.0 / 1e6)


def test_cached_tokens_cost_as_input_where_no_price_is_given() -> None:
    """Without a price of their own, cached prompt tokens cost what fresh ones do."""
    usage = Usage(prompt_tokens=10, cached_tokens=10)
    assert price(usage, Prices(input=1.0)) == price(Usage(prompt_tokens=10), Prices(input=1.0))


async def test_an_error_names_model_and_draw_and_is_not_stored(store: ReplyStore) -> None:
    """A failed call leaves nothing behind that would answer the next one."""
    outcomes: list[ChatReply | ModelError] = [TransientModelError("gone"), reply()]
    model = ScriptedModel(lambda *_: outcomes.pop(0))
    handle = Gateway(in_flight=1, store=store).handle(model, spec=spec(), name="m", stage="s")
    with pytest.raises(TransientModelError) as caught:
        await handle.ask(HELLO, draw=7)
    assert (caught.value.model, caught.value.draw) == ("m", 7)
    assert (await handle.ask(HELLO, draw=7)).content == "fine"
    assert handle.account.failures == 1


async def test_a_ledger_sums_stored_and_fresh_replies_alike(store: ReplyStore) -> None:
    """What a row took is the same whether its replies were paid now or earlier."""
    spent = []
    for _ in range(2):
        gateway = Gateway(in_flight=2, store=store)
        handle = gateway.handle(ScriptedModel(lambda *_: reply()), spec=spec(), name="m", stage="s")
        with ledger() as taken:
            await asyncio.gather(*(handle.ask(HELLO, draw=draw) for draw in range(3)))
        spent.append(taken.spent())
    assert spent[0] == spent[1]
    assert (spent[0][0].calls, spent[0][0].prompt_tokens) == (3, 3000)


@pytest.mark.parametrize("cap", [0, 1, 4])
async def test_the_budget_of_calls_is_never_crossed(cap: int) -> None:
    """However many calls are wanted at once, no more than the cap are made."""
    model = ScriptedModel(lambda *_: reply(), latency_s=0.001)
    gateway = Gateway(in_flight=8, budget=BudgetSettings(calls=cap))
    handle = gateway.handle(model, spec=spec(), name="m", stage="s")
    outcomes = await asyncio.gather(
        *(handle.ask(HELLO, draw=draw) for draw in range(9)), return_exceptions=True
    )
    assert len(model.calls) == cap
    assert sum(isinstance(one, BudgetReachedError) for one in outcomes) == 9 - cap


@pytest.mark.parametrize("in_flight", [2, 8])
async def test_a_budget_that_is_reached_loses_no_reply(store: ReplyStore, in_flight: int) -> None:
    """The error that cancels everybody else comes when every paid reply is counted and kept."""
    model = ScriptedModel(lambda *_: reply(), latency_s=0.001)
    gateway = Gateway(in_flight=in_flight, store=store, budget=BudgetSettings(calls=20))
    handle = gateway.handle(model, spec=spec(), name="m", stage="s")
    asked = [asyncio.create_task(handle.ask(HELLO, draw=draw)) for draw in range(40)]

    def cancel_all(ended: asyncio.Task[ChatReply]) -> None:
        if not ended.cancelled() and ended.exception() is not None:
            for task in asked:
                task.cancel()

    for task in asked:
        task.add_done_callback(cancel_all)
    await asyncio.wait(asked)
    store.flush()
    assert len(model.calls) == handle.account.calls == store.stats().replies == 20


async def test_a_call_that_was_given_up_counts_against_the_budget() -> None:
    """It was sent, and whoever was asked may charge for it."""
    model = ScriptedModel(lambda *_: reply(), latency_s=30)
    gateway = Gateway(in_flight=1, budget=BudgetSettings(calls=1))
    handle = gateway.handle(model, spec=spec(), name="m", stage="s")
    given_up = asyncio.create_task(handle.ask(HELLO))
    await asyncio.sleep(0.05)
    assert len(model.calls) == 1
    given_up.cancel()
    await asyncio.wait([given_up])
    with pytest.raises(BudgetReachedError):
        await handle.ask(HELLO, draw=1)


async def test_the_budget_of_money_counts_calls_in_flight_at_their_worst() -> None:
    """Calls that could cross the cap wait for those in flight; what is paid stays below it."""
    model = ScriptedModel(lambda *_: reply(), latency_s=0.001)
    gateway = Gateway(in_flight=8, budget=BudgetSettings(usd=0.005))
    handle = gateway.handle(model, spec=spec(max_tokens=1000), name="m", stage="s")
    outcomes = await asyncio.gather(
        *(handle.ask(HELLO, draw=draw) for draw in range(9)), return_exceptions=True
    )
    paid = gateway.accounts["s", "m"].usd
    assert 0 < paid <= 0.005
    assert any(isinstance(one, BudgetReachedError) for one in outcomes)
    assert paid + handle.worst_usd(HELLO) > 0.005  # it did not stop earlier than it had to


@pytest.mark.parametrize("text", ["7 " * 500, "\u6c42" * 500], ids=["digits", "chinese"])
async def test_no_prompt_is_dearer_than_its_worst(text: str) -> None:
    """A prompt has at most a token for every byte, and a few that the chat template adds."""
    handle = Gateway(in_flight=1).handle(
        ScriptedModel(lambda *_: reply()), spec=spec(max_tokens=1000), name="m", stage="s"
    )
    dearest = Usage(prompt_tokens=len(text.encode()) + 20, completion_tokens=1000)
    messages = [Message(role="user", content=text)]
    assert handle.worst_usd(messages) >= price(dearest, handle.spec.usd_per_mtok)


async def test_replies_without_token_counts_are_held_against_the_budget() -> None:
    """A server that does not say what it took cannot make a budget endless."""
    silent = dataclasses.replace(reply(), usage=Usage(), content="x" * 1000)
    model = ScriptedModel(lambda *_: silent)
    gateway = Gateway(in_flight=1, budget=BudgetSettings(usd=0.01))
    handle = gateway.handle(model, spec=spec(max_tokens=1000), name="m", stage="s")
    outcomes = await asyncio.gather(
        *(handle.ask(HELLO, draw=draw) for draw in range(20)), return_exceptions=True
    )
    assert 0 < len(model.calls) <= 5  # 1,000 tokens of two dollars a million, five times
    assert isinstance(outcomes[-1], BudgetReachedError)


async def test_an_account_says_what_the_budget_holds() -> None:
    """What was counted as it was counted, what was not at its most: another process goes on so."""
    silent = dataclasses.replace(reply(), usage=Usage(), content="x" * 1000)
    replies = iter([reply(), silent])
    model = ScriptedModel(lambda *_: next(replies))
    handle = Gateway(in_flight=1).handle(model, spec=spec(max_tokens=1000), name="m", stage="s")
    await handle.ask(HELLO, draw=0)
    assert 0 < handle.account.usd == pytest.approx(handle.account.held_usd)
    before, paid = handle.account.held_usd, handle.account.usd
    await handle.ask(HELLO, draw=1)
    assert handle.account.usd == paid
    assert handle.account.held_usd == pytest.approx(before + handle.paid_usd(HELLO, silent))
    assert handle.paid_usd(HELLO, silent) > 1000 * 2.0 / 1e6


async def test_a_stored_reply_costs_no_budget(store: ReplyStore) -> None:
    """A reached budget still serves what was paid for earlier."""
    model = ScriptedModel(lambda *_: reply())
    rich = Gateway(in_flight=1, store=store).handle(model, spec=spec(), name="m", stage="s")
    await rich.ask(HELLO)
    broke = Gateway(in_flight=1, store=store, budget=BudgetSettings(calls=0))
    handle = broke.handle(model, spec=spec(), name="m", stage="s")
    assert (await handle.ask(HELLO)).content == "fine"
    with pytest.raises(BudgetReachedError, match="raise the budget"):
        await handle.ask(HELLO, draw=1)


async def test_the_same_request_in_flight_is_asked_once(store: ReplyStore) -> None:
    """Six who ask the same at once share one call, also when it fails."""
    outcomes: list[ChatReply | ModelError] = [TransientModelError("gone"), reply()]
    model = ScriptedModel(lambda *_: outcomes.pop(0), latency_s=0.01)
    handle = Gateway(in_flight=9, store=store).handle(model, spec=spec(), name="m", stage="s")
    failed = await asyncio.gather(*(handle.ask(HELLO) for _ in range(6)), return_exceptions=True)
    assert all(isinstance(one, TransientModelError) for one in failed)
    assert [(await one).content for one in [handle.ask(HELLO) for _ in range(2)]] == ["fine"] * 2
    assert len(model.calls) == 2


by_handle = pytest.mark.skipif(
    sys.platform != "linux", reason="here two stores of one process do not wait for each other"
)


@by_handle
async def test_builds_on_one_store_ask_the_same_request_once(tmp_path: Path) -> None:
    """Two who have opened the same store pay for one reply; the other one is counted as stored.

    Where the first one fails, the second asks itself, and where it is given up, too.
    """
    path = tmp_path / "replies.sqlite"
    outcomes: list[ChatReply | ModelError] = [reply("a"), TransientModelError("gone"), reply("b")]
    model = ScriptedModel(lambda *_: outcomes.pop(0), latency_s=0.3)
    with ReplyStore(path) as one, ReplyStore(path) as other:
        handles = [
            Gateway(in_flight=1, store=store).handle(model, spec=spec(), name="m", stage="s")
            for store in (one, other)
        ]
        replies = await asyncio.gather(*(handle.ask(HELLO) for handle in handles))
        assert [one.content for one in replies] == ["a", "a"]
        assert sorted((one.account.calls, one.account.stored) for one in handles) == [
            (0, 1),
            (1, 0),
        ]
        failed, answered = await asyncio.gather(
            *(handle.ask(HELLO, draw=1) for handle in handles), return_exceptions=True
        )
        assert isinstance(failed, TransientModelError)
        assert isinstance(answered, ChatReply)
        outcomes += [reply("c")] * 2
        first, second = (asyncio.create_task(handle.ask(HELLO, draw=2)) for handle in handles)
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).content == "c"
    assert len(model.calls) == 1 + 2 + 2


@by_handle
async def test_who_waits_for_another_build_holds_no_slot(tmp_path: Path) -> None:
    """With one slot, a request that another build asks does not keep others from being asked."""
    path = tmp_path / "replies.sqlite"
    slow = ScriptedModel(lambda *_: reply("slow"), latency_s=2.0)
    quick = ScriptedModel(lambda *_: reply("quick"))
    with ReplyStore(path) as one, ReplyStore(path) as other:
        theirs = Gateway(in_flight=1, store=one).handle(slow, spec=spec(), name="m", stage="s")
        ours = Gateway(in_flight=1, store=other).handle(quick, spec=spec(), name="m", stage="s")
        asked = asyncio.create_task(theirs.ask(HELLO))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(ours.ask(HELLO))
        assert (await ours.ask(HELLO, draw=1)).content == "quick"
        assert not asked.done()
        assert (await asked, await waiting) == (reply("slow"), reply("slow"))
    assert len(quick.calls) == 1


async def test_whoever_waits_for_a_cancelled_request_asks_it_anew() -> None:
    """Giving up a call does not take it from others who want its reply."""
    model = ScriptedModel(lambda *_: reply(), latency_s=0.5)
    handle = Gateway(in_flight=9).handle(model, spec=spec(), name="m", stage="s")
    first, second = (asyncio.create_task(handle.ask(HELLO)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).content == "fine"
    assert len(model.calls) == 2


async def test_a_model_that_refuses_everything_stops_the_build(store: ReplyStore) -> None:
    """Twenty refusals and no reply are the recipe's fault; a few among replies are not."""
    refused = ScriptedModel(lambda *_: RequestRefusedError("no"))
    handle = Gateway(in_flight=1, store=store).handle(refused, spec=spec(), name="m", stage="s")
    errors = [await refusal(handle, draw) for draw in range(20)]
    assert [type(error) for error in errors] == [RequestRefusedError] * 19 + [FatalModelError]
    fine = ScriptedModel(lambda *_: reply())
    await (
        Gateway(in_flight=1, store=store).handle(fine, spec=spec(), name="m", stage="s").ask(HELLO)
    )
    again = Gateway(in_flight=1, store=store).handle(refused, spec=spec(), name="m", stage="s")
    await again.ask(HELLO)  # from the store: the model did answer once
    errors = [await refusal(again, draw) for draw in range(1, 25)]
    assert {type(error) for error in errors} == {RequestRefusedError}


@pytest.mark.parametrize("paid", [True, False])
async def test_a_model_that_cannot_be_asked_costs_no_reply_of_another(
    store: ReplyStore, paid: bool
) -> None:
    """What is in flight comes back and is kept, then the error ends everybody; none asks on."""
    gateway = Gateway(in_flight=6, store=store)
    begun, answer = asyncio.Semaphore(0), asyncio.Event()

    class Slow(ScriptedModel):
        async def chat(self, *args: Any, **settings: Any) -> ChatReply:
            begun.release()
            await answer.wait()
            if not paid:
                raise TransientModelError("down")
            return await super().chat(*args, **settings)

    slow, refused = Slow(lambda *_: reply()), ScriptedModel(lambda *_: FatalModelError("no key"))
    good = gateway.handle(slow, spec=spec(), name="good", stage="s")
    bad = gateway.handle(refused, spec=spec(), name="bad", stage="s")
    asked = [asyncio.create_task(good.ask(HELLO, draw=draw)) for draw in range(4)]
    for _ in asked:
        await begun.acquire()
    asked += [asyncio.create_task(bad.ask(HELLO, draw=draw)) for draw in (50, 51)]
    asked += [asyncio.create_task(good.ask(HELLO, draw=draw)) for draw in range(4, 20)]

    def cancel_all(ended: asyncio.Task[ChatReply]) -> None:
        if not ended.cancelled() and isinstance(ended.exception(), FatalModelError):
            for task in asked:
                task.cancel()

    for task in asked:
        task.add_done_callback(cancel_all)
    done, _ = await asyncio.wait(asked, timeout=0.05)
    assert not done
    answer.set()
    await asyncio.wait(asked)
    store.flush()
    assert len(refused.calls) <= 2
    assert store.stats().replies == good.account.calls == (4 if paid else 0)
    assert begun.locked(), "a call began after the error"
    ended = {type(one.exception()) for one in asked if not one.cancelled()}
    assert FatalModelError in ended
    with pytest.raises(FatalModelError, match="no key"):
        await good.ask(HELLO, draw=30)


@pytest.mark.parametrize("costs", [True, False])
async def test_no_try_follows_the_error_that_ends_a_run(costs: bool) -> None:
    """A call that goes on trying ends with that error, which is not counted as its own failure."""
    tries = 0

    class Trying(ScriptedModel):
        async def chat(self, *_: Any, **__: Any) -> ChatReply:
            nonlocal tries
            for tries in range(1, 1000):  # noqa: B007 - counted for the test
                await asyncio.sleep(0.01)
                if costs:
                    lose_try(Usage())
                await before_next_try()
            raise AssertionError("it tried on")

    gateway = Gateway(in_flight=6)
    trying = gateway.handle(Trying(lambda *_: reply()), spec=spec(), name="good", stage="s")
    refused = ScriptedModel(lambda *_: FatalModelError("no key"))
    bad = gateway.handle(refused, spec=spec(), name="bad", stage="s")
    asked = asyncio.create_task(trying.ask(HELLO))
    await asyncio.sleep(0.05)
    with pytest.raises(FatalModelError, match="no key"):
        await bad.ask(HELLO, draw=1)
    with pytest.raises(FatalModelError, match="no key") as caught:
        await asked
    assert caught.value.model == "bad"
    assert (bad.account.failures, trying.account.failures) == (1, 0)
    assert trying.account.lost == (tries if costs else 0)


async def refusal(handle: ModelHandle, draw: int) -> ModelError:
    """The error of a call that must fail."""
    with pytest.raises(ModelError) as caught:
        await handle.ask(HELLO, draw=draw)
    return caught.value


async def test_an_account_counts_replies_by_the_model_id_that_they_name(store: ReplyStore) -> None:
    """Stored and fresh replies alike, so that a mixture of two models is seen."""
    ids = iter(["m-1", "m-2"])
    model = ScriptedModel(lambda *_: dataclasses.replace(reply(), model=next(ids)))
    first = Gateway(in_flight=1, store=store).handle(model, spec=spec(), name="m", stage="s")
    await first.ask(HELLO)
    again = Gateway(in_flight=1, store=store).handle(model, spec=spec(), name="m", stage="s")
    await again.ask(HELLO)
    await again.ask(HELLO, draw=1)
    assert first.account.returned == {"m-1": 1}
    assert again.account.returned == {"m-1": 1, "m-2": 1}


def test_roles_on_one_server_have_keys_of_their_own() -> None:
    """Whichever role opened the client that they share, its temperature is not the other's."""
    client = ScriptedModel(lambda *_: reply())
    server = {"backend": Backend.OPENAI, "base_urls": ("http://127.0.0.1:9/v1",)}
    handles = [
        Gateway(in_flight=1).handle(
            client, spec=spec(**server, temperature=temperature), name="m", stage="s"
        )
        for temperature in (0.1, 0.6)
    ]
    assert [handle.identity["temperature"] for handle in handles] == [0.1, 0.6]
    assert handles[0].key(HELLO, draw=0) != handles[1].key(HELLO, draw=0)
