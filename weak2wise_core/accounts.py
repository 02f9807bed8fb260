"""What replies cost: a ledger for a row, an account for a stage and model, a budget for a run.

A payment joins the two last for one call.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any

from weak2wise_core.config import BudgetSettings, Prices
from weak2wise_core.errors import (
    BudgetReachedError,
    FatalModelError,
    ModelError,
    RequestRefusedError,
)
from weak2wise_core.records import ChatReply, Spent, Usage

REFUSALS_THAT_STOP_A_BUILD = 20

_log = logging.getLogger(__name__)


def price(usage: Usage, prices: Prices) -> float:
    """What a reply costs, in US dollars, by the recipe's prices.

    Most servers count cached tokens among those of the prompt; one that names more of them than
    the prompt has does not.
    """
    cached_price = prices.input if prices.cached_input is None else prices.cached_input
    apart = usage.cached_tokens > usage.prompt_tokens
    fresh = usage.prompt_tokens - (0 if apart else usage.cached_tokens)
    micro = fresh * prices.input + usage.cached_tokens * cached_price
    return (micro + usage.completion_tokens * prices.output) / 1_000_000


def known(text: str, *, missing: int, calls: int) -> str:
    """A sum in which some of the calls are missing, or all of them.

    Example:
        >>> known("120", missing=0, calls=9), known("120", missing=2, calls=9)
        ('120', '120+')
        >>> known("0", missing=9, calls=9)
        'unknown'
    """
    if not missing:
        return text
    return f"{text}+" if missing < calls else "unknown"


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


def add_to_ledger(model: str, reply: ChatReply) -> None:
    """Count a reply that was used, stored or fresh, in the ledger that is open, if one is."""
    if (opened := _LEDGER.get()) is not None:
        opened.add(model, reply)


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
    lost: int = 0
    """Tries that gave no reply and may have been charged for: cut, broken off or given up."""
    lost_usd: float = 0.0
    """What they cost: as counted by the server, else at the most. It is not in `usd`."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    held_usd: float = 0.0
    """As a budget holds it: lost tries too; what a server did not count is taken at its most."""
    uncounted: int = 0
    """Paid calls whose replies count no tokens: what they took is in none of these sums."""
    unpriced: int = 0
    """The part of `uncounted` that costs money."""
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

    @property
    def charges(self) -> int:
        """Calls as a budget counts them: whatever may have been charged for."""
        return self.calls + self.lost

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
        if not reply.usage.counted:
            self.uncounted += 1
            self.unpriced += prices.charged


class Budget:
    """Admits a call only if it cannot cross the cap, calls in flight counted at their worst."""

    def __init__(self, settings: BudgetSettings) -> None:
        self._settings = settings
        self._spent_usd = 0.0
        self._calls = 0
        self._held_usd = 0.0
        self._in_flight = 0
        self._waiting: list[asyncio.Future[None]] = []
        self.closed: FatalModelError | None = None
        """Why no call is admitted any more, if none is."""

    async def hold(self, worst_usd: float) -> None:
        """Wait until a call is admitted.

        Raises:
            BudgetReachedError: The call would cross the cap and nothing in flight can change that.
            FatalModelError: Nothing more is asked, and nothing is in flight any more.
        """
        while self.closed is None and self._crosses(worst_usd):
            if not self._in_flight or self._calls_used_up():
                raise BudgetReachedError(self._message(worst_usd))
            await self._change()
        if self.closed is not None:
            await self.close(self.closed)
            raise self.closed
        self._held_usd += worst_usd
        self._in_flight += 1
        self._calls += 1

    def release(self, worst_usd: float, *, paid_usd: float, counts: bool) -> None:
        """Replace what was held by what was paid.

        Nothing is awaited: whoever learns from it that the budget is reached, and cancels all
        others, finds the reply counted and kept.

        Args:
            worst_usd: What was held.
            paid_usd: What the call cost.
            counts: Whether it is one of the calls that the budget allows.
        """
        self._held_usd -= worst_usd
        self._in_flight -= 1
        self._spent_usd += paid_usd
        self._calls -= not counts
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():
                change.set_result(None)

    async def close(self, error: FatalModelError) -> None:
        """Admit nothing more, and wait until what is in flight has come to its end.

        Whoever raises the error ends the run, and cancels every call: what is in flight by then
        would be paid for and lost.
        """
        if self.closed is None:
            self.closed = error
            if self._in_flight:
                _log.warning("%s. %d calls in flight are waited for", error, self._in_flight)
        while self._in_flight:
            await self._change()

    async def _change(self) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def _calls_used_up(self) -> bool:
        cap = self._settings.calls
        return cap is not None and self._calls - self._in_flight >= cap

    def _crosses(self, worst_usd: float) -> bool:
        usd, calls = self._settings.usd, self._settings.calls
        over_usd = usd is not None and self._spent_usd + self._held_usd + worst_usd > usd
        return over_usd or (calls is not None and self._calls + 1 > calls)

    def _message(self, worst_usd: float) -> str:
        return (
            f"the budget of this run is reached: {self._calls} calls and {self._spent_usd:.4f} USD "
            f"were spent of {_or_any(self._settings.calls)} calls and "
            f"{_or_any(self._settings.usd)} USD, and the next call may cost {worst_usd:.4f} USD. "
            "Every reply is kept: start the same build again to go on with as much once more, or "
            "raise the budget first"
        )


class Payment:
    """What one call holds of a budget, try by try, and what becomes of it.

    Args:
        budget: What is held from, and charged.
        account: Where lost tries and held money are counted.
        prices: Of the model.
        worst_usd: The most that one try can cost.
    """

    def __init__(
        self, budget: Budget, account: Account, *, prices: Prices, worst_usd: float
    ) -> None:
        self._budget = budget
        self._account = account
        self._prices = prices
        self._worst_usd = worst_usd
        self._held = False

    async def hold(self) -> None:
        """Hold the worst for the next try, unless a try is held.

        Raises:
            BudgetReachedError, FatalModelError: See `Budget.hold`.
        """
        if self._budget.closed is not None:
            self.let_go()
        if not self._held:
            await self._budget.hold(self._worst_usd)
            self._held = True

    def pay(self, usd: float) -> None:
        """The try gave a reply, which cost so much."""
        self._settle(usd, counts=True)

    def lose(self, usage: Usage) -> None:
        """The try gave none, and may be charged for; without counts, at the most."""
        if self._held:
            counted = usage.prompt_tokens and usage.completion_tokens
            usd = price(usage, self._prices) if counted else self._worst_usd
            self._account.lost += 1
            self._account.lost_usd += usd
            self._settle(usd, counts=True)

    def let_go(self) -> None:
        """The try gave none, and nobody charges for it."""
        self._settle(0.0, counts=False)

    def _settle(self, usd: float, *, counts: bool) -> None:
        if self._held:
            self._held = False
            self._account.held_usd += usd
            self._budget.release(self._worst_usd, paid_usd=usd, counts=counts)


def _or_any(cap: float | None) -> str:
    return "unlimited" if cap is None else str(cap)
