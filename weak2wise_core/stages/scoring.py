"""Stage 3: what the weak model can answer with each masked hint (section 3.4, equation 3)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weak2wise_core.accounts import Ledger, ledger
from weak2wise_core.config import Policy, StepMaskSettings
from weak2wise_core.gateway import Asker
from weak2wise_core.prompts import PromptSet
from weak2wise_core.racing import Cell, Entrant, Race
from weak2wise_core.records import (
    CandidateTrace,
    JudgedBy,
    Judgement,
    MaskOutcomes,
    Question,
    Verdict,
)
from weak2wise_core.slots import Slots
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.judge import Judge
from weak2wise_core.stages.races import run_race
from weak2wise_core.stages.wording import hint_request
from weak2wise_core.steps import Step, split_steps


async def ask_mask_levels(
    question: Question,
    candidates: Sequence[CandidateTrace],
    *,
    weak: Asker,
    judge: Judge,
    count_tokens: Callable[[str], int],
    settings: StepMaskSettings,
    prompts: PromptSet,
    slots: Slots | None = None,
) -> list[MaskOutcomes]:
    """Give masked forms of the candidates to the weak model as hints.

    Args:
        question: The question that the candidates answer.
        candidates: Usable candidates only; a refused one has no steps to mask.
        weak: The model to be taught.
        judge: Decides whether the hinted answer is correct.
        count_tokens: Length of a text in tokens of the weak model, for ties.
        settings: Granularity, and whether every level is asked or the candidates race; a race also
            reads beta and the reading of equation 6.
        prompts: The wording of P_qr.
        slots: A race asks ahead where these are idle; the rows are the same.

    Returns:
        One row for each candidate, in the order given, with one outcome a level. A level that a
        race did not need is unjudged and not `asked`.

    Raises:
        ModelError: A call gave no usable reply.
        TraceFormatError: A candidate has no steps.
    """
    traces = [one.normal_reasoning for one in candidates]
    lengths = await asyncio.to_thread(lambda: [count_tokens(trace) for trace in traces])
    sheets = [
        _Sheet(one, length, settings) for one, length in zip(candidates, lengths, strict=True)
    ]

    async def ask(cell: Cell) -> _Answer:
        request = hint_request(
            question,
            sheets[cell.candidate].steps,
            level=cell.level,
            granularity=settings.granularity,
            prompts=prompts,
        )
        with ledger() as taken:
            # Levels are different prompts, so every one of them is draw 0.
            reply = await weak.ask(request, affinity=question.id)
            judgement = await judge.judge(question, reply, insist=True)
        return _Answer(attempt=reply.content, judgement=judgement, taken=taken)

    if settings.policy is Policy.RACE:
        race = Race([sheet.entrant for sheet in sheets], settings=settings)
        answers = await run_race(race, ask, slots=slots)
    else:
        levels = range(settings.granularity)
        cells = [Cell(one, level) for one in range(len(sheets)) for level in levels]
        answers = dict(zip(cells, await gather_all([ask(cell) for cell in cells]), strict=True))
    for cell, answer in answers.items():
        sheets[cell.candidate].fill(cell.level, answer)
    return [sheet.row() for sheet in sheets]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came of one cell."""

    attempt: str
    judgement: Judgement
    taken: Ledger

    @property
    def verdict(self) -> Verdict:
        """What a race needs to know."""
        return self.judgement.verdict


class _Sheet:
    """What is known of one candidate while its levels are asked."""

    def __init__(
        self, candidate: CandidateTrace, normal_tokens: int, settings: StepMaskSettings
    ) -> None:
        self.candidate = candidate
        self.steps: tuple[Step, ...] = split_steps(candidate.step_reasoning)
        self.entrant = Entrant(
            normal_tokens=normal_tokens, strong_model=candidate.strong_model, draw=candidate.draw
        )
        self.taken = Ledger()
        self._outcomes = [Verdict.UNJUDGED] * settings.granularity
        self._asked = [False] * settings.granularity
        self._attempts = [""] * settings.granularity
        self._judged_by = [JudgedBy.NOBODY] * settings.granularity
        self._votes: list[tuple[Verdict, ...]] = [()] * settings.granularity

    def fill(self, level: int, answer: _Answer) -> None:
        self._outcomes[level], self._asked[level] = answer.verdict, True
        self._attempts[level] = answer.attempt
        self._judged_by[level] = answer.judgement.judged_by
        self._votes[level] = answer.judgement.votes
        self.taken.absorb(answer.taken)

    def row(self) -> MaskOutcomes:
        return MaskOutcomes(
            question_id=self.candidate.question_id,
            strong_model=self.candidate.strong_model,
            draw=self.candidate.draw,
            outcomes=tuple(self._outcomes),
            asked=tuple(self._asked),
            attempts=tuple(self._attempts),
            normal_tokens=self.entrant.normal_tokens,
            spent=self.taken.spent(),
            judged_by=tuple(self._judged_by),
            votes=tuple(self._votes),
        )
