"""What tests of plans share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.core.planning.world import World, recipe
from weak2wise_core.equivalence import AnswerChecker

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def checker() -> Iterator[AnswerChecker]:
    """The rule-based checker."""
    with AnswerChecker() as opened:
        yield opened


@pytest.fixture
def world(checker: AnswerChecker) -> MakeWorld:
    """Makes a world from changes to its recipe."""

    def make(**changes: Any) -> World:
        return World(recipe=recipe(**changes), checker=checker)

    return make
