"""Saying how far something is while it runs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

SECONDS_BETWEEN_LINES = 10.0
"""Where there is no terminal: a log should stay short."""


@contextmanager
def now_and_then(
    say: Callable[[], object], *, pause: float = SECONDS_BETWEEN_LINES
) -> Iterator[None]:
    """Say something again and again while the block runs, from another thread.

    Args:
        say: Says it.
        pause: Seconds from one to the next.
    """
    over = threading.Event()

    def report() -> None:
        while not over.wait(pause):
            say()

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        over.set()
        reporter.join()


@contextmanager
def one_line(line: Callable[[float], str], console: Console) -> Iterator[None]:
    """On a terminal one line that changes, elsewhere a line now and then.

    Args:
        line: What is said after so many seconds.
        console: Where.
    """
    started = time.monotonic()

    def text() -> str:
        return line(time.monotonic() - started)

    if not console.is_terminal:
        with now_and_then(lambda: console.print(text())):
            yield
        return
    with (
        console.status("starting ...") as status,
        now_and_then(lambda: status.update(text()), pause=1.0),
    ):
        yield
