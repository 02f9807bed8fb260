"""The world: somebody has some things, and their number changes a few times.

A problem is a start value and a chain of operations. A quarter of all chains of two or more
operations is reserved, by a hash of the chain: the weak model never met them in pretraining. One
half of the reserved chains is the pool that datasets are built from, the other half the test.
"""

import hashlib
import random
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["+", "-", "*"]

NAMES = (
    *("Mira", "Jon", "Pia", "Olaf", "Ruth", "Ivo"),
    *("Elin", "Hugo", "Nora", "Emil", "Tara", "Finn"),
)
THINGS = (
    *("plums", "beads", "tickets", "marbles", "stones", "pears"),
    *("stickers", "feathers", "buttons", "candles", "lemons", "ropes"),
)
STARTS = range(5, 41)
VALUES = range(2, 100)
"""Every value of a chain, the start and the answer included."""
AMOUNTS = range(2, 10)
"""What may be added or taken away at once."""
FACTORS = range(2, 4)
WORDINGS = {"+": 3, "-": 3, "*": 1}
"""How many ways the language has to tell each kind of operation."""
LENGTHS = range(1, 6)
"""Operations in a chain; questions of the pool and the test have 2 to 4."""
POOL_LENGTHS = (2, 3, 3, 4, 4)
"""Lengths of the chains of pool and test questions, in the proportion in which they are drawn."""


class Share(StrEnum):
    """Who may see a chain. The three shares are disjoint."""

    PRETRAINING = "pretraining"
    POOL = "pool"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change of the number."""

    kind: Kind
    amount: int
    wording: int = 0
    """Which of the language's phrases tells it, from 0."""

    def apply(self, value: int) -> int:
        """The number after the change."""
        if self.kind == "+":
            return value + self.amount
        return value - self.amount if self.kind == "-" else value * self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One word problem, before it is put into words."""

    name: str
    thing: str
    start: int
    operations: tuple[Operation, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The number before the first operation and after each one."""
        return tuple(accumulate(self.operations, lambda v, op: op.apply(v), initial=self.start))

    @property
    def answer(self) -> str:
        """The number at the end."""
        return str(self.values[-1])

    @property
    def chain(self) -> str:
        """Start and operations without names and wording: what the shares are cut by."""
        return "|".join([str(self.start), *(f"{o.kind}{o.amount}" for o in self.operations)])


def is_in_world(problem: Problem) -> bool:
    """Whether names, amounts and all values are ones that the weak model has learnt."""
    return (
        problem.name in NAMES
        and problem.thing in THINGS
        and problem.start in STARTS
        and len(problem.operations) in LENGTHS
        and all(_is_known(operation) for operation in problem.operations)
        and all(value in VALUES for value in problem.values)
    )


def _is_known(operation: Operation) -> bool:
    amounts = FACTORS if operation.kind == "*" else AMOUNTS
    return operation.amount in amounts and operation.wording in range(WORDINGS[operation.kind])


def share_of(problem: Problem) -> Share:
    """Who may see the chain of a problem; names and wording make no difference."""
    digest = hashlib.sha256(problem.chain.encode()).digest()
    if len(problem.operations) < 2 or digest[0] >= 64:
        return Share.PRETRAINING
    return Share.POOL if digest[1] % 2 == 0 else Share.TEST


def draw_problem(rng: random.Random, *, length: int, share: Share) -> Problem:
    """A random problem of one share.

    Args:
        rng: Source of all chance; the same state gives the same problem.
        length: Number of operations; 2 or more where the share is reserved.
        share: Who is going to see it.

    Raises:
        ValueError: No chain of this length belongs to the share.
    """
    if length not in LENGTHS or (length < 2 and share is not Share.PRETRAINING):
        raise ValueError(f"the share {share.value} has no chains of {length} operations")
    while True:
        problem = Problem(
            name=rng.choice(NAMES),
            thing=rng.choice(THINGS),
            start=rng.choice(STARTS),
            operations=tuple(draw_operation(rng) for _ in range(length)),
        )
        if is_in_world(problem) and share_of(problem) is share:
            return problem


def draw_operation(rng: random.Random) -> Operation:
    """A random operation: two in five add, two in five take away, one in five multiplies."""
    kind: Kind = rng.choices(("+", "-", "*"), (2, 2, 1))[0]
    amount = rng.choice(FACTORS if kind == "*" else AMOUNTS)
    return Operation(kind=kind, amount=amount, wording=rng.randrange(WORDINGS[kind]))
