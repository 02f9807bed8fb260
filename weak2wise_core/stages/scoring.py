"""Stage 3: what the weak model can answer with each masked hint (section 3.4, equation 3)."""

import asyncio
from collections.abc import Callable, Sequence

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.gateway import Asker, ledger
from weak2wise_core.masking import mask_trace
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import CandidateTrace, MaskOutcomes, Message, Question, Verdict
from weak2wise_core.stages.judge import Judge
from weak2wise_core.steps import split_steps


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
    """Give every masked form of every candidate to the weak model as a hint.

    Args:
        question: The question that the candidates answer.
        candidates: Usable candidates only; a refused one has no steps to mask.
        weak: The model to be taught.
        judge: Decides whether the hinted answer is correct.
        count_tokens: Length of a text in tokens of the weak model, for ties.
        settings: Mask granularity.
        prompts: The wording of P_qr.

    Returns:
        One row for each candidate, in the order given, with one outcome a level.

    Raises:
        ModelError: A call gave no usable reply.
        TraceFormatError: A candidate has no steps.
    """

    async def level_of(candidate: CandidateTrace, level: int) -> tuple[str, Verdict]:
        hint = mask_trace(
            split_steps(candidate.step_reasoning), level=level, granularity=settings.granularity
        )
        text = prompts.hint.fill(question=question.question, step_reasoning=hint)
        # Levels are different prompts, so every one of them is draw 0.
        reply = await weak.ask([Message(role="user", content=text)], affinity=question.id)
        return reply.content, (await judge.judge(question, reply)).verdict

    async def one(candidate: CandidateTrace) -> MaskOutcomes:
        with ledger() as taken:
            levels = range(settings.granularity)
            cells = await asyncio.gather(*(level_of(candidate, level) for level in levels))
        return MaskOutcomes(
            question_id=question.id,
            strong_model=candidate.strong_model,
            draw=candidate.draw,
            outcomes=tuple(verdict for _, verdict in cells),
            asked=tuple(True for _ in cells),
            attempts=tuple(attempt for attempt, _ in cells),
            normal_tokens=count_tokens(candidate.normal_reasoning),
            spent=taken.spent(),
        )

    return list(await asyncio.gather(*(one(candidate) for candidate in candidates)))
