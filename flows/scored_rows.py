"""The scored candidates of a dataset, completed: every mask level asked, every trace read."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flows.stages import run_stage
from tasks.measure_traces import measure_traces
from tasks.runtime import Runtime
from tasks.score_step_masks import score_step_masks
from tasks.stage import StageTask, stored_in
from weak2wise_core.ablation.pools import Pool, is_complete, length_balanced, whole_pool
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.records import (
    CandidateTrace,
    MaskOutcomes,
    Question,
    TraceMeasure,
)
from weak2wise_core.selectors.choosing import key_of
from weak2wise_core.selectors.measuring import ReadingKind
from weak2wise_core.sharding import Shard, shards_of
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stores.parquet import read

R = TypeVar("R")


class ScoredRows:
    """The tables of a dataset that an ablation or a comparison reads."""

    def __init__(self, dataset: DatasetFolder, recipe: Recipe) -> None:
        """Read them.

        Raises:
            InputFileError: A table is missing or damaged.
        """
        self._recipe = recipe
        self.questions = read(dataset.file("questions.parquet"), Question)
        self.candidates = read(dataset.file("candidates.parquet"), CandidateTrace)
        self.outcomes = read(dataset.file("outcomes.parquet"), MaskOutcomes)
        self.measures: list[TraceMeasure] = []

    @property
    def is_scored(self) -> bool:
        """Whether every level was asked by the model that the recipe wants to have asked."""
        return self._recipe.ablation.scorer is None and is_complete(self.outcomes)

    async def score(self, runtime: Runtime) -> None:
        """Ask every level of every candidate that the weak model was shown in the build.

        What the reply store holds is not asked again, so that completing a race costs what the
        race left out. Another scorer counts tokens in its own way: lengths stay those of the model
        that is trained.
        """
        scored = {key_of(one): one for one in self.outcomes}
        rows = await self._over_shards(score_step_masks, runtime)
        self.outcomes = [_with_length_of(row, scored[key_of(row)]) for row in rows]

    async def measure(self, kinds: Iterable[ReadingKind], runtime: Runtime) -> None:
        """Have the weak model read every scored candidate; what a reading gives is kept."""
        for kind in kinds:
            self.measures += await self._over_shards(measure_traces, runtime, kind=kind.value)

    async def _over_shards(
        self, task: StageTask[..., R], runtime: Runtime, **settings: str
    ) -> list[R]:
        """A stage of a build, with its cache, over the scored candidates."""
        scored = {key_of(one) for one in self.outcomes}
        usable = [one for one in self.candidates if key_of(one) in scored]
        ids = {one.question_id for one in usable}
        questions = [question for question in self.questions if question.id in ids]
        execution = runtime.recipe.execution
        largest = execution.shard_size(len(questions))
        gate = asyncio.Semaphore(execution.shards_at_once(largest))
        stage = stored_in(task, runtime.data)

        async def one(shard: Shard) -> tuple[R, ...]:
            async with gate:
                return await _run(stage, shard, usable, runtime, settings)

        runtime.progress.questions = len(questions)
        parts = await gather_all([one(shard) for shard in shards_of(questions, largest=largest)])
        return [row for part in parts for row in part]

    def pools(self) -> list[Pool]:
        """The whole pool and, where the recipe wants it, its length-balanced part."""
        recipe = self._recipe
        whole = whole_pool(
            self.questions,
            candidates=self.candidates,
            outcomes=self.outcomes,
            recipe=recipe,
            measures=self.measures,
        )
        if not recipe.ablation.length_balanced:
            return [whole]
        tolerance = recipe.ablation.length_tolerance
        return [whole, length_balanced(whole, tolerance=tolerance, settings=recipe.step_mask)]


async def _run(
    stage: StageTask[..., R],
    shard: Shard,
    usable: Sequence[CandidateTrace],
    runtime: Runtime,
    settings: dict[str, str],
) -> tuple[R, ...]:
    questions = list(shard.questions)
    ids = {question.id for question in questions}
    inputs: dict[str, Any] = {
        "recipe": runtime.recipe,
        "candidates": [row for row in usable if row.question_id in ids],
        **settings,
    }
    result = await run_stage(stage, questions, session=runtime, shard=shard.name, inputs=inputs)
    return result.rows


def _with_length_of(row: MaskOutcomes, original: MaskOutcomes) -> MaskOutcomes:
    return replace(row, normal_tokens=original.normal_tokens)
