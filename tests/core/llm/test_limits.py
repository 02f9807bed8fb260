import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.llm.limits import CallLimits, SlidingWindow

PERIOD_S = 60.0


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        """Seconds since the beginning."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.now += seconds
        await asyncio.sleep(0)


def windows_hold(taken: list[tuple[float, int]], limit: int) -> bool:
    """Whether no window of a minute holds more than the limit, single large charges aside."""
    for end, _ in taken:
        inside = [cost for start, cost in taken if end - PERIOD_S < start <= end]
        if sum(inside) > limit and len(inside) > 1:
            return False
    return True


@given(
    limit=st.integers(1, 20),
    calls=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 25)), max_size=40),
)
def test_no_window_holds_more_than_the_limit_and_no_call_waits_in_vain(
    limit: int, calls: list[tuple[int, int]]
) -> None:
    """A charge starts at the first moment at which its window has room, and not before."""
    window = SlidingWindow(limit, period_s=PERIOD_S)
    taken: list[tuple[float, int]] = []
    now = 0.0
    for gap, cost in calls:
        now += gap
        wait_s = window.wait_s(cost, now=now)
        if wait_s > 0:
            early = now + wait_s - 0.5
            inside = sum(c for start, c in taken if start + PERIOD_S > early)
            assert inside + min(cost, limit) > limit
        now += wait_s
        assert window.wait_s(cost, now=now) == 0
        window.take(cost, now=now)
        taken.append((now, cost))
        assert windows_hold(taken, limit)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=20))
def test_settled_costs_count_in_place_of_estimates(costs: list[tuple[int, int]]) -> None:
    """After settling, the window has room for exactly what the real costs leave."""
    limit = 1000
    window = SlidingWindow(limit)
    for estimated, real in costs:
        window.settle(window.take(estimated, now=0.0), cost=real)
    room = limit - sum(real for _, real in costs)
    assert window.wait_s(room, now=1.0) == 0
    assert window.wait_s(room + 1, now=1.0) > 0 or room == limit


def test_settling_an_expired_charge_changes_nothing() -> None:
    """A call that outlived its window no longer counts."""
    window = SlidingWindow(5)
    charge = window.take(5, now=0.0)
    assert window.wait_s(5, now=61.0) == 0
    window.settle(charge, cost=0)
    window.take(5, now=61.0)
    assert window.wait_s(1, now=61.0) == 60


async def starts(limits: CallLimits, time: FakeTime, costs: list[int]) -> list[float]:
    """When calls of these costs start that all come at time 0."""

    async def call(tokens: int) -> float:
        async with limits.admitted(tokens):
            return time.now

    return await asyncio.gather(*(call(tokens) for tokens in costs))


async def test_calls_a_minute_are_admitted_in_order() -> None:
    """Waiting calls start in the order in which they came, as soon as a window has room."""
    time = FakeTime()
    limits = CallLimits(rpm=3, clock=time.clock, sleep=time.sleep)
    assert await starts(limits, time, [1] * 8) == [0, 0, 0, 60, 60, 60, 120, 120]


async def test_tokens_a_minute_hold_calls_back() -> None:
    """Calls start while their estimates fit; one above the whole limit goes alone."""
    time = FakeTime()
    limits = CallLimits(tpm=100, clock=time.clock, sleep=time.sleep)
    assert await starts(limits, time, [60, 40, 10, 500, 10]) == [0, 0, 60, 120, 180]


async def test_the_estimate_follows_the_replies() -> None:
    """Before any reply the request's own limit counts, afterwards the mean reply."""
    limits = CallLimits(tpm=10_000)
    assert limits.estimate(300, max_tokens=None) == 1100
    assert limits.estimate(300, max_tokens=50) == 150
    async with limits.admitted(150) as charge:
        pass
    limits.settle(charge, prompt_tokens=90, reply_tokens=20)
    assert limits.estimate(300, max_tokens=50) == 120
    limits.settle(charge, prompt_tokens=0, reply_tokens=0)
    assert limits.estimate(300, max_tokens=50) == 120


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_no_more_calls_run_at_once_than_allowed(in_flight: int) -> None:
    """The limit is reached and never crossed."""
    limits = CallLimits(in_flight=in_flight)
    running, peaks = 0, []

    async def call() -> None:
        nonlocal running
        async with limits.admitted(1):
            running += 1
            peaks.append(running)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(call() for _ in range(12)))
    assert max(peaks) == in_flight


async def test_a_cancelled_call_takes_nothing() -> None:
    """Who gives up while waiting leaves the place and the window to the next."""
    limits = CallLimits(in_flight=1, rpm=2)

    async def call() -> str:
        async with limits.admitted(1):
            await asyncio.sleep(0.01)
            return "done"

    first, second, third = (asyncio.create_task(call()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    assert set(await asyncio.wait_for(asyncio.gather(first, third), 30)) == {"done"}
    with pytest.raises(asyncio.CancelledError):
        await second
