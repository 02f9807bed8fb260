"""Stage 3: what the weak model can answer with each masked hint (section 3.4, equation 3)."""

import asyncio
from collections.abc import Callable, Sequence

from weak2wise_core.config import Policy, StepMaskSettings
from weak2wise_core.gateway import Asker, Ledger, ledger
from weak2wise_core.masking import mask_trace
from weak2wise_core.prompts import PromptSet
from weak2wise_core.racing import Cell, Entrant, Race
from weak2wise_core.records import CandidateTrace, MaskOutcomes, Message, Question, Verdict
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.judge import Judge
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

    async def ask(cell: Cell) -> Verdict:
        sheet = sheets[cell.candidate]
        hint = mask_trace(sheet.steps, level=cell.level, granularity=settings.granularity)
        text = prompts.hint.fill(question=question.question, step_reasoning=hint)
        with ledger(sheet.taken):
            # Levels are different prompts, so every one of them is draw 0.
            reply = await weak.ask([Message(role="user", content=text)], affinity=question.id)
            verdict = (await judge.judge(question, reply)).verdict
        sheet.fill(cell.level, reply.content, verdict)
        return verdict

    if settings.policy is Policy.RACE:
        race = Race([sheet.entrant for sheet in sheets], settings=settings)
        while (cell := race.next_cell()) is not None:
            race.record(cell, await ask(cell))
    else:
        levels = range(settings.granularity)
        cells = [Cell(one, level) for one in range(len(sheets)) for level in levels]
        await gather_all([ask(cell) for cell in cells])
    return [sheet.row() for sheet in sheets]


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

    def fill(self, level: int, attempt: str, verdict: Verdict) -> None:
        self._outcomes[level], self._asked[level] = verdict, True
        self._attempts[level] = attempt

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
        )
