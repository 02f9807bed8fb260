"""A request to stop that is not lost.

The engine turns SIGTERM into an exception, raised wherever the program happens to be. Where that is
inside the event loop, as in the middle of a write to a socket, the loop takes it for a fault of a
callback, reports it and goes on: the run would not stop until it is killed. With uvloop it is
always so.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.exceptions import ExternalSignal


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Raise in the body what the event loop swallowed of a signal.

    The task that runs the body is cancelled first, so that everything inside tidies up. The
    engine's own handler stays where it is: a worker asks for it before it cancels a run.

    Raises:
        ExternalSignal: A signal came while the body ran.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None, "a coroutine runs in a task"
    before, swallowed = loop.get_exception_handler(), list[ExternalSignal]()

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ExternalSignal):
            swallowed.append(error)
            task.cancel()
        elif before is None:
            loop.default_exception_handler(context)
        else:
            before(loop, context)

    loop.set_exception_handler(report)
    try:
        yield
    except asyncio.CancelledError:
        if not swallowed:
            raise
        task.uncancel()
        raise swallowed[0] from None
    finally:
        loop.set_exception_handler(before)
