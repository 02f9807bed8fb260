"""ablate: one scored pool -> arms, trained, evaluated and compared (Tables 3 to 6)."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.ablation_road import (
    all_verdicts,
    base_run,
    prepare_pools,
    travel,
)
from flows.build import PROGRESS as BUILD_PROGRESS
from flows.build import weak2wise
from flows.scored_rows import ScoredRows
from flows.stages import handed_over
from tasks.ablating import PROGRESS, AblationProgress, publish_ablation, trained_model
from tasks.progress import Progress
from tasks.runtime import data_folder, open_runtime
from tasks.training_jobs import find_dataset
from weak2wise_core.ablation.comparing import compare
from weak2wise_core.ablation.planning import (
    all_arms,
    check_dataset,
    check_recipe,
    evaluation_settings,
    inputs_of,
    plan_arms,
    scoring_recipe,
    training_recipe,
    version_of,
    within_budget,
)
from weak2wise_core.ablation.preparing import PreparedPool
from weak2wise_core.ablation.results import AblationResult, summarise
from weak2wise_core.ablation.runs import Runs, evaluation_identity, evaluation_key
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import BudgetReachedError
from weak2wise_core.selectors.measuring import readings_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablated:
    """An ablation in its folder."""

    folder: Path
    result: AblationResult


@flow(name="ablate", flow_run_name="ablate {recipe.dataset}", persist_result=False)
async def ablate(recipe: Recipe, dataset: str | None = None) -> State[Any]:
    """Train the weak model on what each arm chooses from one pool, and compare the models.

    The pool is that of a published dataset (its folder, or NAME or NAME/VERSION below the data
    folder), or of the one that the recipe builds. Starting the same ablation
    again goes on where it ended: replies, trained models and their answers are kept.
    """
    PROGRESS.set(progress := PROGRESS.get() or AblationProgress())
    check_recipe(recipe)
    if dataset is None:
        progress.phase = "building the dataset"
        built = await build_dataset(recipe, progress)
        if not built.is_completed():
            return Failed(name=built.name, message=built.message)
        dataset = str((await built.aresult()).folder)
    found = find_dataset(dataset, data=data_folder())
    check_dataset(found, recipe)
    try:
        return await _ablate(found, recipe, progress)
    except BudgetReachedError as stop:
        return Failed(name="StoppedAtBudget", message=str(stop))


async def build_dataset(recipe: Recipe, progress: AblationProgress) -> State[Any]:
    """The state of a build as part of another flow; a named error is raised."""
    token = BUILD_PROGRESS.set(progress.build)
    try:
        state: State[Any] = await weak2wise(recipe, return_state=True)
    finally:
        BUILD_PROGRESS.reset(token)
    outcome = await state.aresult(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        raise outcome
    return state


async def _ablate(dataset: DatasetFolder, recipe: Recipe, progress: AblationProgress) -> State[Any]:
    """Score what is not scored, choose, train, evaluate, compare."""
    rows = await scored_rows(dataset, recipe, progress)
    training = rest_of_budget(training_recipe(recipe), progress.build, progress.scoring)
    async with open_runtime(training, data=data_folder(), progress=progress.preparing) as runtime:
        progress.phase = "reading traces with the weak model"
        await rows.measure(readings_for(arm.selector for arm in all_arms(recipe)), runtime)
        progress.phase = "choosing and cutting traces"
        pools = await prepare_pools(rows.pools(), training)
        return await _compare(pools, dataset, recipe, progress)


async def scored_rows(
    dataset: DatasetFolder, recipe: Recipe, progress: AblationProgress
) -> ScoredRows:
    """The dataset's candidates with every mask level asked."""
    rows = await asyncio.to_thread(ScoredRows, dataset, recipe)
    if not rows.is_scored:
        progress.phase = "scoring the pool"
        scoring = rest_of_budget(scoring_recipe(recipe), progress.build)
        async with open_runtime(scoring, data=data_folder(), progress=progress.scoring) as runtime:
            await rows.score(runtime)
    return rows


def rest_of_budget(recipe: Recipe, *spent: Progress) -> Recipe:
    """The recipe with what earlier parts of this run left of its budget."""
    return within_budget(
        recipe, usd=sum(one.held_usd for one in spent), calls=sum(one.charges for one in spent)
    )


async def _compare(
    pools: list[PreparedPool], dataset: DatasetFolder, recipe: Recipe, progress: AblationProgress
) -> State[Any]:
    folder = data_folder() / "ablations"
    runs, base = Runs(folder / "runs"), base_run(recipe)
    model, version = trained_model(recipe), dataset.version
    await asyncio.to_thread(runs.remove_abandoned)
    planned = await asyncio.to_thread(
        plan_arms, pools, runs=runs, recipe=recipe, model=model, dataset_version=version
    )
    settings = evaluation_settings(recipe)
    asked = evaluation_identity(settings, sampling={"dtype": recipe.models.weak.dtype})
    key = evaluation_key(asked)
    progress.phase = "training and evaluating"
    await travel(planned, base=base, recipe=recipe, runs=runs, key=key, progress=progress)
    progress.phase = "comparing"
    inputs = inputs_of(planned, recipe=recipe, dataset=dataset, base=base, evaluation=asked)
    verdicts = all_verdicts(planned, base=base, runs=runs, key=key)
    result = AblationResult(
        name=recipe.dataset,
        version=version_of(inputs),
        inputs=inputs,
        pools=tuple(summarise(pool) for pool in pools),
        comparisons=tuple(
            await asyncio.to_thread(compare, verdicts, resamples=recipe.ablation.resamples)
        ),
    )
    place = folder / result.name / result.version
    await publish_ablation(handed_over(result), handed_over(pools), handed_over(verdicts), place)
    return Completed(message=f"compared in {place}", data=Ablated(folder=place, result=result))
