"""Waiting for many calls at once, without leaving any behind."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

R = TypeVar("R")


async def gather_all(coroutines: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """Await all; the first error cancels the rest and is raised as itself, not in a group.

    One begins in each pass of the event loop: hundreds that begin at once would keep it from
    reading the replies that come meanwhile. Nothing that was started here runs on after it
    returns: a call that nobody waits for would keep a slot and be paid for in vain.

    Returns:
        The results in the order of the coroutines.
    """
    running: list[asyncio.Future[R]] = []
    failed = asyncio.Event()

    def look(future: asyncio.Future[R]) -> None:
        if future.cancelled() or future.exception() is not None:
            failed.set()

    try:
        for coroutine in coroutines:
            running.append(asyncio.ensure_future(coroutine))
            running[-1].add_done_callback(look)
            await asyncio.sleep(0)
            if failed.is_set():
                break
        return list(await asyncio.gather(*running))
    finally:
        for coroutine in coroutines[len(running) :]:
            coroutine.close()
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)
