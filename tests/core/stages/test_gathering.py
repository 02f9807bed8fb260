"""Laws of waiting for many calls at once."""

import asyncio
import itertools
import warnings

import pytest

from weak2wise_core.stages.gathering import gather_all


class _Calls:
    """Calls that note when they begin and end."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def call(self, number: int, *, passes: int = 1, fails: bool = False) -> int:
        """Take some passes of the event loop."""
        self.begun.append(number)
        try:
            for _ in range(passes):
                await asyncio.sleep(0)
            if fails:
                raise ValueError(f"call {number}")
            return number
        finally:
            self.ended.append(number)


async def test_results_come_in_the_order_of_the_calls() -> None:
    """Whichever ends first."""
    calls = _Calls()
    found = await gather_all([calls.call(number, passes=30 - 3 * number) for number in range(9)])
    assert found == list(range(9))
    assert calls.ended != found
    assert await gather_all([]) == []


async def test_one_call_begins_in_each_pass_of_the_loop() -> None:
    """What came in the meantime is read between any two of them."""
    calls, counts = _Calls(), list[int]()

    async def others() -> None:
        while len(calls.begun) < 50:
            counts.append(len(calls.begun))
            await asyncio.sleep(0)

    await asyncio.gather(others(), gather_all([calls.call(number) for number in range(50)]))
    assert max(later - earlier for earlier, later in itertools.pairwise(counts)) == 1


async def test_after_a_failure_no_further_call_begins() -> None:
    """It would be paid for in vain; and nobody is told that it was never awaited."""
    calls = _Calls()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="call 3"):
            await gather_all(
                [calls.call(number, passes=2, fails=number == 3) for number in range(100)]
            )
    assert len(calls.begun) < 10
    assert sorted(calls.ended) == calls.begun


async def test_cancelled_while_calls_begin_it_leaves_none_behind() -> None:
    """Neither one that began nor one that did not."""
    calls = _Calls()
    waiting = asyncio.ensure_future(
        gather_all([calls.call(number, passes=10**9) for number in range(100)])
    )
    for _ in range(5):
        await asyncio.sleep(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        waiting.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await waiting
    assert sorted(calls.ended) == calls.begun
    assert 0 < len(calls.begun) < 10
