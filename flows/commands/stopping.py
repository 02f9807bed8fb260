"""Ctrl-C and SIGTERM: whatever asks models stops cleanly and says how to go on."""

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TypeVar

import typer
from rich.console import Console

from flows.starting import INTERRUPTED, SIGNALS, TERMINATED
from weak2wise_core.errors import BuildError

R = TypeVar("R")


async def interruptible(work: Awaitable[R], stopped_by: list[int]) -> R:
    """Await something that a signal cancels; signals come to the main thread only.

    Args:
        work: What to wait for.
        stopped_by: Takes the numbers of the signals that came.

    Raises:
        asyncio.CancelledError: A signal came, also where the work made something else of it.
    """
    running = asyncio.ensure_future(work)

    def stop(number: int) -> None:
        stopped_by.append(number)
        running.cancel()

    loop = asyncio.get_running_loop()
    for number in SIGNALS if current_thread() is main_thread() else ():
        loop.add_signal_handler(number, stop, number)
    result = await running
    if stopped_by:  # the engine turns a cancellation into a state
        raise asyncio.CancelledError
    return result


@contextmanager
def clean_stop(
    what: str, stopped_by: list[int], console: Console, *, kept: str = "every reply"
) -> Iterator[None]:
    """Turn an interruption into one sentence and an exit code.

    Args:
        what: What is stopped and can be started again, as in "build".
        stopped_by: The numbers of the signals that came; see `interruptible`.
        console: Where the sentence goes.
        kept: What is not lost.

    Raises:
        typer.Exit: It was interrupted (130) or terminated (143).
        BuildError: It was cancelled, and nobody asked for it: that is no stop but a fault.
    """
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        if isinstance(stop, asyncio.CancelledError) and not stopped_by:
            raise BuildError(
                f"the {what} was cancelled though nobody stopped it, which is a fault of this "
                f"program: please report it. {kept.capitalize()} is kept; start the same {what} "
                "again to go on"
            ) from stop
        console.print(
            f"stopped; {kept} is kept. Start the same {what} again to go on", soft_wrap=True
        )
        code = TERMINATED if signal.SIGTERM in stopped_by else INTERRUPTED
        raise typer.Exit(code) from stop
