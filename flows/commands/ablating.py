"""`weak2wise ablate`: train on what each arm chooses from one pool, and compare."""

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.commands.building import (
    AsJson,
    Data,
    Limit,
    Overrides,
    RecipeFile,
    check_inputs,
    read_recipe,
    use_data_folder,
)
from flows.commands.running import outcome_of, run_flow
from weak2wise_core.config import Backend, ModelSpec, Recipe
from weak2wise_core.config.ablation import Arm
from weak2wise_core.errors import RecipeError
from weak2wise_core.recipe_files import trust_command_line
from weak2wise_core.recipes import load_recipe, parse_recipe

if TYPE_CHECKING:
    from weak2wise_core.ablation.results import AblationResult

Dataset = Annotated[
    str | None,
    typer.Option(
        help="choose from this dataset: a folder, or NAME or NAME/VERSION below the data folder "
        "[default: the recipe's own, built first]"
    ),
]
Seeds = Annotated[int | None, typer.Option(min=1, help="trainings of each arm")]
Arms = Annotated[
    str | None,
    typer.Option(help=f"arms, separated by commas: {', '.join(Arm)}"),
]
ScoreWith = Annotated[
    str | None,
    typer.Option(
        help="another weak model scores the same candidates first: a recipe, whose weak model is "
        "taken, or a model folder or hub id",
        metavar="RECIPE|MODEL",
    ),
]


def ablate(
    recipe: RecipeFile,
    *,
    dataset: Dataset = None,
    seeds: Seeds = None,
    arms: Arms = None,
    score_with: ScoreWith = None,
    limit: Limit = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Train the weak model on the traces that each arm chooses from one pool, and compare.

    The arms are those of the paper's Tables 3 and 4 (highest, random, lowest, untruncated) and a
    baseline (shortest). Starting the same ablation again goes on where it ended.

    Example: `weak2wise ablate deployments/recipes/ablation.yaml --arms highest,random --seeds 2`
    """
    use_data_folder(data_dir)
    if dataset is not None:
        trust_command_line(recipe, [dataset])
    if score_with is not None:
        trust_command_line(Path(score_with) if _is_recipe(score_with) else recipe, [score_with])
    wanted = with_options(
        read_recipe(recipe, limit, set_), seeds=seeds, arms=arms, score_with=score_with
    )
    facts, result = run_ablation(wanted, dataset=dataset, console=Console(stderr=True))
    if as_json:
        plain = {} if result is None else result.to_plain()
        typer.echo(json.dumps(facts | plain, indent=2, sort_keys=True))
    else:
        from flows.commands.ablation_display import show

        show(facts, result, Console())
    if result is None:
        raise typer.Exit(1)


def with_options(
    recipe: Recipe, *, seeds: int | None, arms: str | None, score_with: str | None
) -> Recipe:
    """The recipe with the command line's changes of the ablation.

    Raises:
        RecipeError: An arm does not exist, or the scoring model cannot be used.
    """
    changes: dict[str, Any] = recipe.ablation.model_dump(mode="json")
    if seeds is not None:
        changes["seeds"] = seeds
    if arms is not None:
        changes["arms"] = changes["length_balanced_arms"] = _arms(arms)
    if score_with is not None:
        changes["scorer"] = scorer(score_with, like=recipe.models.weak).model_dump(
            mode="json", exclude_unset=True
        )
    plain = recipe.model_dump(mode="json", exclude_unset=True)
    return parse_recipe(plain | {"ablation": changes})


def _arms(given: str) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    if unknown := set(names) - set(Arm):
        raise RecipeError(
            f"--arms {given}: there is no arm {min(unknown)!r}; choose from {', '.join(Arm)}"
        )
    return names


def scorer(given: str, *, like: ModelSpec) -> ModelSpec:
    """The model that `--score-with` names.

    Args:
        given: A recipe file, or a model folder or hub id.
        like: The weak model, whose sampling a model without a recipe is given.

    Raises:
        RecipeError: The recipe cannot be used.
    """
    if _is_recipe(given):
        return load_recipe(Path(given), {}).models.weak
    sampling = like.model_dump(
        include={
            "temperature",
            "top_p",
            "max_tokens",
            "seed",
            "batch_size",
            "batching",
            "device",
        },
        exclude_unset=True,
    )
    return ModelSpec(backend=Backend.TRANSFORMERS, model=given, **sampling)


def _is_recipe(given: str) -> bool:
    return given.endswith((".yaml", ".yml"))


def run_ablation(
    recipe: Recipe, *, dataset: str | None, console: Console
) -> tuple[dict[str, Any], "AblationResult | None"]:
    """Run the flow in this process, with a display.

    Returns:
        What a script wants to know of the run, and the result, if there is one.

    Raises:
        Weak2WiseError: It failed for a reason that has a name.
        typer.Exit: It was interrupted (130) or terminated (143).
    """
    from flows.commands.ablation_display import watching
    from tasks.ablating import PROGRESS, AblationProgress

    _check(recipe, dataset)
    progress = AblationProgress()

    def start() -> Awaitable[Any]:
        from flows.ablate import ablate as flow

        PROGRESS.set(progress)
        return flow(recipe, dataset, return_state=True)

    state, seconds = run_flow(
        start, what="ablation", display=watching(progress, console), console=console
    )
    return _facts(state, progress, seconds=seconds)


def _check(recipe: Recipe, dataset: str | None) -> None:
    """Find what a person must mend before the task engine takes seconds to start."""
    from tasks.runtime import data_folder
    from tasks.training_jobs import find_dataset
    from weak2wise_core.ablation.planning import check_dataset, check_recipe

    check_recipe(recipe)
    if dataset is None:
        check_inputs(recipe)
    else:
        check_dataset(find_dataset(dataset, data=data_folder()), recipe)


def _facts(
    state: Any, progress: Any, *, seconds: float
) -> tuple[dict[str, Any], "AblationResult | None"]:
    from flows.ablate import Ablated
    from flows.commands.ablation_display import run_facts

    outcome = outcome_of(state)
    facts = run_facts(state, progress, seconds=seconds)
    if not isinstance(outcome, Ablated):
        return facts, None
    return facts | {"folder": str(outcome.folder)}, outcome.result
