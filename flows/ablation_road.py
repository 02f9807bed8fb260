"""The road of an ablation: from a scored pool to the verdicts about every trained model."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from prefect.utilities.annotations import quote

from flows.stages import run_stage
from tasks.ablating import (
    AblationProgress,
    choose_traces,
    evaluate_arm,
    train_arms,
    trained_model,
)
from tasks.runtime import Runtime
from tasks.score_step_masks import score_step_masks
from tasks.stage import stored_in
from weak2wise_core.ablation.comparing import BASE, ItemVerdict
from weak2wise_core.ablation.planning import PlannedArm, arms_of, seeds_of
from weak2wise_core.ablation.pools import (
    Pool,
    is_complete,
    length_balanced,
    whole_pool,
)
from weak2wise_core.ablation.preparing import PreparedPool
from weak2wise_core.ablation.runs import BenchmarkVerdicts, Run, Runs
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.records import CandidateTrace, MaskOutcomes, Question
from weak2wise_core.sharding import Shard, shards_of
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stores.parquet import read
from weak2wise_core.training.jobs import model_identity

T = TypeVar("T")


def handed_over(value: T) -> T:
    """A task's input as it is: the engine would walk every nested value."""
    return cast("T", quote(value))


class ScoredRows:
    """The tables of a dataset that an ablation reads."""

    def __init__(self, dataset: DatasetFolder, recipe: Recipe) -> None:
        """Read them.

        Raises:
            InputFileError: A table is missing or damaged.
        """
        self._recipe = recipe
        self.questions = read(dataset.file("questions.parquet"), Question)
        self.candidates = read(dataset.file("candidates.parquet"), CandidateTrace)
        self.outcomes = read(dataset.file("outcomes.parquet"), MaskOutcomes)

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
        scored = {(one.question_id, one.strong_model, one.draw): one for one in self.outcomes}
        usable = [
            one
            for one in self.candidates
            if (one.question_id, one.strong_model, one.draw) in scored
        ]
        ids = {one.question_id for one in usable}
        questions = [question for question in self.questions if question.id in ids]
        gate = asyncio.Semaphore(runtime.recipe.execution.shards_in_flight)

        async def one(shard: Shard) -> tuple[MaskOutcomes, ...]:
            async with gate:
                return await _score(shard, usable, runtime)

        largest = runtime.recipe.execution.questions_per_task
        runtime.progress.questions = len(questions)
        parts = await gather_all([one(s) for s in shards_of(questions, largest=largest)])
        self.outcomes = [
            _with_length_of(row, scored[row.question_id, row.strong_model, row.draw])
            for part in parts
            for row in part
        ]

    def pools(self) -> list[Pool]:
        """The whole pool and, where the recipe wants it, its length-balanced part."""
        recipe = self._recipe
        whole = whole_pool(
            self.questions, candidates=self.candidates, outcomes=self.outcomes, recipe=recipe
        )
        if not recipe.ablation.length_balanced:
            return [whole]
        tolerance = recipe.ablation.length_tolerance
        return [whole, length_balanced(whole, tolerance=tolerance, settings=recipe.step_mask)]


async def _score(
    shard: Shard, usable: Sequence[CandidateTrace], runtime: Runtime
) -> tuple[MaskOutcomes, ...]:
    """The stage of a build, with its cache, on one shard."""
    stage, questions = stored_in(score_step_masks, runtime.data), list(shard.questions)
    ids = {question.id for question in questions}
    rows = [row for row in usable if row.question_id in ids]
    inputs: dict[str, Any] = {"recipe": runtime.recipe, "candidates": rows}
    result = await run_stage(stage, questions, session=runtime, shard=shard.name, inputs=inputs)
    return result.rows


def _with_length_of(row: MaskOutcomes, original: MaskOutcomes) -> MaskOutcomes:
    return replace(row, normal_tokens=original.normal_tokens)


async def prepare_pools(pools: Sequence[Pool], recipe: Recipe) -> list[PreparedPool]:
    """What every arm of every pool trains on."""
    arms, seeds = arms_of(recipe), seeds_of(recipe)
    return [
        await choose_traces(recipe, handed_over(pool), arms[pool.name], seeds) for pool in pools
    ]


def base_run(recipe: Recipe) -> Run:
    """The model that every arm starts from, as it is."""
    return Run(name=BASE, version=f"base-{model_identity(trained_model(recipe))}", job=None)


async def travel(
    planned: Sequence[PlannedArm],
    *,
    base: Run,
    recipe: Recipe,
    runs: Runs,
    key: str,
    progress: AblationProgress,
) -> None:
    """Train and evaluate every model whose answers are not known yet.

    Args:
        planned: The arms.
        base: Evaluated beside them.
        recipe: How models are trained and evaluated, and how many at once.
        runs: Where models and answers are kept.
        key: Of the evaluation.
        progress: Counts for whoever watches.
    """
    distinct = {one.run.version: one.run for one in planned}
    pending = [run for run in distinct.values() if runs.verdicts(run, key) is None]
    asks_base = runs.verdicts(base, key) is None
    progress.trainings = len(pending)
    progress.evaluations = len(pending) + asks_base
    progress.known = len(distinct) + 1 - progress.evaluations
    gate = asyncio.Semaphore(recipe.ablation.side_by_side)

    async def evaluate(run: Run) -> None:
        runs.keep(run, key, await evaluate_arm(recipe, run))
        progress.evaluated += 1
        if not recipe.ablation.keep_models:
            runs.drop_weights(run)

    async def one(batch: Sequence[Run]) -> None:
        async with gate:
            await train_arms(batch[0].name, handed_over(batch))
            for run in batch:
                await evaluate(run)

    batches = _batches(pending, size=recipe.ablation.per_process)
    await gather_all([*([evaluate(base)] if asks_base else []), *map(one, batches)])


def all_verdicts(
    planned: Sequence[PlannedArm], *, base: Run, runs: Runs, key: str
) -> list[ItemVerdict]:
    """Every answer of every model, the base model's last."""
    rows = [
        row
        for one in planned
        for row in _rows(one.run, runs, key, (one.pool, one.training.arm.value, one.training.seed))
    ]
    return [*rows, *_rows(base, runs, key, ("", BASE, None))]


def _rows(
    run: Run, runs: Runs, key: str, name: tuple[str, str, int | None]
) -> Iterator[ItemVerdict]:
    found: tuple[BenchmarkVerdicts, ...] | None = runs.verdicts(run, key)
    assert found is not None, "every model was evaluated"
    pool, arm, seed = name
    for benchmark in found:
        for item, verdicts in benchmark.items.items():
            yield ItemVerdict(
                pool=pool,
                arm=arm,
                seed=seed,
                benchmark=benchmark.benchmark,
                item=item,
                verdicts=verdicts,
            )


def _batches(items: Sequence[T], *, size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
