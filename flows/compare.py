"""compare: one scored pool -> what every selector chooses, and what training on it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.ablate import Ablated, ablate, build_dataset, rest_of_budget, scored_rows
from flows.stages import handed_over
from tasks.ablating import PROGRESS, AblationProgress
from tasks.comparing import compare_pool, publish_comparison
from tasks.runtime import data_folder, open_runtime
from tasks.training_jobs import find_dataset
from weak2wise_core.ablation.planning import check_dataset, check_recipe, training_recipe
from weak2wise_core.ablation.results import AblationResult
from weak2wise_core.comparison.planning import arms_recipe, filled, inputs_of, usable
from weak2wise_core.comparison.results import ComparisonResult
from weak2wise_core.config import Recipe, Selector
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import BudgetReachedError
from weak2wise_core.selectors.measuring import readings_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison in its folder."""

    folder: Path
    result: ComparisonResult


@flow(name="compare", flow_run_name="compare {recipe.dataset}", persist_result=False)
async def compare(
    recipe: Recipe,
    dataset: str | None = None,
    selectors: list[Selector] | None = None,
    train: bool = False,
) -> State[Any]:
    """Let every selector choose from one scored pool; with `train`, learn from each choice.

    The pool is that of a published dataset (its folder, or NAME or NAME/VERSION below the data
    folder), or of the one that the recipe builds. Without `selectors` all are compared that the
    weak model makes possible. Starting the same comparison again goes on where it ended.
    """
    PROGRESS.set(progress := PROGRESS.get() or AblationProgress())
    wanted = usable(recipe, selectors)
    if train:
        check_recipe(arms_recipe(recipe, wanted))
    try:
        if dataset is None:
            progress.phase = "building the dataset"
            built = await build_dataset(recipe, progress)
            if not built.is_completed():
                return Failed(name=built.name, message=built.message)
            dataset = str((await built.aresult()).folder)
        found = find_dataset(dataset, data=data_folder())
        check_dataset(found, recipe)
        return await _compare(found, recipe, wanted, progress, train=train)
    except BudgetReachedError as stop:
        return Failed(name="StoppedAtBudget", message=str(stop))


async def _compare(
    dataset: DatasetFolder,
    recipe: Recipe,
    selectors: Sequence[Selector],
    progress: AblationProgress,
    *,
    train: bool,
) -> State[Any]:
    """Score what is not scored, read, choose and, where wanted, train."""
    rows = await scored_rows(dataset, recipe, progress)
    reading = rest_of_budget(training_recipe(recipe), progress.build, progress.scoring)
    async with open_runtime(reading, data=data_folder(), progress=progress.preparing) as runtime:
        progress.phase = "reading traces with the weak model"
        await rows.measure(readings_for(selectors), runtime)
    progress.phase = "comparing choices"
    pools = filled(rows.pools())
    tables = [
        await compare_pool(recipe, handed_over(pool), handed_over(selectors)) for pool in pools
    ]
    trained = await _train(dataset, recipe, selectors) if train else None
    result = ComparisonResult(
        name=recipe.dataset,
        inputs=inputs_of(recipe, dataset=dataset, selectors=selectors, trained=trained),
        pools=tuple(tables),
        unused=tuple(one for one in Selector if one.reads_model and not recipe.tells_probabilities),
        trained=trained,
    )
    place = data_folder() / "comparisons" / result.name / result.version
    await publish_comparison(handed_over(result), handed_over(rows.measures), place)
    return Completed(message=f"compared in {place}", data=Compared(folder=place, result=result))


async def _train(
    dataset: DatasetFolder, recipe: Recipe, selectors: Sequence[Selector]
) -> AblationResult:
    """The ablation whose arms are the selectors."""
    state: State[Any] = await ablate(
        arms_recipe(recipe, selectors), str(dataset.folder), return_state=True
    )
    outcome = await state.aresult(raise_on_failure=False)
    if isinstance(outcome, Ablated):
        return outcome.result
    if isinstance(outcome, BaseException):
        raise outcome
    raise BudgetReachedError(state.message or state.name)
