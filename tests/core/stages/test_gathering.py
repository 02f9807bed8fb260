"""Laws of waiting for many calls at once."""

import asyncio
import itertools
import warnings

import pytest

from weak2wise_core.errors import FatalModelError, RequestRefusedError, TransientModelError
from weak2wise_core.stages.gathering import gather_all


class _Calls:
    """Calls that note when they begin and end."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.whole: list[int] = []

    async def call(
        self, number: int, *, passes: int = 1, fails: type[Exception] | None = None
    ) -> int:
        """Take some passes of the event loop."""
        self.begun.append(number)
        try:
            for _ in range(passes):
                await asyncio.sleep(0)
            if fails is not None:
                raise fails(f"call {number}")
            self.whole.append(number)
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
                [
                    calls.call(number, passes=2, fails=ValueError if number == 3 else None)
                    for number in range(100)
                ]
            )
    assert len(calls.begun) < 10
    assert sorted(calls.ended) == calls.begun
    assert len(calls.whole) < len(calls.begun) - 1, "they were cancelled"


async def test_what_was_asked_beside_a_failed_call_comes_to_its_end() -> None:
    """Its reply is paid for; what did not begin is not asked, and the first error is raised."""
    calls = _Calls()
    with pytest.raises(TransientModelError, match="call 1"):
        await gather_all(
            [
                calls.call(0, passes=50),
                calls.call(1, passes=2, fails=TransientModelError),
                calls.call(2, passes=60, fails=RequestRefusedError),
                calls.call(3, passes=1),
                *(calls.call(number, passes=30) for number in range(4, 100)),
            ]
        )
    assert len(calls.begun) < 10
    assert sorted(calls.ended) == calls.begun
    assert sorted({1, 2, *calls.whole}) == calls.begun


async def test_an_error_that_ends_all_cuts_the_others_off() -> None:
    """A key that is refused in the midst of them: nothing is waited for, and that is the error."""
    calls = _Calls()
    with pytest.raises(FatalModelError, match="call 2"):
        await gather_all(
            [
                calls.call(0, passes=10**9),
                calls.call(1, passes=1, fails=TransientModelError),
                calls.call(2, passes=9, fails=FatalModelError),
            ]
        )
    assert (sorted(calls.ended), calls.whole) == ([0, 1, 2], [])


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
