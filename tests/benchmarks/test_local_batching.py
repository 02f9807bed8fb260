"""The benchmark of local batching, with a few prompts."""

import pytest

from benchmarks.local_batching import Way, compare, works
from weak2wise_core.config import Batching

pytest.importorskip("torch")


@pytest.mark.slow
def test_the_ways_of_batching_give_the_same_replies() -> None:
    """One at a time, in batches and slot by slot, on the CPU."""
    ways = [
        Way(name="one at a time", batching=Batching.PLAIN, batch_size=1),
        Way(name="plain", batching=Batching.PLAIN, batch_size=4),
        Way(name="continuous", batching=Batching.CONTINUOUS, batch_size=4),
    ]
    asked = works(1)["hints"][:4]
    found = compare("hints", asked, ways=ways, rounds=1, device="cpu")
    assert [one.way for one in found] == [way.name for way in ways]
    assert [one.same_replies for one in found] == [4, 4, 4]
    assert all(one.tokens_per_s > 0 for one in found)
