"""The road of an ablation: from a scored pool to the verdicts about every trained model."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeVar

from flows.stages import handed_over
from tasks.ablating import (
    AblationProgress,
    choose_traces,
    evaluate_arm,
    train_arms,
    trained_model,
)
from weak2wise_core.ablation.comparing import BASE, ItemVerdict
from weak2wise_core.ablation.planning import PlannedArm, arms_of, seeds_of
from weak2wise_core.ablation.pools import Pool
from weak2wise_core.ablation.preparing import PreparedPool
from weak2wise_core.ablation.runs import BenchmarkVerdicts, Run, Runs
from weak2wise_core.config import Recipe
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.training.jobs import model_identity

T = TypeVar("T")


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
