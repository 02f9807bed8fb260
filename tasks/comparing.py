"""The tasks of a comparison of selectors: compare and publish. Thin; the core does the work."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx  # of the engine; models are asked through httpx2
from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from tasks.reporting import artifact_key
from testbed.soundness import is_sound
from weak2wise_core.ablation.pools import Pool
from weak2wise_core.comparison.results import ComparisonResult
from weak2wise_core.comparison.tables import Known, PoolTables, compare_selectors
from weak2wise_core.comparison.writing import markdown, write_comparison
from weak2wise_core.config import Backend, Recipe, Selector
from weak2wise_core.records import TraceMeasure


def known_quality(pool: Pool, recipe: Recipe) -> Known:
    """Which candidates of a pool are sound: the testbed can say it, the world cannot."""
    if recipe.models.weak.backend is not Backend.TESTBED:
        return {}
    questions = {question.id: question.question for question in pool.questions}
    return {
        key: is_sound(questions[key[0]], trace.normal_reasoning)
        for key, trace in pool.evidence.traces.items()
        if key[0] in questions
    }


@task(name="compare_selectors", cache_policy=NO_CACHE, persist_result=False)
async def compare_pool(recipe: Recipe, pool: Pool, selectors: Sequence[Selector]) -> PoolTables:
    """What every selector chooses from a pool."""
    known = known_quality(pool, recipe)
    return await asyncio.to_thread(compare_selectors, pool, selectors, recipe=recipe, known=known)


@task(name="publish_comparison", cache_policy=NO_CACHE, persist_result=False)
async def publish_comparison(
    result: ComparisonResult, measures: Sequence[TraceMeasure], folder: Path
) -> Path:
    """Write the comparison below the data folder, whole or not at all, and show its tables."""
    await asyncio.to_thread(write_comparison, result, measures=measures, folder=folder)
    # Artifacts are for people: a server that cannot take one does not fail the comparison.
    with suppress(httpx.HTTPError, PrefectException, OSError):
        await acreate_markdown_artifact(
            key=artifact_key(result.name, "comparison"),
            markdown=markdown(result),
            description="What every selector chose from the same scored candidates",
        )
    return folder
