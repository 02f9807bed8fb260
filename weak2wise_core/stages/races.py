"""Driving a race: one cell after the other, and guesses at the next ones where slots are idle.

A guess is asked ahead of its turn. The race itself takes cells in its own order whatever was
guessed, so that its rows are the same with and without guesses, on any machine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from weak2wise_core.gateway import run_errand
from weak2wise_core.racing import Cell, Race
from weak2wise_core.records import Verdict
from weak2wise_core.slots import Errand, Slots

MOST_GUESSES = 12
"""Cells of one question that are asked ahead at once."""


class Judged(Protocol):
    """What the driver needs to know of an answer to a cell."""

    @property
    def verdict(self) -> Verdict:
        """Whether the weak model's answer is correct."""
        ...


A = TypeVar("A", bound=Judged)

Ask = Callable[[Cell], Awaitable[A]]


class _Asked(Generic[A]):
    """One cell that is being asked."""

    def __init__(self, ask: Ask[A], cell: Cell, *, guess: bool) -> None:
        self.errand = Errand(speculative=guess)

        async def run() -> A:
            run_errand(self.errand)
            return await ask(cell)

        self.task = asyncio.ensure_future(run())
        if guess:  # a guess that failed is an error only when its turn comes
            self.task.add_done_callback(lambda task: task.cancelled() or task.exception())


async def run_race(race: Race, ask: Ask[A], *, slots: Slots | None = None) -> dict[Cell, A]:
    """Ask what a race needs to know.

    Args:
        race: The candidates; verdicts are recorded in it.
        ask: Asks one cell; an answer with a verdict.
        slots: Where idle slots can be seen; without them nothing is asked ahead.

    Returns:
        The answers to the cells that the race asked, without those that were only guessed.
    """
    answers: dict[Cell, A] = {}
    started: dict[Cell, _Asked[A]] = {}
    dropped: list[_Asked[A]] = []
    try:
        while (cell := race.next_cell()) is not None:
            asked = started.get(cell) or _Asked(ask, cell, guess=False)
            started[cell] = asked
            if slots is not None:
                slots.promote(asked.errand)
                _guess(race, cell, ask, started=started, slots=slots)
            answers[cell] = await asked.task
            del started[cell]
            race.record(cell, answers[cell].verdict)
            for other in [one for one in started if not race.can_matter(one)]:
                # should it matter again, after a level that cannot be judged, it is asked anew
                dropped.append(started.pop(other))
                dropped[-1].errand.abandon()
        return answers
    finally:
        await _leave([*dropped, *started.values()])


def _guess(
    race: Race, pending: Cell, ask: Ask[A], *, started: dict[Cell, _Asked[A]], slots: Slots
) -> None:
    """Ask ahead, if slots would be idle otherwise."""
    for_pending = not started[pending].errand.in_flight  # it is about to take a slot itself
    room = min(slots.spare - for_pending, MOST_GUESSES - len(started) + 1)
    if room <= 0:
        return
    for cell in race.guesses(pending, most=room):
        if cell not in started:
            started[cell] = _Asked(ask, cell, guess=True)


async def _leave(behind: Sequence[_Asked[A]]) -> None:
    """Leave no call behind: what waits is given up, what was sent is paid for and kept."""
    for asked in behind:
        asked.errand.abandon()
        if not asked.errand.in_flight:
            asked.task.cancel()
    try:
        await asyncio.gather(*(asked.task for asked in behind), return_exceptions=True)
    finally:
        for asked in behind:
            asked.task.cancel()
