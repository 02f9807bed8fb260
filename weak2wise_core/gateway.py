"""Where every model call of a build passes: reply store, pool of slots, budget, account.

A call is looked up in the reply store first; only what was never answered takes a slot, is held
against the budget, and is asked. Whatever comes back is stored before anyone sees it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

from weak2wise_core.config import Backend, BudgetSettings, ModelSpec, Prices
from weak2wise_core.errors import (
    BudgetReachedError,
    FatalModelError,
    ModelError,
    RequestRefusedError,
    Weak2WiseError,
)
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.records import ChatReply, Message, Spent, Usage
from weak2wise_core.slots import Errand, Slots
from weak2wise_core.stores.asking import ask_in_turn
from weak2wise_core.stores.replies import ReplyStore, request_key
from weak2wise_core.stores.reply_turns import Turn

CHARS_PER_TOKEN = 2
"""A cautious figure for plans: real prompts have three to four characters a token."""
TEMPLATE_TOKENS = 64
"""Room for what a chat template adds to a message."""
REFUSALS_THAT_STOP_A_BUILD = 20
LONGEST_REPLY = 32_768
"""Tokens that a reply without `max_tokens` is assumed to cost at worst."""


class Asker(Protocol):
    """What a stage needs of a model: ask, with the sampling already settled."""

    async def ask(
        self, messages: Sequence[Message], *, draw: int = 0, affinity: str = ""
    ) -> ChatReply:
        """One reply, or a `ModelError`; see `ChatModel.chat` for draw and affinity."""
        ...


def price(usage: Usage, prices: Prices) -> float:
    """What a reply costs, in US dollars, by the recipe's prices."""
    cached_price = prices.input if prices.cached_input is None else prices.cached_input
    fresh = usage.prompt_tokens - usage.cached_tokens
    micro = fresh * prices.input + usage.cached_tokens * cached_price
    return (micro + usage.completion_tokens * prices.output) / 1_000_000


# --- what one row took ------------------------------------------------------------------------

_LEDGER: ContextVar["Ledger | None"] = ContextVar("ledger", default=None)


class Ledger:
    """Sums the replies that were used for one row, by model."""

    def __init__(self) -> None:
        self._by_model: dict[tuple[str, str], list[Usage]] = {}

    def add(self, model: str, reply: ChatReply) -> None:
        """Count one reply, stored or fresh: a resumed build gives the same row."""
        self._by_model.setdefault((model, reply.model), []).append(reply.usage)

    def absorb(self, other: "Ledger") -> None:
        """Count what another ledger holds."""
        for key, usages in other._by_model.items():  # noqa: SLF001 - of the same class
            self._by_model.setdefault(key, []).extend(usages)

    def spent(self) -> tuple[Spent, ...]:
        """The sums, in the order of the models' names and the ids they returned."""
        return tuple(
            Spent(
                model=model,
                returned=returned,
                calls=len(usages),
                prompt_tokens=sum(usage.prompt_tokens for usage in usages),
                completion_tokens=sum(usage.completion_tokens for usage in usages),
                reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
                cached_tokens=sum(usage.cached_tokens for usage in usages),
            )
            for (model, returned), usages in sorted(self._by_model.items())
        )


@contextmanager
def ledger(into: Ledger | None = None) -> Iterator[Ledger]:
    """Collect what every call made inside takes, in this task and in tasks started from it."""
    opened = into or Ledger()
    token = _LEDGER.set(opened)
    try:
        yield opened
    finally:
        _LEDGER.reset(token)


# --- what a call is for -----------------------------------------------------------------------

_ERRAND: ContextVar[Errand | None] = ContextVar("errand", default=None)


def current_errand() -> Errand:
    """What the calls of this task are for; needed, unless somebody said otherwise."""
    return _ERRAND.get() or Errand()


def run_errand(errand: Errand) -> None:
    """Let every call of this task, and of tasks started from it, be part of an errand."""
    _ERRAND.set(errand)


# --- what a run paid --------------------------------------------------------------------------


@dataclass(slots=True)
class Account:
    """What this run asked of one model in one stage."""

    calls: int = 0
    """Calls that were paid for in this run."""
    stored: int = 0
    """Calls that the reply store answered."""
    failures: int = 0
    """Calls that ended in an error after all retries."""
    refused: int = 0
    """The part of `failures` that the server will never answer."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    """Waiting for paid calls, added up: calls overlap."""
    returned: Counter[str] = field(default_factory=Counter)
    """Replies, stored or fresh, by the model id that they name."""

    def fail(self, error: ModelError, *, model: str, draw: int) -> ModelError:
        """Count a failed call; the error to raise for it.

        A model that refuses its first requests one and all will refuse the others too: that is a
        fault of the recipe, not of the questions.
        """
        self.failures += 1
        self.refused += type(error) is RequestRefusedError
        if not (self.calls or self.stored) and self.refused >= REFUSALS_THAT_STOP_A_BUILD:
            error = FatalModelError(
                f"{model} refused every one of its first {self.refused} requests; check its entry "
                f"in the recipe. The last refusal: {error}"
            )
        error.model, error.draw = model, draw
        return error

    def as_plain(self) -> dict[str, Any]:
        """Plain values for JSON, by the names of the fields."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def absorb(self, other: "Account") -> None:
        """Count what another process asked."""
        for one in fields(self):
            value = getattr(other, one.name)
            if isinstance(value, Counter):
                self.returned.update(value)
            else:
                setattr(self, one.name, getattr(self, one.name) + value)

    def add(self, reply: ChatReply, *, prices: Prices, seconds: float = 0.0) -> None:
        """Count one paid reply and how long it took."""
        self.calls += 1
        self.seconds += seconds
        self.prompt_tokens += reply.usage.prompt_tokens
        self.completion_tokens += reply.usage.completion_tokens
        self.reasoning_tokens += reply.usage.reasoning_tokens
        self.cached_tokens += reply.usage.cached_tokens
        self.usd += price(reply.usage, prices)


class Budget:
    """Admits a call only if it cannot cross the cap, calls in flight counted at their worst."""

    def __init__(self, settings: BudgetSettings) -> None:
        self._settings = settings
        self._spent_usd = 0.0
        self._calls = 0
        self._held_usd = 0.0
        self._in_flight = 0
        self._changed = asyncio.Condition()

    async def hold(self, worst_usd: float) -> None:
        """Wait until a call is admitted.

        Raises:
            BudgetReachedError: The call would cross the cap and nothing in flight can change that.
        """
        async with self._changed:
            while self._crosses(worst_usd):
                if not self._in_flight or self._calls_used_up():
                    raise BudgetReachedError(self._message())
                await self._changed.wait()
            self._held_usd += worst_usd
            self._in_flight += 1
            self._calls += 1

    async def release(self, worst_usd: float, *, paid_usd: float, answered: bool) -> None:
        """Replace what was held by what was paid."""
        async with self._changed:
            self._held_usd -= worst_usd
            self._in_flight -= 1
            self._spent_usd += paid_usd
            self._calls -= not answered
            self._changed.notify_all()

    def _calls_used_up(self) -> bool:
        cap = self._settings.calls
        return cap is not None and self._calls - self._in_flight >= cap

    def _crosses(self, worst_usd: float) -> bool:
        usd, calls = self._settings.usd, self._settings.calls
        over_usd = usd is not None and self._spent_usd + self._held_usd + worst_usd > usd
        return over_usd or (calls is not None and self._calls + 1 > calls)

    def _message(self) -> str:
        return (
            f"the budget is reached: {self._calls} calls and {self._spent_usd:.4f} USD were spent "
            f"of {_or_any(self._settings.calls)} calls and {_or_any(self._settings.usd)} USD. "
            "Every "
            "reply is kept: raise the budget and start the same build again to go on"
        )


def _most_tokens(messages: Sequence[Message]) -> int:
    """Of a prompt; no token of a byte-level tokenizer is shorter than one byte of UTF-8."""
    return sum(_bytes(message.content) + TEMPLATE_TOKENS for message in messages)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _or_any(cap: float | None) -> str:
    return "unlimited" if cap is None else str(cap)


class Gateway:
    """The one door to all models of a build."""

    def __init__(
        self,
        *,
        in_flight: int,
        store: ReplyStore | None = None,
        budget: BudgetSettings | None = None,
    ) -> None:
        """Open the door.

        Args:
            in_flight: Calls at once, all models together.
            store: Where replies are kept; without one every call is asked anew.
            budget: What the run may spend.
        """
        self.accounts: dict[tuple[str, str], Account] = {}
        """By stage and model name."""
        self.store = store
        self.waiting: dict[str, tuple[asyncio.Future[ChatReply], Errand]] = {}
        """Requests in flight, by their key: whoever asks the same meanwhile shares the reply."""
        self.slots = Slots(in_flight)
        self._budget = Budget(budget or BudgetSettings())

    def handle(
        self, model: ChatModel, *, spec: ModelSpec, name: str, stage: str, votes: bool = False
    ) -> "ModelHandle":
        """A model as one stage sees it; its calls are counted under `name` and `stage`.

        Args:
            model: The model.
            spec: Its sampling and prices.
            name: What the recipe calls it.
            stage: Who asks.
            votes: Whether its replies are votes on other replies, which go first.
        """
        account = self.accounts.setdefault((stage, name), Account())
        handle = ModelHandle(self, model=model, spec=spec, name=name, stage=stage, account=account)
        handle.votes = votes
        return handle

    async def call(
        self,
        handle: "ModelHandle",
        messages: Sequence[Message],
        *,
        draw: int,
        affinity: str,
        turn: Turn | None = None,
    ) -> ChatReply | None:
        """One paid call: slot, turn, budget, question, account; None where it is not our turn."""
        worst = handle.worst_usd(messages)
        async with self.slots.one(current_errand(), vote=handle.votes):
            if turn is not None and not turn.take():
                return None
            await self._budget.hold(worst)
            paid, answered, started = 0.0, False, time.monotonic()
            try:
                reply = await handle.model.chat(
                    messages, sampling=handle.sampling, draw=draw, affinity=affinity
                )
                paid, answered = handle.paid_usd(messages, reply), True
            except ModelError as error:
                failed = handle.account.fail(error, model=handle.name, draw=draw)
                if failed is error:
                    raise
                raise failed from error
            finally:
                await asyncio.shield(self._budget.release(worst, paid_usd=paid, answered=answered))
            seconds = time.monotonic() - started
        handle.account.add(reply, prices=handle.spec.usd_per_mtok, seconds=seconds)
        return reply


class ModelHandle:
    """A model with its sampling, its name and its stage: what stages ask."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        model: ChatModel,
        spec: ModelSpec,
        name: str,
        stage: str,
        account: Account,
    ) -> None:
        self.model = model
        self.spec = spec
        self.name = name
        self.stage = stage
        self.account = account
        self.sampling = Sampling.of(spec)
        self.votes = False
        self._gateway = gateway

    def worst_usd(self, messages: Sequence[Message]) -> float:
        """The most that one call can cost, in US dollars."""
        worst = Usage(
            prompt_tokens=_most_tokens(messages),
            completion_tokens=self._longest_reply,
        )
        return price(worst, self.spec.usd_per_mtok)

    @property
    def _longest_reply(self) -> int:
        return self.sampling.max_tokens or LONGEST_REPLY

    def paid_usd(self, messages: Sequence[Message], reply: ChatReply) -> float:
        """What a call is held to have cost: a count that the server left out is taken at its most.

        Otherwise a server that counts nothing would make every budget endless.
        """
        text = reply.content + (reply.reasoning or "")
        counted = replace(
            reply.usage,
            prompt_tokens=reply.usage.prompt_tokens or _most_tokens(messages),
            completion_tokens=reply.usage.completion_tokens
            or min(_bytes(text), self._longest_reply),
        )
        return price(counted, self.spec.usd_per_mtok)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides replies beside the request.

        Two roles on one server share a client, and each has its own temperature: the identity is
        that of the role, whichever of them opened the client.
        """
        served = self.spec.backend is Backend.OPENAI
        return self.spec.identity() if served else self.model.identity

    def key(self, messages: Sequence[Message], *, draw: int) -> str:
        """The key of a request in the reply store."""
        return request_key(self.identity, messages, self.sampling, draw)

    async def ask(
        self, messages: Sequence[Message], *, draw: int = 0, affinity: str = ""
    ) -> ChatReply:
        """One reply, from the store if it was ever given, else asked once however many ask."""
        key = self.key(messages, draw=draw)
        reply = await self._shared(key)
        if reply is None:
            reply = await self._first(key, messages, draw=draw, affinity=affinity)
        self.account.returned[reply.model] += 1
        if (open_ledger := _LEDGER.get()) is not None:
            open_ledger.add(self.name, reply)
        return reply

    async def _shared(self, key: str) -> ChatReply | None:
        """The reply to the same request, if it is in flight; None where it was given up."""
        while (found := self._gateway.waiting.get(key)) is not None:
            asked, errand = found
            if errand.speculative and not current_errand().speculative:
                self._gateway.slots.promote(errand)
            await asyncio.wait([asked])
            if not asked.cancelled():
                self.account.stored += 1
                return asked.result()
        return None

    async def _first(
        self, key: str, messages: Sequence[Message], *, draw: int, affinity: str
    ) -> ChatReply:
        """Look a request up or ask it, and let others who want the same wait for the outcome."""
        store = self._gateway.store
        if store is not None and (reply := store.get(key)) is not None:
            self.account.stored += 1
            return reply
        outcome: asyncio.Future[ChatReply] = asyncio.get_running_loop().create_future()
        self._gateway.waiting[key] = (outcome, current_errand())
        try:
            reply = await self._asked(key, messages, draw=draw, affinity=affinity)
            outcome.set_result(reply)
        except (Weak2WiseError, RuntimeError) as error:
            outcome.set_exception(error)
            outcome.exception()  # seen here: nobody else may be waiting for it
            raise
        finally:
            del self._gateway.waiting[key]
            outcome.cancel()  # without effect where it has an outcome
        return reply

    async def _asked(
        self, key: str, messages: Sequence[Message], *, draw: int, affinity: str
    ) -> ChatReply:
        """The reply to a call that we pay for, or that another build on the store pays for."""

        async def ask(turn: Turn | None = None) -> ChatReply | None:
            return await self._gateway.call(self, messages, draw=draw, affinity=affinity, turn=turn)

        store = self._gateway.store
        if store is None:
            reply = await ask()
            assert reply is not None, "nobody else can have the turn"
            return reply
        answered = await ask_in_turn(store, key, ask, model=self.name, stage=self.stage)
        self.account.stored += not answered.paid
        return answered.reply
