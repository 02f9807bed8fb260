"""Laws of the calls that a ballot still needs: no ballot needs fewer or more."""

import asyncio
from collections.abc import Sequence
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from weak2wise_core.config import JudgingSettings
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.planning.ballots import KnownVote, ballot_bounds, open_ballot
from weak2wise_core.planning.needs import Bounds
from weak2wise_core.records import ChatReply, FinishReason, Message, Question, Usage, Verdict
from weak2wise_core.stages.judge import Judge

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


async def paid_by(draws: Sequence[Verdict], known: Sequence[Verdict | None], votes: int) -> int:
    """What a real judge pays for a ballot in which every draw is fixed."""
    model = Fixed(draws, known)
    with AnswerChecker() as checker:
        judge = Judge(JudgingSettings(votes=votes), checker=checker, model=model)
        await judge.judge(QUESTION, said("2"))
    return model.paid


@settings(max_examples=60, deadline=None)
@given(
    known=st.lists(st.sampled_from([None, None, None, *Verdict]), min_size=6, max_size=6).filter(
        lambda one: one.count(None) <= 4
    )
)
def test_the_bounds_are_the_fewest_and_the_most_that_any_ballot_pays(
    known: list[Verdict | None],
) -> None:
    """Over every completion of known votes, a real judge pays `least` at best, `most` at worst."""
    unknown = known.count(None)

    async def every_way() -> set[int]:
        found = set()
        for filling in product(Verdict, repeat=unknown):
            rest = iter(filling)
            draws = [next(rest) if one is None else one for one in known]
            found.add(await paid_by(draws, known, 3))
        return found

    paid = asyncio.run(every_way())
    bounds = ballot_bounds([KnownVote(first=known[i], again=known[i + 3]) for i in range(3)])
    assert (bounds.least, bounds.most) == (min(paid), max(paid))


def test_an_unknown_ballot_of_three_needs_two_to_six_calls() -> None:
    """Two valid votes that agree settle it; three invalid ones that are re-asked are the most."""
    unknown = [KnownVote(first=None, again=None)] * 3
    assert ballot_bounds(unknown) == Bounds(least=2, most=6, reasks=3)
    assert open_ballot(3) == Bounds(least=0, most=6, reasks=3)
    assert open_ballot(0) == Bounds()
