"""Laws of a request to stop: whatever the event loop swallows of it reaches the run."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from prefect.exceptions import TerminationSignal

from tasks.heeding import heeding_signals
from tasks.loops import run


def stop(*_: object) -> NoReturn:
    """What the engine's handler does."""
    raise TerminationSignal(signal=signal.SIGTERM)


@pytest.fixture
def handled() -> Iterator[None]:
    """SIGTERM is handled as the engine does it."""
    before = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, before)


async def work(tidied: list[str]) -> None:
    """A long run that tidies up when it is told to stop."""
    with heeding_signals():
        assert signal.getsignal(signal.SIGTERM) is stop, "a worker looks for this very handler"
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            tidied.append("yes")


@pytest.mark.parametrize("runner", [asyncio.run, run])
def test_a_signal_inside_the_loop_reaches_the_run(
    handled: None, runner: Callable[..., Any]
) -> None:
    """Raised in a callback, where a loop takes it for a fault; with uvloop and without."""

    async def signalled(tidied: list[str]) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        await work(tidied)

    tidied: list[str] = []
    with pytest.raises(TerminationSignal):
        runner(signalled(tidied))
    assert tidied == ["yes"]


async def test_a_cancellation_stays_one(handled: None) -> None:
    """Who is cancelled without a signal is not told of one, and leaves nothing behind."""
    loop, tidied = asyncio.get_running_loop(), list[str]()
    before = loop.get_exception_handler()
    task = asyncio.create_task(work(tidied))
    await asyncio.sleep(0)
    assert loop.get_exception_handler() is not before
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidied == ["yes"]
    assert loop.get_exception_handler() is before


async def test_other_faults_are_reported_as_before(handled: None) -> None:
    """A callback that fails stops nothing and is not hidden."""
    loop, reported = asyncio.get_running_loop(), list[BaseException]()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    with heeding_signals():
        loop.call_soon(int, "x")
        await asyncio.sleep(0.01)
    loop.set_exception_handler(None)
    assert [type(one) for one in reported] == [ValueError]
