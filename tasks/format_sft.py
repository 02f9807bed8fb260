"""Stage 5a for one shard: golden reasonings become training examples (section 3.6, figure 6)."""

from collections.abc import Sequence

from tasks.results import StageResult
from tasks.runtime import current
from tasks.stage import keep_only_whole, over_questions, stage_task
from weak2wise_core.config import Recipe
from weak2wise_core.records import (
    GoldenReasoning,
    Message,
    Question,
    Rejection,
    RejectionKind,
    SFTExample,
)
from weak2wise_core.sft import example, fits


@stage_task("format_sft")
async def format_sft(
    *,
    recipe: Recipe,
    shard: str,
    questions: Sequence[Question],
    golden: Sequence[GoldenReasoning],
) -> StageResult[SFTExample]:
    """The examples that training keeps whole; longer ones are dropped by name, never cut."""
    tokens = await current().tokens()
    by_question = {one.question_id: one for one in golden}

    def count_tokens(prompt: str, response: str) -> int:
        return tokens.count_example([Message(role="user", content=prompt)], response=response)

    async def one(question: Question) -> list[SFTExample]:
        return [
            example(
                by_question[question.id],
                question=question,
                settings=recipe.sft,
                count_tokens=count_tokens,
            )
        ]

    made = await over_questions(
        questions, one, stage="format_sft", shard=shard, record_type=SFTExample
    )
    rows = tuple(row for row in made.rows if fits(row, settings=recipe.sft))
    too_long = tuple(
        _too_long(row, recipe) for row in made.rows if not fits(row, settings=recipe.sft)
    )
    result = StageResult(
        record_type=SFTExample, rows=rows, rejections=(*made.rejections, *too_long)
    )
    keep_only_whole(result)
    return result


def _too_long(row: SFTExample, recipe: Recipe) -> Rejection:
    return Rejection(
        question_id=row.question_id,
        stage="format_sft",
        kind=RejectionKind.DROPPED,
        reason="over_length",
        detail=f"{row.tokens} tokens, more than sft.max_tokens {recipe.sft.max_tokens}: training "
        "would cut the end off",
        model=row.strong_model,
        draw=row.draw,
    )
