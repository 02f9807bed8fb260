"""Laws of the calls that a ballot still needs: no ballot needs fewer or more."""

import asyncio
from collections.abc import Sequence
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from weak2wise_core.config import JudgingSettings
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.planning.ballots import (
    KnownVote,
    ballot_bounds,
    open_ballot,
    second_ballot_bounds,
)
from weak2wise_core.planning.needs import Bounds
from weak2wise_core.records import ChatReply, FinishReason, Message, Question, Usage, Verdict
from weak2wise_core.stages.judge import Judge, draws_of

WORDS = {Verdict.CORRECT: "Yes", Verdict.INCORRECT: "No", Verdict.UNJUDGED: "Perhaps"}
QUESTION = Question(id="q", question="1 + 1?", answer="2")


def said(content: str) -> ChatReply:
    """A finished reply."""
    return ChatReply(
        content=content,
        reasoning=None,
        finish_reason=FinishReason.STOP,
        usage=Usage(),
        model="judge",
    )


class Fixed:
    """A judge whose every draw is fixed; counts the draws that were not known before."""

    def __init__(self, draws: Sequence[Verdict], known: Sequence[Verdict | None]) -> None:
        self._draws, self._known = draws, known
        self.paid = 0

    async def ask(
        self, messages: Sequence[Message], *, draw: int = 0, affinity: str = ""
    ) -> ChatReply:
        """The fixed vote."""
        self.paid += self._known[draw] is None
        return said(WORDS[self._draws[draw]])


async def paid_by(
    draws: Sequence[Verdict], known: Sequence[Verdict | None], *, votes: int, insist: bool
) -> int:
    """What a real judge pays where every draw is fixed."""
    model = Fixed(draws, known)
    with AnswerChecker() as checker:
        judge = Judge(JudgingSettings(votes=votes), checker=checker, model=model)
        await judge.judge(QUESTION, said("2"), insist=insist)
    return model.paid


@settings(max_examples=150, deadline=None)
@given(data=st.data(), votes=st.sampled_from([1, 3]), insist=st.booleans())
def test_the_bounds_are_the_fewest_and_the_most_that_any_ballot_pays(
    data: st.DataObject, votes: int, insist: bool
) -> None:
    """Over every completion of known votes, a real judge pays `least` at best, `most` at worst."""
    draws = draws_of(votes) * (1 + insist)
    known: list[Verdict | None] = data.draw(
        st.lists(st.sampled_from([None, None, *Verdict]), min_size=draws, max_size=draws).filter(
            lambda one: one.count(None) <= 4
        )
    )
    unknown = known.count(None)

    async def every_way() -> set[int]:
        found = set()
        for filling in product(Verdict, repeat=unknown):
            rest = iter(filling)
            draws = [next(rest) if one is None else one for one in known]
            found.add(await paid_by(draws, known, votes=votes, insist=insist))
        return found

    paid = asyncio.run(every_way())
    first, *anew = [
        [KnownVote(first=known[i], again=known[i + votes]) for i in range(begin, begin + votes)]
        for begin in range(0, draws, draws_of(votes))
    ]
    bounds = ballot_bounds(first)
    if insist:
        bounds += second_ballot_bounds(first, anew[0])
    assert (bounds.least, bounds.most) == (min(paid), max(paid))
    assert bounds.least <= bounds.most - bounds.reasks


def test_an_unknown_ballot_of_three_needs_two_to_six_calls() -> None:
    """Two valid votes that agree settle it; three invalid ones that are re-asked are the most."""
    unknown = [KnownVote(first=None, again=None)] * 3
    assert ballot_bounds(unknown) == Bounds(least=2, most=6, reasks=3)
    assert second_ballot_bounds(unknown, unknown) == Bounds(least=0, most=6, reasks=6)
    assert open_ballot(3, insists=False) == Bounds(least=0, most=6, reasks=3)
    assert open_ballot(3, insists=True) == Bounds(least=0, most=12, reasks=9)
    assert open_ballot(0, insists=True) == Bounds()


def test_a_second_ballot_that_is_certain_is_no_re_ask() -> None:
    """Where known votes came to nothing, the two votes that must follow are bound to come."""
    mute = [KnownVote(first=Verdict.UNJUDGED, again=Verdict.UNJUDGED)] * 3
    unknown = [KnownVote(first=None, again=None)] * 3
    assert ballot_bounds(mute) == Bounds()
    assert second_ballot_bounds(mute, unknown) == Bounds(least=2, most=6, reasks=4)
