"""A request to stop that cannot be lost.

The engine turns SIGTERM into an exception, raised wherever the program happens to be. Raised while
asyncio writes to a socket, asyncio takes it for a fault of that socket and goes on: the build would
neither stop nor know that it was asked to, until it is killed.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def insisting(*, after_s: float = 2.0) -> Iterator[None]:
    """Repeat a SIGTERM until the body ends, however it ends; cleaning up is not disturbed.

    Where nobody handles SIGTERM, or outside of the main thread, nothing is changed.

    Args:
        after_s: Seconds between one and the next.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(after_s):
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
