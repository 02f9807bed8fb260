"""weak2wise: question-answer pairs -> a published dataset of golden reasonings (figure 2)."""

import asyncio
from contextvars import ContextVar
from typing import Any, cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.utilities.annotations import quote

from flows.road import Part, Road, Stages
from tasks.load_questions import load_questions
from tasks.progress import Progress
from tasks.publish_dataset import publish_dataset
from tasks.reporting import announce, live_progress, report_run
from tasks.runtime import Runtime, data_folder, open_runtime
from weak2wise_core.annotations import annotations_of
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.drift import earlier_ids
from weak2wise_core.dataset.manifest import summary
from weak2wise_core.dataset.publishing import Unpublished
from weak2wise_core.errors import (
    BudgetReachedError,
    FatalModelError,
    StoreError,
    UsageError,
)
from weak2wise_core.importing import load_imported
from weak2wise_core.records import RejectionKind
from weak2wise_core.sharding import Shard, shards_of
from weak2wise_core.stages.gathering import gather_all

PROGRESS: ContextVar[Progress | None] = ContextVar("weak2wise_progress", default=None)
"""Set by a caller in the same process that wants to watch the build."""


@flow(name="weak2wise", flow_run_name="build {recipe.dataset}", persist_result=False)
async def weak2wise(recipe: Recipe) -> State[Any]:
    """Build the dataset that a recipe describes.

    Ends as `Completed` or `CompletedWithQuarantine` with a published dataset, or, publishing
    nothing, as `TooManyQuarantined`, `StoppedAtBudget` or `Failed`. Starting the same build again
    goes on where it ended: what a model answered is never asked again.
    """
    async with open_runtime(recipe, data=data_folder(), progress=PROGRESS.get()) as runtime:
        runtime.progress.earlier = await asyncio.to_thread(earlier_ids, runtime.data / "datasets")
        try:
            contents = await _build(recipe, runtime)
        except BudgetReachedError as stop:
            await report_run(runtime, contents=None)
            return Failed(name="StoppedAtBudget", message=str(stop))
        return await _finish(contents, runtime)


async def _build(recipe: Recipe, runtime: Runtime) -> Contents:
    """Load, then send every shard down its road; shards overlap."""
    loaded = await load_questions(recipe)
    shards = shards_of(loaded.questions, largest=recipe.execution.questions_per_task)
    runtime.progress.questions, runtime.progress.shards = len(loaded.questions), len(shards)
    await runtime.tokens()  # a tokenizer that is not there is found before anything is paid
    get_run_logger().info(
        "%d rows: %d questions in %d shards, %d rejected",
        loaded.rows,
        len(loaded.questions),
        len(shards),
        len(loaded.rejections),
    )
    async with live_progress(runtime.progress, dataset=recipe.dataset):
        parts = await _travel(shards, recipe=recipe, runtime=runtime)
    return Contents(
        recipe=recipe,
        rows=loaded.rows,
        questions=loaded.questions,
        attempts=tuple(row for part in parts for row in part.attempts),
        candidates=tuple(row for part in parts for row in part.candidates),
        outcomes=tuple(row for part in parts for row in part.outcomes),
        measures=tuple(row for part in parts for row in part.measures),
        golden=tuple(row for part in parts for row in part.golden),
        train=tuple(row for part in parts for row in part.train),
        prompts=runtime.prompts.versions(),
        rejections=(*loaded.rejections, *(row for part in parts for row in part.rejections)),
    )


async def _travel(shards: list[Shard], *, recipe: Recipe, runtime: Runtime) -> list[Part]:
    gate = asyncio.Semaphore(recipe.execution.shards_in_flight)
    questions = [question for shard in shards for question in shard.questions]
    stages, annotations = Stages.of(runtime), annotations_of(recipe, questions)
    imported = await asyncio.to_thread(
        load_imported, recipe, questions, check=runtime.checker.check
    )

    async def one(shard: Shard) -> Part:
        road = Road(
            shard,
            recipe=recipe,
            runtime=runtime,
            stages=stages,
            imported=imported,
            annotations=annotations,
        )
        async with gate:
            try:
                return await road.travel()
            except (BudgetReachedError, FatalModelError, StoreError, UsageError):
                raise  # no other shard can go on either
            except Exception as error:  # noqa: BLE001 - one failed shard does not fail the build
                get_run_logger().exception("shard %s failed", shard.name)
                return road.give_up(error)

    return await gather_all([one(shard) for shard in shards])


async def _finish(contents: Contents, runtime: Runtime) -> State[Any]:
    """Publish, unless too much was lost to failures; say how it went."""
    recipe = contents.recipe
    lost = [item for item in contents.rejections if item.kind is RejectionKind.QUARANTINED]
    failed = [item for item in lost if item.stage != "load"]
    limit = recipe.execution.max_quarantine_fraction
    if len(failed) > limit * len(contents.questions):
        await report_run(runtime, contents=contents)
        return Failed(
            name="TooManyQuarantined",
            message=f"{len(failed)} of {len(contents.questions)} questions were lost to failures, "
            f"more than execution.max_quarantine_fraction {limit} allows; nothing is published. "
            f"The first: {failed[0].question_id}, {failed[0].stage}: {failed[0].detail}",
            data=Unpublished(manifest=summary(contents)),
        )
    if not contents.train:
        await report_run(runtime, contents=contents)
        return Failed(
            name="NothingToTrainOn",
            message=f"none of {contents.rows} rows became a training example; nothing is published",
            data=Unpublished(manifest=summary(contents)),
        )
    published = await publish_dataset(cast("Contents", quote(contents)), runtime.data)
    announce(published)
    await report_run(runtime, contents=contents, published=published)
    return Completed(
        name="CompletedWithQuarantine" if lost else "Completed",
        message=f"{len(contents.train)} training rows in {published.folder}",
        data=published,
    )
