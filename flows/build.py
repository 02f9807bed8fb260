"""weak2wise: question-answer pairs -> a published dataset of golden reasonings (figure 2)."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.fleet import travel_elsewhere
from flows.stages import handed_over
from flows.travelling import Luggage, travel
from tasks.load_questions import load_questions
from tasks.progress import Progress
from tasks.publish_dataset import publish_dataset
from tasks.reporting import announce, live_progress, report_run
from tasks.runtime import SHARDS, Runtime, data_folder, open_runtime
from tasks.shards import ShardResult
from weak2wise_core.annotations import annotations_of
from weak2wise_core.config import Recipe, Runner
from weak2wise_core.dataset.contents import StoredContents
from weak2wise_core.dataset.drift import earlier_ids
from weak2wise_core.dataset.manifest import summary
from weak2wise_core.dataset.publishing import Unpublished
from weak2wise_core.dataset.tally import Tally
from weak2wise_core.errors import BudgetReachedError
from weak2wise_core.importing import load_imported
from weak2wise_core.questions import QuestionSet
from weak2wise_core.records import CandidateTrace, Question, RejectionKind
from weak2wise_core.sharding import shards_of
from weak2wise_core.stores.files import scratch_folder

PROGRESS: ContextVar[Progress | None] = ContextVar("weak2wise_progress", default=None)
"""Set by a caller in the same process that wants to watch the build."""


@flow(name="weak2wise", flow_run_name="build {recipe.dataset}", persist_result=False)
async def weak2wise(recipe: Recipe) -> State[Any]:
    """Build the dataset that a recipe describes.

    Ends as `Completed` or `CompletedWithQuarantine` with a published dataset, or, publishing
    nothing, as `TooManyQuarantined`, `StoppedAtBudget` or `Failed`. Starting the same build again
    goes on where it ended: what a model answered is never asked again.
    """
    async with open_runtime(recipe, data=data_folder(), progress=_watched()) as runtime:
        runtime.progress.earlier = await asyncio.to_thread(earlier_ids, runtime.data / "datasets")
        with scratch_folder(runtime.data / SHARDS / "loose") as scratch:
            try:
                contents = await _build(recipe, runtime, scratch)
            except BudgetReachedError as stop:
                await report_run(runtime, contents=None)
                return Failed(name="StoppedAtBudget", message=str(stop))
            return await _finish(contents, runtime)


def _watched() -> Progress | None:
    # apart from the flow, which is sent to other processes: a context variable cannot be
    return PROGRESS.get()


async def _build(recipe: Recipe, runtime: Runtime, scratch: Path) -> StoredContents:
    """Load, then send every shard down its road; shards overlap."""
    loaded = await load_questions(recipe)
    largest = recipe.execution.shard_size(len(loaded.questions))
    shards = shards_of(loaded.questions, largest=largest)
    runtime.progress.questions, runtime.progress.shards = len(loaded.questions), len(shards)
    get_run_logger().info(
        "%d rows: %d questions in %d shards, %d rejected",
        loaded.rows,
        len(loaded.questions),
        len(shards),
        len(loaded.rejections),
    )
    results: list[ShardResult] = []
    luggage = await _luggage(loaded.questions, recipe=recipe, runtime=runtime)
    move = travel if recipe.execution.runner is Runner.ASYNC else travel_elsewhere
    async with live_progress(runtime.progress, dataset=recipe.dataset):
        await move(shards, runtime=runtime, luggage=luggage, scratch=scratch, done=results.append)
    return contents_of(loaded, results, runtime=runtime)


def contents_of(
    loaded: QuestionSet, results: Sequence[ShardResult], *, runtime: Runtime
) -> StoredContents:
    """What the shards of a build contributed, added up; their rows stay in their files."""
    tally = Tally()
    for result in results:
        tally.absorb(result.tally)
    return StoredContents(
        recipe=runtime.recipe,
        rows=loaded.rows,
        questions=loaded.questions,
        files=[result.file for result in results],
        tally=tally,
        prompts=runtime.prompts.versions(),
        rejections=[*loaded.rejections, *(row for one in results for row in one.rejections)],
    )


async def _luggage(questions: Sequence[Question], *, recipe: Recipe, runtime: Runtime) -> Luggage:
    imported: dict[str, list[CandidateTrace]] = {}
    for row in await asyncio.to_thread(
        load_imported, recipe, questions, check=runtime.checker.check
    ):
        imported.setdefault(row.question_id, []).append(row)
    return Luggage(imported=imported, notes=annotations_of(recipe, questions))


async def _finish(contents: StoredContents, runtime: Runtime) -> State[Any]:
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
    train = contents.tally.count("rows", "train")
    if not train:
        await report_run(runtime, contents=contents)
        return Failed(
            name="NothingToTrainOn",
            message=f"none of {contents.rows} rows became a training example; nothing is published",
            data=Unpublished(manifest=summary(contents)),
        )
    published = await publish_dataset(handed_over(contents), runtime.data)
    announce(published)
    await report_run(runtime, contents=contents, published=published)
    return Completed(
        name="CompletedWithQuarantine" if lost else "Completed",
        message=f"{train} training rows in {published.folder}",
        data=published,
    )
