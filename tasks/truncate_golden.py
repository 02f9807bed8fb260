"""Stage 4b for one shard: over-long golden reasonings are cut (section 3.5)."""

from collections.abc import Sequence

from tasks.results import StageResult
from tasks.runtime import current
from tasks.stage import over_questions, stage_task, unsettled
from weak2wise_core.config import Recipe
from weak2wise_core.records import GoldenReasoning, Question
from weak2wise_core.stages.truncating import truncate_golden as cut


@stage_task("truncate_golden")
async def truncate_golden(
    *,
    recipe: Recipe,
    shard: str,
    questions: Sequence[Question],
    golden: Sequence[GoldenReasoning],
) -> StageResult[GoldenReasoning]:
    """The same golden reasonings, each an exact prefix of its trace."""
    runtime, stage = current(), "truncate_golden"
    truncator, tokens = runtime.truncator(stage=stage), await runtime.tokens()
    refusals_before = truncator.account.refused if truncator else 0
    by_question = {one.question_id: one for one in golden}

    async def one(question: Question) -> list[GoldenReasoning]:
        return [
            await cut(
                question,
                by_question[question.id],
                truncator=truncator,
                count_tokens=tokens.count,
                settings=recipe.truncation,
                prompts=runtime.prompts,
            )
        ]

    result = await over_questions(
        questions, one, stage=stage, shard=shard, record_type=GoldenReasoning
    )
    if truncator and truncator.account.refused > refusals_before:
        return unsettled(result)  # the rule stood in for a truncator that the recipe may have wrong
    return result
