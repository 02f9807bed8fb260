"""Stage 3 for one shard: what the weak model answers with masked hints (section 3.4)."""

from collections.abc import Sequence

from tasks.results import StageResult
from tasks.runtime import WEAK, current
from tasks.stage import over_questions, stage_task, unsettled
from weak2wise_core.config import Recipe
from weak2wise_core.grouping import rows_by_question
from weak2wise_core.records import CandidateTrace, MaskOutcomes, Question
from weak2wise_core.scoring import has_unjudged
from weak2wise_core.stages.scoring import ask_mask_levels


@stage_task("score_step_masks")
async def score_step_masks(
    *,
    recipe: Recipe,
    shard: str,
    questions: Sequence[Question],
    candidates: Sequence[CandidateTrace],
) -> StageResult[MaskOutcomes]:
    """The outcomes of every mask level of every usable candidate."""
    runtime, stage = current(), "score_step_masks"
    weak, judge = runtime.ask(WEAK, stage=stage), runtime.judge(stage=stage)
    tokens, usable = await runtime.tokens(), rows_by_question(candidates)

    async def one(question: Question) -> list[MaskOutcomes]:
        return await ask_mask_levels(
            question,
            usable[question.id],
            weak=weak,
            judge=judge,
            count_tokens=tokens.count,
            settings=recipe.step_mask,
            prompts=runtime.prompts,
            slots=runtime.idle_slots(),
        )

    result = await over_questions(
        questions, one, stage=stage, shard=shard, record_type=MaskOutcomes
    )
    if any(has_unjudged(row) for row in result.rows):
        return unsettled(result)  # nobody could judge, perhaps for want of time: replies are kept
    return result
