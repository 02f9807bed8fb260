"""Stage 1 for one shard: the weak model's unaided attempts, judged (section 3.2)."""

from collections.abc import Sequence

from tasks.results import StageResult
from tasks.runtime import WEAK, current
from tasks.stage import keep_only_whole, over_questions, stage_task
from weak2wise_core.config import Recipe
from weak2wise_core.records import Attempt, Question, Verdict
from weak2wise_core.stages.filtering import attempt_question, unjudged


@stage_task("filter_qa")
async def filter_qa(
    *, recipe: Recipe, shard: str, questions: Sequence[Question]
) -> StageResult[Attempt]:
    """One attempt a question, with its verdict."""
    runtime, stage = current(), "filter_qa"
    weak, judge = runtime.ask(WEAK, stage=stage), runtime.judge(stage=stage)

    async def one(question: Question) -> list[Attempt]:
        return [await attempt_question(question, weak=weak, judge=judge, prompts=runtime.prompts)]

    made = await over_questions(questions, one, stage=stage, shard=shard, record_type=Attempt)
    judged = tuple(row for row in made.rows if row.verdict is not Verdict.UNJUDGED)
    lost = tuple(unjudged(row) for row in made.rows if row.verdict is Verdict.UNJUDGED)
    result = StageResult(record_type=Attempt, rows=judged, rejections=(*made.rejections, *lost))
    keep_only_whole(result)
    return result
