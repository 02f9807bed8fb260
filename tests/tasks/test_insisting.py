"""Laws of a request to stop: it comes again while it is not heard, and then no more."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from tasks.insisting import insisting


class Stop(BaseException):
    """What a handler raises, as the engine's does."""


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """SIGTERM raises `Stop`; how often it came."""
    found: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        found.append(number)
        raise Stop

    before = signal.signal(signal.SIGTERM, handle)
    yield found
    signal.signal(signal.SIGTERM, before)


def ask_to_stop() -> None:
    """Send SIGTERM to this process and wait for what comes of it."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)


def test_a_stop_that_was_swallowed_comes_again(heard: list[int]) -> None:
    """Once more while the body runs, and never when it has ended."""
    handler = signal.getsignal(signal.SIGTERM)
    with insisting(after_s=0.2):
        with pytest.raises(Stop):  # as asyncio swallows it in the middle of a write
            ask_to_stop()
        with pytest.raises(Stop):
            time.sleep(30)
    assert len(heard) == 2
    assert signal.getsignal(signal.SIGTERM) is handler
    time.sleep(0.5)
    assert len(heard) == 2


def test_who_is_not_asked_is_not_disturbed(heard: list[int]) -> None:
    """Nothing comes where nothing was sent; other threads change no handler."""
    with insisting(after_s=0.01):
        time.sleep(0.1)
    handlers: list[object] = []

    def elsewhere() -> None:
        with insisting():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]
    assert heard == []


async def test_a_stop_that_was_heard_is_not_repeated(heard: list[int]) -> None:
    """A task that is being cancelled tidies up in its own time."""

    async def work() -> None:
        with insisting(after_s=1.0):
            with pytest.raises(Stop):  # swallowed, once
                ask_to_stop()
            try:
                await asyncio.sleep(30)
            finally:
                time.sleep(2.5)  # noqa: ASYNC251 - as tidying up that a signal would break

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(heard) == 1
