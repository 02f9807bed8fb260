"""Tries that gave no reply and may cost money all the same.

A server that breaks off, or is given up after minutes, may have charged for what it wrote. Whoever
tries again says so here, and whoever keeps the budget decides whether it may.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from weak2wise_core.records import Usage


class Payer(Protocol):
    """Who answers for the tries of one call."""

    def lose(self, usage: Usage) -> None:
        """The try in hand gave no reply; it may be charged for, with these tokens if counted."""
        ...

    async def hold(self) -> None:
        """Before a try: nothing, if one is held already.

        Raises:
            BudgetReachedError, FatalModelError: No further try may be paid for.
        """
        ...


_PAYER: ContextVar[Payer | None] = ContextVar("payer", default=None)


@contextmanager
def paid_by(payer: Payer) -> Iterator[None]:
    """Let somebody answer for the tries made inside, in this task."""
    token = _PAYER.set(payer)
    try:
        yield
    finally:
        _PAYER.reset(token)


def lose_try(usage: Usage) -> None:
    """Tell who pays that a try gave no reply and may be charged for."""
    if (payer := _PAYER.get()) is not None:
        payer.lose(usage)


async def before_next_try() -> None:
    """Ask who pays whether there may be another try.

    Raises:
        BudgetReachedError, FatalModelError: There may not.
    """
    if (payer := _PAYER.get()) is not None:
        await payer.hold()
