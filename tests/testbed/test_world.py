"""The world: problems, their values, and who may see them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.world import (
    LENGTHS,
    STARTS,
    VALUES,
    Operation,
    Problem,
    Share,
    draw_problem,
    is_in_world,
    share_of,
)


@given(st.integers(), st.sampled_from(LENGTHS))
def test_every_drawn_problem_is_in_the_world(seed: int, length: int) -> None:
    """A drawn problem has the wanted length and share, and all its values are known ones."""
    problem = draw_problem(random.Random(seed), length=length, share=Share.PRETRAINING)
    assert is_in_world(problem)
    assert len(problem.operations) == length
    assert share_of(problem) is Share.PRETRAINING
    assert problem.start in STARTS
    assert all(value in VALUES for value in problem.values)


@given(st.integers(), st.sampled_from((Share.POOL, Share.TEST)), st.integers(2, 4))
def test_the_share_depends_on_the_chain_alone(seed: int, share: Share, length: int) -> None:
    """Other names, things and wordings leave a chain in its share: the shares are disjoint."""
    problem = draw_problem(random.Random(seed), length=length, share=share)
    plain = tuple(Operation(kind=o.kind, amount=o.amount) for o in problem.operations)
    retold = Problem(name="Jon", thing="beads", start=problem.start, operations=plain)
    assert share_of(retold) is share


def test_a_quarter_of_the_longer_chains_is_reserved_half_of_it_for_the_test() -> None:
    """Reserved are a quarter of the chains of two or more operations, in two equal halves."""
    shares = [
        share_of(_chain(start, first, second))
        for start in STARTS
        for first in range(2, 10)
        for second in range(2, 10)
    ]
    assert shares.count(Share.POOL) / len(shares) == pytest.approx(1 / 8, abs=0.02)
    assert shares.count(Share.TEST) / len(shares) == pytest.approx(1 / 8, abs=0.02)


def test_chains_of_one_operation_are_never_reserved() -> None:
    """There are too few of them to keep any from the model, so nobody may ask for one."""
    with pytest.raises(ValueError, match="1 operations"):
        draw_problem(random.Random(1), length=1, share=Share.TEST)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Zorro"},
        {"thing": "clouds"},
        {"start": 41},
        {"operations": (Operation(kind="+", amount=10),)},
        {"operations": (Operation(kind="-", amount=9),)},
        {"operations": (Operation(kind="*", amount=4),)},
        {"operations": (Operation(kind="*", amount=2, wording=1),)},
        {"operations": ()},
    ],
)
def test_what_the_model_never_learnt_is_outside(change: dict[str, object]) -> None:
    """A name, thing, amount or value that is not the world's puts a problem outside it."""
    fields: dict[str, object] = {
        "name": "Jon",
        "thing": "beads",
        "start": 10,
        "operations": (Operation(kind="+", amount=2),),
    }
    assert is_in_world(Problem(**fields))  # type: ignore[arg-type]
    assert not is_in_world(Problem(**(fields | change)))  # type: ignore[arg-type]


def _chain(start: int, first: int, second: int) -> Problem:
    operations = (Operation(kind="+", amount=first), Operation(kind="-", amount=second))
    return Problem(name="Mira", thing="plums", start=start, operations=operations)
