"""A request to stop that cannot be lost.

The engine turns SIGTERM into an exception, raised wherever the program happens to be. Raised while
asyncio writes to a socket, asyncio takes it for a fault of that socket and goes on: the build would
neither stop nor know that it was asked to, until it is killed.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def insisting(*, after_s: float = 2.0) -> Iterator[None]:
    """Repeat a SIGTERM until it is heard: this task is being cancelled, or the body has ended.

    Whatever asks or trains models runs in such a body. Tidying up after a signal is not disturbed,
    however long it takes: a training saves a checkpoint first.

    Where nobody handles SIGTERM, or outside of the main thread, nothing is changed.

    Args:
        after_s: Seconds between one and the next.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    over, task = threading.Event(), _current_task()

    def repeat() -> None:
        while not over.wait(after_s) and not (task is not None and task.cancelling()):
            os.kill(os.getpid(), signal.SIGTERM)

    repeater = threading.Thread(target=repeat, daemon=True)

    def handle(number: int, frame: FrameType | None) -> None:
        if repeater.ident is None:
            repeater.start()
        handler(number, frame)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        over.set()
        signal.signal(signal.SIGTERM, handler)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return None
