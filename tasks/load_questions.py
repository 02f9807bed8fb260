"""Stage 0: the question-answer set, validated, deduplicated and decontaminated."""

import asyncio

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.runtime import RelatedRecipe
from weak2wise_core.config import Recipe
from weak2wise_core.questions import QuestionSet, decontaminate
from weak2wise_core.questions import load_questions as read


@task(
    name="load_questions",
    task_run_name="load the questions of {recipe.dataset}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def load_questions(recipe: Recipe | RelatedRecipe) -> QuestionSet:
    """Everything that the file holds: usable questions, and rejections by name."""
    found = await asyncio.to_thread(read, recipe.questions)
    clean, contaminated = await asyncio.to_thread(
        decontaminate, found.questions, settings=recipe.decontaminate
    )
    return QuestionSet(
        rows=found.rows,
        questions=tuple(clean),
        rejections=(*found.rejections, *contaminated),
    )
