"""Running a flow in this process: it can be stopped, and ends with what came of it."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console

from flows.commands.stopping import clean_stop, interruptible
from weak2wise_core.errors import Weak2WiseError


def run_flow(
    start: Callable[[], Awaitable[Any]],
    *,
    what: str,
    display: AbstractContextManager[None],
    console: Console,
    kept: str = "every reply",
) -> tuple[Any, float]:
    """Run a flow until it ends or is stopped.

    Args:
        start: Starts it, with `return_state=True`; called inside the event loop.
        what: What is stopped and can be started again, as in "build".
        display: Shows how far it is while it runs.
        console: Where is said that it was stopped.
        kept: What is not lost then.

    Returns:
        The final state, and how many seconds it took.

    Raises:
        typer.Exit: It was interrupted (130) or terminated (143).
    """
    from prefect.exceptions import ExternalSignal

    from flows.commands.engine import engine_in_its_own_session
    from tasks.heeding import heeding_signals
    from tasks.loops import run

    started, stopped_by = time.monotonic(), list[int]()

    async def work() -> Any:
        with heeding_signals():
            return await interruptible(start(), stopped_by)

    with display, engine_in_its_own_session(), clean_stop(what, stopped_by, console, kept=kept):
        try:
            state = run(work())
        except ExternalSignal as stop:  # the engine takes SIGTERM over while a flow runs
            stopped_by.append(signal.SIGTERM)
            raise asyncio.CancelledError from stop
    return state, time.monotonic() - started


def outcome_of(state: Any) -> Any:
    """What a flow gave back, or the error that it ended with.

    Raises:
        Weak2WiseError: It failed for a reason that has a name.
    """
    outcome = asyncio.run(_outcome(state))
    if isinstance(outcome, Weak2WiseError):
        raise outcome
    return outcome


async def _outcome(state: Any) -> Any:
    return await state.aresult(raise_on_failure=False)
