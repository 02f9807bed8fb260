"""Laws of tries that gave no reply: what may be charged for is held against the budget."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import LASTING_FAULTS, Fault, Reply
from tests.core.llm.asking import CANARY, FAST, eventually, free_port, spec_of
from weak2wise_core.config import BudgetSettings, ModelSpec
from weak2wise_core.errors import BudgetReachedError, ModelError
from weak2wise_core.gateway import Gateway, ModelHandle
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.llm.retrying import Backoff
from weak2wise_core.payments import before_next_try, lose_try
from weak2wise_core.records import Message, Usage

HELLO = [Message(role="user", content="hello")]
TOKENS = 100
PRICED = {"usd_per_mtok": {"input": 1.0, "output": 2.0}, "max_tokens": TOKENS, "retries": 8}
COUNTED_USD = (11 + 2 * 7) / 1e6
"""Of a reply of the server, by its `usage`."""
NOT_CHARGED = frozenset(
    {
        Fault.RATE_LIMITED,
        Fault.SERVER_ERROR,
        Fault.OVERLOADED,
        Fault.WRONG_CONTENT_TYPE,
        Fault.ERROR_IN_OK,
        Fault.FOREIGN_JSON,
    }
)
"""The server says itself that it did not answer."""
COUNTED = frozenset({Fault.EMPTY_CHOICES, Fault.NO_MESSAGE})
"""No reply, and yet the tokens of one."""
CHARGED = sorted(set(Fault) - LASTING_FAULTS - NOT_CHARGED)


class Asked:
    """One model behind the door, and its server."""

    def __init__(self, server: LoopbackServer, spec: ModelSpec, **budget: Any) -> None:
        self.server = server
        self.model = OpenAIModel(spec, api_key=CANARY, backoff=FAST)
        self._gateway = Gateway(in_flight=4, budget=BudgetSettings(**budget))
        self.handle: ModelHandle = self._gateway.handle(self.model, spec=spec, name="m", stage="s")

    @property
    def worst_usd(self) -> float:
        """The most that one try can cost."""
        return self.handle.worst_usd(HELLO)

    async def ask(self, draw: int = 0) -> str:
        """The reply, or the error by its name."""
        try:
            return str((await self.handle.ask(HELLO, draw=draw)).content)
        except (ModelError, BudgetReachedError) as error:
            return type(error).__name__


Open = Callable[..., Asked]


@pytest.fixture
async def behind() -> Any:
    """Opens a model whose server answers by a script; closes both."""
    opened: list[Asked] = []

    def open_one(answer: Callable[[Any], Reply], **settings: Any) -> Asked:
        server = LoopbackServer(answer)
        server.start()
        budget = settings.pop("budget", {})
        spec = spec_of(server.base_url, **(PRICED | settings))
        opened.append(Asked(server, spec, **budget))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.model.aclose()
        one.server.stop()


def faulty(fault: Fault, times: int) -> Callable[[Any], Reply]:
    """Faults first, then replies."""
    left: Iterator[Fault | None] = iter([fault] * times)
    return lambda _: Reply(fault=next(left, None))


def cut_short(fault: Fault) -> dict[str, Any]:
    """Settings under which a fault is over soon, and is one."""
    settings: dict[str, Any] = {"timeout_s": 0.2} if fault is Fault.HANG else {}
    return settings | ({"stream": True} if fault is Fault.STREAM_STOPS else {})


@pytest.mark.parametrize("fault", CHARGED)
async def test_a_lost_try_is_held_against_the_budget(behind: Open, fault: Fault) -> None:
    """At its most, or as the server counted it; the account says how many there were."""
    one = behind(faulty(fault, 2), **cut_short(fault))
    assert await one.ask() == "ok"
    account = one.handle.account
    each = COUNTED_USD if fault in COUNTED else one.worst_usd
    assert (account.calls, account.lost, account.failures) == (1, 2, 0)
    assert account.lost_usd == pytest.approx(2 * each)
    assert account.usd == pytest.approx(COUNTED_USD)
    assert account.held_usd == pytest.approx(2 * each + COUNTED_USD)


@pytest.mark.parametrize("fault", sorted(NOT_CHARGED))
async def test_a_try_that_nobody_charges_for_costs_no_budget(behind: Open, fault: Fault) -> None:
    """A server that is too busy for an hour does not use a budget up."""
    one = behind(faulty(fault, 2), budget={"calls": 1})
    assert await one.ask() == "ok"
    account = one.handle.account
    assert (account.calls, account.lost, account.lost_usd) == (1, 0, 0.0)
    assert account.held_usd == pytest.approx(COUNTED_USD)
    assert len(one.server.requests) == 3


async def test_an_address_that_is_down_costs_no_budget(behind: Open) -> None:
    """Nobody had the request."""
    one = behind(lambda _: Reply(), base_urls=[f"http://127.0.0.1:{free_port()}/v1"])
    assert await one.ask() == "FatalModelError"
    assert (one.handle.account.lost, one.handle.account.held_usd) == (0, 0.0)


@pytest.mark.parametrize("fault", CHARGED)
async def test_tries_never_cross_a_cap_on_calls(behind: Open, fault: Fault) -> None:
    """Retries are calls, too: with every try lost, as many are sent as the budget allows."""
    one = behind(faulty(fault, 99), budget={"calls": 3}, **cut_short(fault))
    assert await one.ask() == "BudgetReachedError"
    assert len(one.server.requests) == one.handle.account.charges == 3
    assert await one.ask() == "BudgetReachedError"
    assert len(one.server.requests) == 3


async def test_tries_never_cross_a_cap_on_money(behind: Open) -> None:
    """With calls at once, every one of which may be charged for at its most."""
    one = behind(faulty(Fault.CUT_BODY, 99))
    cap = 5.5 * one.worst_usd
    one = behind(faulty(Fault.CUT_BODY, 99), budget={"usd": cap})
    found = await asyncio.gather(*(one.ask(draw) for draw in range(4)))
    assert set(found) == {"BudgetReachedError"}
    assert len(one.server.requests) == one.handle.account.lost == 5
    assert one.handle.account.held_usd <= cap


async def test_a_call_that_fails_for_good_is_charged_for_its_lost_tries(behind: Open) -> None:
    """Each of them once, the last one too."""
    one = behind(faulty(Fault.RESET, 99), retries=2)
    assert await one.ask() == "TransientModelError"
    account = one.handle.account
    assert (account.calls, account.lost, account.failures) == (0, 3, 1)
    assert account.held_usd == pytest.approx(3 * one.worst_usd)


async def test_a_call_that_is_given_up_between_tries_is_charged_once(behind: Open) -> None:
    """The lost try counts; the one that was not sent does not."""
    one = behind(lambda _: Reply(fault=Fault.CUT_BODY), retries=50)
    one.model._backoff = Backoff(first_s=30)
    asking = asyncio.create_task(one.ask())
    await eventually(lambda: one.handle.account.lost > 0)
    asking.cancel()
    await asyncio.wait([asking])
    assert len(one.server.requests) == one.handle.account.lost == 1
    assert one.handle.account.held_usd == pytest.approx(one.worst_usd)


async def test_without_a_payer_tries_are_free() -> None:
    """A model can be asked outside of a build."""
    lose_try(Usage())
    await before_next_try()
