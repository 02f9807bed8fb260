"""What a comparison needs of a recipe, checked before anything is paid."""

from collections.abc import Sequence
from typing import Any

from weak2wise_core.ablation.pools import Pool
from weak2wise_core.ablation.results import AblationResult
from weak2wise_core.comparison.results import METHOD
from weak2wise_core.config import JudgeMethod, Recipe, Selector, TruncationMethod
from weak2wise_core.config.ablation import Arm
from weak2wise_core.config.recipe import without_probabilities
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import BuildError, RecipeError
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.selectors.measuring import MEASURED_BY, deciding


def usable(recipe: Recipe, selectors: Sequence[Selector] | None) -> list[Selector]:
    """The selectors to compare: those that are named, or all that the weak model makes possible.

    Raises:
        RecipeError: One that is named reads probabilities that the weak model does not tell.
    """
    told = recipe.tells_probabilities
    if selectors is None:
        return [one for one in Selector if told or not one.reads_model]
    if silent := [one for one in selectors if one.reads_model and not told]:
        raise RecipeError(without_probabilities(silent[0]))
    return list(dict.fromkeys(selectors))


def arms_recipe(recipe: Recipe, selectors: Sequence[Selector]) -> Recipe:
    """The recipe with an arm for every selector, in every pool."""
    arms = tuple(Arm.of(one) for one in selectors)
    ablation = recipe.ablation.model_copy(update={"arms": arms, "length_balanced_arms": arms})
    return recipe.model_copy(update={"ablation": ablation})


def filled(pools: Sequence[Pool]) -> Sequence[Pool]:
    """The same pools, made sure to have something to choose from.

    Raises:
        BuildError: One of them has no question.
    """
    for pool in pools:
        if not pool.questions:
            raise BuildError(
                f"pool {pool.name}: there is no question with a scored candidate that helps; left "
                f"out: {dict(pool.left_out)}"
            )
    return pools


def inputs_of(
    recipe: Recipe,
    *,
    dataset: DatasetFolder,
    selectors: Sequence[Selector],
    trained: AblationResult | None,
) -> dict[str, Any]:
    """Everything that decides the result of a comparison; its hash is the result's version."""
    scorer, settings = recipe.ablation.scorer, recipe.ablation
    return {
        "method": METHOD,
        "measured_by": MEASURED_BY,
        "dataset": {"name": dataset.name, "version": dataset.version},
        "selectors": [one.value for one in selectors],
        "selection": deciding(recipe.selection) | {"seed": recipe.selection.seed},
        "reader": recipe.reader.identity(),
        "scorer": None if scorer is None else scorer.identity(),
        "step_mask": recipe.step_mask.model_dump(mode="json", exclude={"policy"}),
        "length_tolerance": settings.length_tolerance if settings.length_balanced else None,
        "trained": None if trained is None else trained.version,
    }


def recipe_of(dataset: DatasetFolder) -> Recipe:
    """The recipe behind a dataset, as far as its manifest tells: enough for local models and rules.

    Raises:
        RecipeError: Weak model, judge or truncation need what no manifest holds, such as addresses
            and keys.
    """
    settings: dict[str, Any] = dict(dataset.manifest.get("settings", {}))
    models = settings.pop("models", {})
    weak = models.get("weak", {})
    by_rule = (
        settings.get("judging", {}).get("method") == JudgeMethod.RULE
        and settings.get("truncation", {}).get("method") == TruncationMethod.RULE
    )
    if weak.get("backend") not in ("testbed", "transformers") or not by_rule:
        raise RecipeError(
            f"dataset {dataset.name} {dataset.version} was made with models behind servers, whose "
            f"addresses it does not hold; name its recipe: weak2wise compare RECIPE --dataset "
            f"{dataset.folder}"
        )
    local = {key: value for key, value in weak.items() if value not in (None, {})}
    return parse_recipe(
        settings
        | {
            "dataset": dataset.name,
            "questions": {"path": "questions.parquet"},
            "models": {"weak": local},
            # what is there already is not generated again
            "generate": settings.get("generate", {}) | {"imported": ["candidates.parquet"]},
        }
    )
