"""Laws of the pool of slots: votes first, speculation last, and no slot is ever lost."""

import asyncio
import random

import pytest

from weak2wise_core.slots import Errand, Slots


async def hold(slots: Slots, errand: Errand, log: list[str], name: str, *, vote: bool) -> None:
    """Take a slot, note who has it, give it back."""
    async with slots.one(errand, vote=vote):
        log.append(name)
        await asyncio.sleep(0)


async def queued(slots: Slots, *entries: tuple[str, Errand, bool]) -> list[str]:
    """The order in which calls get the only slot, which is taken while they queue up."""
    log: list[str] = []
    async with slots.one(Errand()):
        tasks = [
            asyncio.create_task(hold(slots, errand, log, name, vote=vote))
            for name, errand, vote in entries
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    return log


async def test_votes_go_first_and_speculation_last() -> None:
    """The order of arrival counts only among calls of the same urgency."""
    order = await queued(
        Slots(1),
        ("guess", Errand(speculative=True), False),
        ("guessed vote", Errand(speculative=True), True),
        ("needed", Errand(), False),
        ("needed later", Errand(), False),
        ("vote", Errand(), True),
    )
    assert order == ["vote", "needed", "needed later", "guess", "guessed vote"]


async def test_a_guess_that_is_needed_after_all_moves_up() -> None:
    """Promotion reaches calls that wait already, and counts for later ones."""
    slots, guess = Slots(1), Errand(speculative=True)
    log: list[str] = []
    async with slots.one(Errand()):
        tasks = [
            asyncio.create_task(hold(slots, errand, log, name, vote=False))
            for name, errand in (
                ("guess", guess),
                ("other guess", Errand(speculative=True)),
                ("needed", Errand()),
            )
        ]
        await asyncio.sleep(0)
        slots.promote(guess)
    await asyncio.gather(*tasks)
    assert log == ["needed", "guess", "other guess"]
    assert slots.spare == 1


async def test_an_abandoned_errand_takes_no_slot() -> None:
    """Its waiting calls are cancelled at once, later ones as they ask; the slot goes on."""
    slots, guess = Slots(1), Errand(speculative=True)
    log: list[str] = []
    async with slots.one(Errand()):
        waiting = asyncio.create_task(hold(slots, guess, log, "guess", vote=False))
        await asyncio.sleep(0)
        guess.abandon()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(asyncio.CancelledError):
        await hold(slots, guess, log, "again", vote=True)
    assert log == []
    assert slots.spare == 1


async def test_what_an_abandoned_errand_has_sent_is_not_cut_off_by_what_it_has_not() -> None:
    """Two votes of one task: the one that waits is cancelled when the other is done."""
    slots, guess, log = Slots(1), Errand(speculative=True), list[str]()
    sent, answered = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with slots.one(guess, vote=True):
            sent.set()
            await answered.wait()
            log.append("kept")

    both = [asyncio.create_task(first())]
    await sent.wait()
    both.append(asyncio.create_task(hold(slots, guess, log, "second", vote=True)))
    await asyncio.sleep(0)
    guess.abandon()
    both.append(asyncio.create_task(hold(slots, guess, log, "third", vote=True)))
    await asyncio.sleep(0)
    assert not any(one.done() for one in both)
    answered.set()
    await asyncio.wait(both)
    assert log == ["kept"]
    assert [one.cancelled() for one in both] == [False, True, True]
    assert slots.spare == 1


@pytest.mark.parametrize("seed", range(20))
async def test_no_slot_is_lost_or_made(seed: int) -> None:
    """Whatever is cancelled, promoted or abandoned, in the end all slots are free again."""
    rng = random.Random(seed)
    slots, running, most = Slots(3), 0, 0
    errands = [Errand(speculative=rng.random() < 0.5) for _ in range(12)]

    async def call(errand: Errand) -> None:
        nonlocal running, most
        async with slots.one(errand, vote=rng.random() < 0.3):
            running += 1
            most = max(most, running)
            try:
                await asyncio.sleep(rng.choice([0, 0.0005]))
            finally:
                running -= 1

    tasks = [asyncio.create_task(call(rng.choice(errands))) for _ in range(60)]
    for _ in range(40):
        await asyncio.sleep(0)
        chance, errand = rng.random(), rng.choice(errands)
        if chance < 0.3:
            rng.choice(tasks).cancel()
        elif chance < 0.6:
            slots.promote(errand)
        elif chance < 0.7:
            errand.abandon()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= 3
    assert slots.spare == 3
