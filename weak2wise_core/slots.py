"""One pool of slots for the model calls of a build, and who gets the next free one.

Votes go first: they finish what a call has begun. Then come calls that are needed. Speculative
calls, which may turn out to be needed, get a slot only where it would stay empty.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import TypeAlias


class Urgency(IntEnum):
    """Who goes first; within one urgency, who came first."""

    VOTE = 0
    NEEDED = 1
    SPECULATIVE = 2


class Errand:
    """What some calls of one task are for; it may become more urgent, or idle, while they wait."""

    def __init__(self, *, speculative: bool = False) -> None:
        """An errand that is needed, or only may be."""
        self.speculative = speculative
        self.in_flight = 0
        """Calls that have a slot."""
        self.abandoned = False
        self._waiting: dict[asyncio.Future[None], bool] = {}

    def urgency(self, *, vote: bool) -> Urgency:
        """Where a call of this errand stands in the queue."""
        if self.speculative:
            return Urgency.SPECULATIVE
        return Urgency.VOTE if vote else Urgency.NEEDED

    def abandon(self) -> None:
        """Take no slot from now on; a call that has one was sent, and its reply is kept.

        Whoever waits for a slot is cancelled as soon as no call has one: it may be that the same
        task waits for both, and would cancel the other.
        """
        self.abandoned = True
        self._leave()

    def _leave(self) -> None:
        if self.abandoned and not self.in_flight:
            for ticket in self._waiting:
                ticket.cancel()


_Ticket: TypeAlias = "tuple[Errand, asyncio.Future[None]]"


class Slots:
    """As many calls at once as there are slots."""

    def __init__(self, count: int) -> None:
        """Open a pool.

        Args:
            count: Calls at once.
        """
        self._free = count
        self._queues: tuple[deque[_Ticket], ...] = tuple(deque() for _ in Urgency)

    @property
    def spare(self) -> int:
        """Slots that nobody wants now."""
        return self._free

    @asynccontextmanager
    async def one(self, errand: Errand, *, vote: bool = False) -> AsyncIterator[None]:
        """Hold one slot; waits for it.

        Raises:
            asyncio.CancelledError: The errand was abandoned.
        """
        await self._take(errand, vote=vote)
        errand.in_flight += 1
        try:
            yield
        finally:
            errand.in_flight -= 1
            errand._leave()  # noqa: SLF001 - errands are ours
            self._give()

    def promote(self, errand: Errand) -> None:
        """A speculative errand is needed now: its calls move up in the queue."""
        errand.speculative = False
        for ticket, vote in errand._waiting.items():  # noqa: SLF001
            self._queues[errand.urgency(vote=vote)].append((errand, ticket))

    async def _take(self, errand: Errand, *, vote: bool) -> None:
        if errand.abandoned and not errand.in_flight:
            raise asyncio.CancelledError
        if self._free and not errand.abandoned:  # nobody waits: whoever does gets what is given
            self._free -= 1
            return
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not errand.abandoned:
            self._queues[errand.urgency(vote=vote)].append((errand, ticket))
        errand._waiting[ticket] = vote  # noqa: SLF001
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                self._give()  # it came at the very moment
            raise
        finally:
            del errand._waiting[ticket]  # noqa: SLF001

    def _give(self) -> None:
        for queue in self._queues:
            while queue:
                errand, ticket = queue.popleft()
                if not (ticket.done() or errand.abandoned):
                    ticket.set_result(None)
                    return
        self._free += 1
