"""Laws of driving a race: guesses make it quicker and change nothing."""

import asyncio
import random
from dataclasses import dataclass

import pytest

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.errors import TransientModelError
from weak2wise_core.gateway import current_errand
from weak2wise_core.racing import Cell, Entrant, Race
from weak2wise_core.records import Verdict
from weak2wise_core.slots import Errand, Slots
from weak2wise_core.stages.races import run_race

SETTINGS = StepMaskSettings(granularity=6)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an asked cell comes back with."""

    verdict: Verdict


class Table:
    """Verdicts fixed by cell, asked through slots, each after a moment that depends on nothing."""

    def __init__(self, seed: int, *, slots: Slots, failing: frozenset[Cell] = frozenset()) -> None:
        rng = random.Random(seed)
        chance = [rng.random() for _ in range(6)]
        self.verdicts = {
            Cell(one, level): Verdict.CORRECT if rng.random() < chance[one] else Verdict.INCORRECT
            for one in range(6)
            for level in range(6)
        }
        self.entrants = [
            Entrant(normal_tokens=rng.randint(1, 3), strong_model="m", draw=draw)
            for draw in range(6)
        ]
        self.slots = slots
        self.failing = failing
        self.sent: list[Cell] = []
        self.finished: list[Cell] = []

    async def ask(self, cell: Cell) -> Answer:
        """Take a slot, wait, answer."""
        async with self.slots.one(current_errand()):
            self.sent.append(cell)
            await asyncio.sleep(0.001)
            if cell in self.failing:
                raise TransientModelError(f"no answer for {cell}")
            self.finished.append(cell)
        return Answer(self.verdicts[cell])

    async def run(self, *, guess: bool) -> dict[Cell, Answer]:
        """Drive the race to its end."""
        race = Race(self.entrants, settings=SETTINGS)
        return await run_race(race, self.ask, slots=self.slots if guess else None)


@pytest.mark.parametrize("seed", range(30))
async def test_guesses_change_neither_cells_nor_verdicts(seed: int) -> None:
    """With idle slots more cells are sent, and the race takes the same ones in the same order."""
    plain, quick = Table(seed, slots=Slots(1)), Table(seed, slots=Slots(9))
    without, with_guesses = await plain.run(guess=False), await quick.run(guess=True)
    assert list(with_guesses.items()) == list(without.items())
    assert plain.sent == list(without)
    assert set(without) <= set(quick.sent)
    assert len(quick.sent) == len(set(quick.sent)), "a cell was asked twice"


@pytest.mark.parametrize("seed", range(10))
async def test_what_was_sent_is_awaited_and_every_slot_is_given_back(seed: int) -> None:
    """A reply that was paid for is kept, also one that turns out not to be needed."""
    table = Table(seed, slots=Slots(9))
    await table.run(guess=True)
    assert sorted(table.sent) == sorted(table.finished)
    assert table.slots.spare == 9
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_guess_is_sent_where_no_slot_is_idle() -> None:
    """With one slot the race sends exactly what it needs."""
    table = Table(3, slots=Slots(1))
    answers = await table.run(guess=True)
    assert table.sent == list(answers)


@pytest.mark.parametrize("seed", range(10))
async def test_a_guess_that_fails_matters_only_if_it_is_needed(seed: int) -> None:
    """Cells outside the race may fail; a needed one raises its own error."""
    needed = list(await Table(seed, slots=Slots(1)).run(guess=False))
    vain = frozenset(Table(seed, slots=Slots(1)).verdicts) - set(needed)
    table = Table(seed, slots=Slots(9), failing=vain)
    assert list(await table.run(guess=True)) == needed
    broken = Table(seed, slots=Slots(9), failing=frozenset({needed[-1]}))
    with pytest.raises(TransientModelError):
        await broken.run(guess=True)
    assert broken.slots.spare == 9


class Doubtful(Table):
    """A table in which some levels cannot be judged, with two votes on every answer."""

    def __init__(self, seed: int, *, slots: Slots) -> None:
        super().__init__(seed, slots=slots)
        self.rng = random.Random(seed)
        for cell in self.verdicts:
            if self.rng.random() < 1 / 7:
                self.verdicts[cell] = Verdict.UNJUDGED

    async def ask(self, cell: Cell) -> Answer:
        """One slot after the other."""
        for vote in (False, True, True):
            async with self.slots.one(current_errand(), vote=vote):
                await asyncio.sleep(self.rng.random() / 500)
        return Answer(self.verdicts[cell])

    async def others(self) -> None:
        """Somebody else's calls, so that guesses wait for slots."""
        for _ in range(30):
            async with self.slots.one(Errand()):
                await asyncio.sleep(self.rng.random() / 500)
            await asyncio.sleep(self.rng.random() / 500)


async def test_a_level_that_nobody_can_judge_brings_dropped_guesses_back() -> None:
    """It ends the leader, so that candidates which were out can win again, and are asked."""

    async def both(seed: int) -> None:
        plain, quick = Doubtful(seed, slots=Slots(1)), Doubtful(seed, slots=Slots(6))
        without = await plain.run(guess=False)
        traffic = [asyncio.create_task(quick.others()) for _ in range(5)]
        with_guesses = await quick.run(guess=True)
        for one in traffic:
            one.cancel()
        await asyncio.gather(*traffic, return_exceptions=True)
        assert list(with_guesses.items()) == list(without.items())
        assert quick.slots.spare == 6

    for first in range(0, 160, 40):
        await asyncio.gather(*(both(seed) for seed in range(first, first + 40)))


async def test_a_cancelled_race_leaves_no_task_behind() -> None:
    """Ctrl-C in the middle ends every call of the race."""
    table = Table(1, slots=Slots(9))
    running = asyncio.create_task(table.run(guess=True))
    await asyncio.sleep(0.0025)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.005)
    assert table.slots.spare == 9
    assert asyncio.all_tasks() == {asyncio.current_task()}
