"""Stage 2 for one shard: candidate traces from the strong models (section 3.3)."""

from collections.abc import Sequence

from tasks.results import StageResult
from tasks.runtime import current
from tasks.stage import over_questions, stage_task, unsettled
from weak2wise_core.config import Recipe
from weak2wise_core.records import CandidateTrace, Question, Refusal
from weak2wise_core.stages.generating import generate_candidates as candidates_of


@stage_task("generate_candidates")
async def generate_candidates(
    *, recipe: Recipe, shard: str, questions: Sequence[Question], first_draw: int, draws: int
) -> StageResult[CandidateTrace]:
    """`draws` candidates of each strong model for each question, refused ones included."""
    runtime, stage = current(), "generate_candidates"
    strong = runtime.strong(stage=stage)

    async def one(question: Question) -> list[CandidateTrace]:
        return await candidates_of(
            question,
            strong=strong,
            draws=range(first_draw, first_draw + draws),
            checker=runtime.checker,
            settings=recipe.generate,
            prompts=runtime.prompts,
        )

    result = await over_questions(
        questions, one, stage=stage, shard=shard, record_type=CandidateTrace
    )
    if any(row.refusal is Refusal.REQUEST_REFUSED for row in result.rows):
        return unsettled(
            result
        )  # the recipe may be at fault; what was answered is in the reply store
    return result
