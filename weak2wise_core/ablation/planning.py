"""What an ablation needs of a recipe, checked before anything is paid, and what it will train."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from weak2wise_core.ablation.pools import BALANCED, WHOLE
from weak2wise_core.ablation.preparing import PreparedPool, Training
from weak2wise_core.ablation.results import METHOD
from weak2wise_core.ablation.runs import Run, Runs
from weak2wise_core.config import (
    BudgetSettings,
    EvaluationSettings,
    Policy,
    Recipe,
    TruncationMethod,
)
from weak2wise_core.config.ablation import Arm
from weak2wise_core.config.recipe import without_probabilities
from weak2wise_core.dataset.manifest import settings_of
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import BuildError, RecipeError
from weak2wise_core.hashing import content_hash


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedArm:
    """One arm of one pool with one seed, and the training that it is."""

    pool: str
    training: Training
    run: Run


def check_recipe(recipe: Recipe) -> None:
    """Make sure that the arms can be compared.

    Raises:
        RecipeError: There is no benchmark, while a stock task says nothing about single questions;
            or an arm's selector reads probabilities that the weak model does not tell.
    """
    if not recipe.evaluation.benchmarks:
        raise RecipeError(
            "an ablation compares models on benchmarks, and the recipe has none: name at least one "
            "in evaluation.benchmarks, as in {kind: math500, path: data/math500.jsonl}"
        )
    reading = [one.selector for one in all_arms(recipe) if one.selector.reads_model]
    if reading and not recipe.tells_probabilities:
        raise RecipeError(without_probabilities(reading[0]))


def check_dataset(dataset: DatasetFolder, recipe: Recipe) -> None:
    """Make sure that a dataset's candidates were scored as the recipe says.

    Raises:
        RecipeError: It was scored by another weak model, or in another way.
    """
    if recipe.ablation.scorer is not None:
        return  # its candidates are scored anew
    stored = dataset.manifest.get("settings", {})
    wanted = settings_of(recipe)
    pairs = {
        "models.weak": (_part(stored, "models", "weak"), wanted["models"]["weak"]),
        "step_mask": (_scoring(stored.get("step_mask", {})), _scoring(wanted["step_mask"])),
    }
    for key, (found, expected) in pairs.items():
        if found != expected:
            raise RecipeError(
                f"dataset {dataset.name} {dataset.version} was scored with {key} {found}, and the "
                f"recipe says {expected}. Change the recipe (or --set {key}...), leave --dataset "
                "out to have the recipe's own dataset built, or name another scorer with "
                "--score-with"
            )


def _part(settings: Mapping[str, Any], *path: str) -> Any:
    found: Any = settings
    for key in path:
        found = found.get(key, {}) if isinstance(found, Mapping) else {}
    return found


def _scoring(step_mask: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in step_mask.items() if key != "policy"}


def scoring_recipe(recipe: Recipe) -> Recipe:
    """The recipe that scores every level of the pool, with the recipe's scorer if it names one."""
    weak = recipe.ablation.scorer or recipe.models.weak
    models = recipe.models.model_copy(update={"weak": weak, "strong": (), "truncator": None})
    step_mask = recipe.step_mask.model_copy(update={"policy": Policy.EXHAUSTIVE})
    return recipe.model_copy(update={"models": models, "step_mask": step_mask})


def training_recipe(recipe: Recipe) -> Recipe:
    """The recipe without the models that no arm asks: their keys need not be there."""
    asks = recipe.truncation.method is not TruncationMethod.RULE
    without: dict[str, Any] = {"strong": (), "judge": None}
    models = recipe.models.model_copy(update=without if asks else without | {"truncator": None})
    return recipe.model_copy(update={"models": models})


def within_budget(recipe: Recipe, *, usd: float, calls: int) -> Recipe:
    """The recipe with what is left of its budget after something was spent."""
    cap = recipe.budget
    rest = BudgetSettings(
        usd=None if cap.usd is None else max(0.0, cap.usd - usd),
        calls=None if cap.calls is None else max(0, cap.calls - calls),
    )
    return recipe.model_copy(update={"budget": rest})


def evaluation_settings(recipe: Recipe) -> EvaluationSettings:
    """How every model is asked, the base model like those that were trained."""
    given = recipe.evaluation.prompt_suffix
    suffix = recipe.sft.prompt_suffix if given is None else given
    return recipe.evaluation.model_copy(update={"prompt_suffix": suffix})


def seeds_of(recipe: Recipe) -> list[int]:
    """The seeds of the trainings of every arm."""
    first = recipe.training.seed
    return list(range(first, first + recipe.ablation.seeds))


def arms_of(recipe: Recipe) -> dict[str, tuple[Arm, ...]]:
    """The arms of every pool, by the pool's name."""
    settings = recipe.ablation
    arms = {WHOLE: settings.arms}
    return arms | ({BALANCED: settings.length_balanced_arms} if settings.length_balanced else {})


def all_arms(recipe: Recipe) -> list[Arm]:
    """Every arm of any pool, once."""
    return list(dict.fromkeys(arm for arms in arms_of(recipe).values() for arm in arms))


def plan_arms(
    pools: Sequence[PreparedPool], *, runs: Runs, recipe: Recipe, model: str, dataset_version: str
) -> list[PlannedArm]:
    """The training of every arm of every pool with every seed.

    Args:
        pools: What is trained on.
        runs: Where rows and models lie.
        recipe: How it is trained.
        model: Hub id or folder of the model that is trained.
        dataset_version: Where the rows come from.

    Raises:
        BuildError: A pool has no question that every arm can train on.
        InputFileError: The model folder cannot be read.
    """
    planned = []
    for pool in pools:
        if not pool.questions:
            raise BuildError(
                f"pool {pool.name}: there is no question that every arm can train on; left out: "
                f"{dict(pool.left_out)}"
            )
        for training, rows in pool.rows.items():
            settings = recipe.training.model_copy(update={"seed": training.seed})
            name = f"{pool.name}-{training.arm.value}-seed{training.seed}"
            run = runs.run(
                rows, name=name, dataset_version=dataset_version, model=model, settings=settings
            )
            planned.append(PlannedArm(pool=pool.name, training=training, run=run))
    return planned


def inputs_of(
    planned: Sequence[PlannedArm],
    *,
    recipe: Recipe,
    dataset: DatasetFolder,
    base: Run,
    evaluation: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that decides the result of an ablation; its hash is the result's version."""
    scorer = recipe.ablation.scorer
    return {
        "method": METHOD,
        "dataset": {"name": dataset.name, "version": dataset.version},
        "scorer": None if scorer is None else scorer.identity(),
        "step_mask": _scoring(recipe.step_mask.model_dump(mode="json")),
        "truncation": recipe.truncation.model_dump(mode="json"),
        "base": base.version,
        "training": recipe.training.model_dump(mode="json", exclude={"model"}),
        "evaluation": dict(evaluation),
        "length_tolerance": recipe.ablation.length_tolerance,
        "resamples": recipe.ablation.resamples,
        "seeds": seeds_of(recipe),
        "runs": {
            f"{one.pool}/{one.training.arm.value}/{one.training.seed}": one.run.version
            for one in planned
        },
    }


def version_of(inputs: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of a hash of the inputs."""
    return content_hash(inputs)[:12]
