"""Waiting for many calls at once, without leaving any behind."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

R = TypeVar("R")


async def gather_all(coroutines: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """Await all; the first error cancels the rest and is raised as itself, not in a group.

    Nothing that was started here runs on after it returns: a call that nobody waits for would keep
    a slot and be paid for in vain.

    Returns:
        The results in the order of the coroutines.
    """
    running = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*running))
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)
