"""How fast one model may be asked: calls at once, calls a minute, tokens a minute.

A limit holds over every window of a minute, not only over calendar minutes. Waiting calls are
admitted in the order in which they came.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

MINUTE_S = 60.0
BYTES_PER_TOKEN = 3
FIRST_REPLY_TOKENS = 1000
"""Assumed length of a reply before any is known, unless the request sets a lower limit."""
_SHORTEST_SLEEP_S = 0.001  # a wait below the clock's resolution would not move it


@dataclass(slots=True, eq=False)
class Charge:
    """What one admitted call takes from a window."""

    start: float
    cost: int
    counted: bool = True
    """Whether its window still counts it."""


class SlidingWindow:
    """At most `limit` units in any `period_s` seconds; pure, time is an argument.

    A single charge above the limit is admitted when it is alone in its window.
    """

    def __init__(self, limit: int, *, period_s: float = MINUTE_S) -> None:
        self._limit = limit
        self._period_s = period_s
        self._charges: deque[Charge] = deque()
        self._total = 0

    def wait_s(self, cost: int, *, now: float) -> float:
        """Seconds until a charge of this cost fits; 0 when it does now. `now` never goes back."""
        while self._charges and self._charges[0].start + self._period_s <= now:
            expired = self._charges.popleft()
            expired.counted = False
            self._total -= expired.cost
        excess = self._total + min(cost, self._limit) - self._limit
        for charge in self._charges:
            if excess <= 0:
                break
            excess -= charge.cost
            if excess <= 0:
                return charge.start + self._period_s - now
        return 0.0

    def take(self, cost: int, *, now: float) -> Charge:
        """Charge a call that starts now."""
        charge = Charge(now, cost)
        self._charges.append(charge)
        self._total += cost
        return charge

    def settle(self, charge: Charge, *, cost: int) -> None:
        """Replace the estimated cost of a call by its real one."""
        if charge.counted:
            self._total += cost - charge.cost
            charge.cost = cost


class CallLimits:
    """The limits of one model. A limit that is None does not hold anything back.

    Args:
        in_flight: Calls at once.
        rpm: Calls that start in any minute.
        tpm: Tokens of calls that start in any minute, estimated first, settled by the reply.
        clock: Seconds that never go back.
        sleep: Waits for seconds of that clock.
    """

    def __init__(
        self,
        *,
        in_flight: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._slots = None if in_flight is None else asyncio.Semaphore(in_flight)
        self._calls = None if rpm is None else SlidingWindow(rpm)
        self._tokens = None if tpm is None else SlidingWindow(tpm)
        self._turn = asyncio.Lock()
        self._clock = clock
        self._sleep = sleep
        self._replies = 0
        self._reply_tokens = 0

    def estimate(self, prompt_bytes: int, *, max_tokens: int | None) -> int:
        """Tokens that a call will probably take: its prompt and the mean reply so far."""
        if self._replies:
            reply = self._reply_tokens // self._replies
        else:
            reply = min(max_tokens or FIRST_REPLY_TOKENS, FIRST_REPLY_TOKENS)
        return prompt_bytes // BYTES_PER_TOKEN + reply

    @contextlib.asynccontextmanager
    async def admitted(self, tokens: int) -> AsyncIterator[Charge | None]:
        """Wait for admission, then hold a place among the calls in flight.

        Args:
            tokens: What the call will probably take, see `estimate`.
        """
        async with self._slots or contextlib.nullcontext():
            yield await self._admit(tokens)

    def settle(self, charge: Charge | None, *, prompt_tokens: int, reply_tokens: int) -> None:
        """Tell what an admitted call really took; counts of zero are taken as unknown."""
        if self._tokens is None or charge is None or prompt_tokens + reply_tokens == 0:
            return
        self._replies += 1
        self._reply_tokens += reply_tokens
        self._tokens.settle(charge, cost=prompt_tokens + reply_tokens)

    async def _admit(self, tokens: int) -> Charge | None:
        if self._calls is None and self._tokens is None:
            return None
        async with self._turn:
            while (wait_s := self._wait_s(tokens, now=self._clock())) > 0:
                await self._sleep(max(wait_s, _SHORTEST_SLEEP_S))
            now = self._clock()
            if self._calls is not None:
                self._calls.take(1, now=now)
            return None if self._tokens is None else self._tokens.take(tokens, now=now)

    def _wait_s(self, tokens: int, *, now: float) -> float:
        calls_s = 0.0 if self._calls is None else self._calls.wait_s(1, now=now)
        tokens_s = 0.0 if self._tokens is None else self._tokens.wait_s(tokens, now=now)
        return max(calls_s, tokens_s)
