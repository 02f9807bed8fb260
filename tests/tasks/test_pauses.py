"""What would hold the event loop of a run for tenths of a second."""

import gc
import subprocess
import sys

import pytest

from tasks.pauses import SWITCH_S, few_pauses, spare_what_is_loaded


class _Loop:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


def collected(one: object) -> bool:
    """Whether collections look at an object."""
    return any(other is one for other in gc.get_objects())


@pytest.fixture(autouse=True)
def nothing_is_spared() -> None:
    """The collector as it is outside of runs."""
    gc.unfreeze()


async def test_collections_pass_over_what_was_there_before_a_run() -> None:
    """All that was imported is left out of them while a run is open, and only then."""
    there, loaded = len(gc.get_objects()), _Loop()
    async with few_pauses():
        assert not collected(loaded)
        assert len(gc.get_objects()) < there / 10
    assert collected(loaded)


async def test_what_is_loaded_later_can_be_spared_too() -> None:
    """What comes with a tokenizer or a client is one call away from being left out."""
    async with few_pauses():
        late = _Loop()
        assert collected(late)
        spare_what_is_loaded()
        assert not collected(late)


async def test_garbage_of_a_run_is_still_collected() -> None:
    """What a run itself leaves in circles does not fill the memory."""
    async with few_pauses():
        gc.collect()
        for _ in range(100):
            _Loop()
        assert gc.collect() >= 100


async def test_no_thread_waits_for_long() -> None:
    """Threads take turns in quick succession while a run is open, and only then."""
    before = sys.getswitchinterval()
    async with few_pauses():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    assert sys.getswitchinterval() == before


async def test_a_run_that_fails_gives_everything_back() -> None:
    """The process may go on to other work; its garbage is collected as ever."""
    with pytest.raises(RuntimeError, match="of the run"):
        async with few_pauses():
            raise RuntimeError("of the run")
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() > SWITCH_S


def test_the_first_table_of_a_run_imports_nothing() -> None:
    """What pyarrow imports with its first row was imported before anything was asked."""
    program = """
import asyncio, sys
from tasks.pauses import few_pauses
from weak2wise_core.records import Question
from weak2wise_core.stores.parquet import to_bytes

async def main():
    async with few_pauses():
        before = set(sys.modules)
        to_bytes([Question(id="q", question="1 + 1", answer="2")], Question)
        print(sorted(set(sys.modules) - before))

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
