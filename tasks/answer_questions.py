"""A model answers the questions of one shard as they stand (the related methods)."""

from collections.abc import Sequence

from tasks.results import StageResult
from tasks.runtime import session
from tasks.stage import over_questions, stage_task
from weak2wise_core.config import ModelSpec
from weak2wise_core.records import Answer, Question
from weak2wise_core.stages.answering import answer_question

STAGE = "answer_questions"


@stage_task(STAGE)
async def answer_questions(
    *,
    model: ModelSpec,
    name: str,
    shard: str,
    questions: Sequence[Question],
    draws: int,
    judged: bool,
) -> StageResult[Answer]:
    """`draws` answers of a model to each question, judged by rule where the ground truth counts."""
    run = session()
    asked = run.ask_model(model, name=name, stage=STAGE)
    judge = run.checker if judged else None

    async def one(question: Question) -> list[Answer]:
        return await answer_question(question, model=asked, draws=range(draws), judge=judge)

    return await over_questions(questions, one, stage=STAGE, shard=shard, record_type=Answer)
