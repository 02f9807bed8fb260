"""Waiting for many calls at once, without leaving any behind."""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, TypeVar

from weak2wise_core.errors import FatalModelError, ModelError

R = TypeVar("R")


async def gather_all(coroutines: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """Await all; the first error is raised as itself, not in a group.

    One begins in each pass of the event loop: hundreds that begin at once would keep it from
    reading the replies that come meanwhile. After an error none begins. Where one call to a model
    failed, those that have begun go on to their end: what they asked is paid for, and the next
    build wants it. Any other error, and being cancelled, cancels them. Nothing that was started
    here runs on after it returns: a call that nobody waits for would keep a slot.

    Returns:
        The results in the order of the coroutines.
    """
    running: list[asyncio.Future[R]] = []
    errors: list[BaseException] = []

    def look(future: asyncio.Future[R]) -> None:
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            errors.append(error)

    try:
        for coroutine in coroutines:
            running.append(asyncio.ensure_future(coroutine))
            running[-1].add_done_callback(look)
            await asyncio.sleep(0)
            if errors:
                break
        await _ended(running, errors)
        return [future.result() for future in running]
    finally:
        for coroutine in coroutines[len(running) :]:
            coroutine.close()
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _ended(running: Collection[asyncio.Future[R]], errors: Sequence[BaseException]) -> None:
    """Wait for all, or for an error that ends all; raise what ended them."""
    while running and not any(map(_ends_all, errors)):
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
    if errors:
        raise next(filter(_ends_all, errors), errors[0])


def _ends_all(error: BaseException) -> bool:
    """Whether the others would be asked in vain."""
    return isinstance(error, FatalModelError) or not isinstance(error, ModelError)
