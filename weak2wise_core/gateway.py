"""Where every model call of a build passes: reply store, pool of slots, budget, account.

A call is looked up in the reply store first; only what was never answered takes a slot, is held
against the budget, and is asked. Whatever comes back is stored before anyone sees it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

from weak2wise_core.accounts import Account, Budget, Payment, add_to_ledger, price
from weak2wise_core.config import Backend, BudgetSettings, ModelSpec
from weak2wise_core.errors import (
    FatalModelError,
    ModelError,
    Weak2WiseError,
)
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.payments import paid_by
from weak2wise_core.records import ChatReply, Message, Usage
from weak2wise_core.slots import Errand, Slots
from weak2wise_core.stores.asking import ask_in_turn
from weak2wise_core.stores.replies import ReplyStore, request_key
from weak2wise_core.stores.reply_turns import Turn

TEMPLATE_TOKENS = 64
"""Room for what a chat template adds to a message."""
LONGEST_REPLY = 65_536
"""Tokens that a reply without `max_tokens` is assumed to cost at worst."""


class Asker(Protocol):
    """What a stage needs of a model: ask, with the sampling already settled."""

    async def ask(
        self, messages: Sequence[Message], *, draw: int = 0, affinity: str = ""
    ) -> ChatReply:
        """One reply, or a `ModelError`; see `ChatModel.chat` for draw and affinity."""
        ...


# --- what a call is for -----------------------------------------------------------------------

_ERRAND: ContextVar[Errand | None] = ContextVar("errand", default=None)


def current_errand() -> Errand:
    """What the calls of this task are for; needed, unless somebody said otherwise."""
    return _ERRAND.get() or Errand()


def run_errand(errand: Errand) -> None:
    """Let every call of this task, and of tasks started from it, be part of an errand."""
    _ERRAND.set(errand)


def _most_tokens(messages: Sequence[Message]) -> int:
    """Of a prompt; no token of a byte-level tokenizer is shorter than one byte of UTF-8."""
    return sum(_bytes(message.content) + TEMPLATE_TOKENS for message in messages)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


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
        payment = Payment(
            self._budget,
            handle.account,
            prices=handle.spec.usd_per_mtok,
            worst_usd=handle.worst_usd(messages),
        )
        async with self.slots.one(current_errand(), vote=handle.votes):
            if turn is not None and not turn.take():
                return None
            await payment.hold()
            started = time.monotonic()
            try:
                with paid_by(payment):
                    reply = await handle.model.chat(
                        messages, sampling=handle.sampling, draw=draw, affinity=affinity
                    )
                seconds = time.monotonic() - started
                handle.account.add(reply, prices=handle.spec.usd_per_mtok, seconds=seconds)
                payment.pay(handle.paid_usd(messages, reply))
            except ModelError as error:
                payment.let_go()
                if error is self._budget.closed:
                    raise  # of another call, and counted there
                failed = handle.account.fail(error, model=handle.name, draw=draw)
                if isinstance(failed, FatalModelError):
                    await self._budget.close(failed)
                if failed is error:
                    raise
                raise failed from error
            finally:  # what is held still was given up, and may be charged for
                payment.lose(Usage())
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
        # newer servers know the limit by another name, which a recipe gives in extra_body
        named = self.spec.extra_body.get("max_completion_tokens")
        return self.sampling.max_tokens or (named if isinstance(named, int) else LONGEST_REPLY)

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
        add_to_ledger(self.name, reply)
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
