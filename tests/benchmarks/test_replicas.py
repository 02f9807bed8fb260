"""The benchmark of routing, with a few questions."""

import asyncio

from benchmarks.replicas import CANDIDATES, LEVELS, WAYS, routed


def test_routing_by_question_shares_most() -> None:
    """Every way makes the same calls; a question that stays at one replica is read there first."""
    found = {way: asyncio.run(routed(way, questions=3, replicas=2, seed=0)) for way in WAYS}
    assert {one.calls for one in found.values()} == {3 * CANDIDATES * LEVELS}
    assert found["question"].shared > found["random"].shared > 0
