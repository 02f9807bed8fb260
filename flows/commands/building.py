"""`weak2wise build`."""

import json
import os
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, overload

import typer
import yaml
from rich.console import Console

from flows.commands.running import outcome_of, run_flow
from weak2wise_core.config import Recipe, Settings
from weak2wise_core.errors import RecipeError
from weak2wise_core.recipe_files import check_files, trust_command_line
from weak2wise_core.recipes import load_recipe, yaml_fault

R = TypeVar("R", bound=Settings)

_OF_THE_MANIFEST = (
    "counts",
    "dropped",
    "quarantined",
    "candidates_refused",
    "audits",
    "golden",
    "cost",
)

RecipeFile = Annotated[Path, typer.Argument(help="the recipe, a YAML file", metavar="RECIPE")]
Limit = Annotated[int | None, typer.Option(min=1, help="only the first N rows of the questions")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="replace one value, as in step_mask.beta=0.7", metavar="KEY=VALUE"),
]
Data = Annotated[
    Path | None,
    typer.Option(help="where replies, stage results and datasets are kept [default: ./data]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]


@overload
def read_recipe(path: Path, limit: int | None, overrides: list[str] | None) -> Recipe: ...
@overload
def read_recipe(
    path: Path, limit: int | None, overrides: list[str] | None, *, kind: type[R]
) -> R: ...
def read_recipe(
    path: Path, limit: int | None, overrides: list[str] | None, *, kind: type[Any] = Recipe
) -> Any:
    """A recipe file with the command line's changes.

    Args:
        path: The file.
        limit: Only so many questions.
        overrides: KEY=VALUE.
        kind: What it describes: a build, or a run of a related method.

    Raises:
        RecipeError: The file or a change is not valid.
    """
    changes: dict[str, Any] = {}
    for item in overrides or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise RecipeError(f"--set {item}: write KEY=VALUE, as in step_mask.beta=0.7")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            fault = yaml_fault(error)
            raise RecipeError(f"--set {key}: the value is not YAML: {fault}") from None
    if limit is not None:
        changes["questions.limit"] = limit
    try:
        trust_command_line(path, _texts(list(changes.values())))
    except RecursionError:
        raise RecipeError(
            "--set: a value contains itself, as YAML allows and no recipe does"
        ) from None
    return load_recipe(path, changes, kind=kind)


def _texts(value: object) -> Iterator[str]:
    """Every text in a value of a recipe, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def build(
    recipe: RecipeFile,
    *,
    limit: Limit = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Build a dataset: filter, generate, score by Step-Mask, select, truncate, publish.

    Starting the same build again goes on where it ended; what a model answered is never asked
    again.

    Example: `weak2wise build deployments/recipes/testbed.yaml --limit 20`
    """
    wanted = read_recipe(recipe, limit, set_)
    use_data_folder(data_dir)
    console = Console(stderr=True)
    facts = run_build(wanted, console=console)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, sort_keys=True))
    else:
        from flows.commands.display import page, show_result

        show_result(facts, page())
    if "folder" not in facts:
        raise typer.Exit(1)


def use_data_folder(data_dir: Path | None) -> None:
    """Let this process and what it starts keep its data there."""
    if data_dir is not None:
        os.environ["WEAK2WISE_DATA"] = str(data_dir.absolute())


def run_build(recipe: Recipe, *, console: Console) -> dict[str, Any]:
    """Run the flow in this process, with a display; what a person or a script wants to know.

    Raises:
        Weak2WiseError: The build failed for a reason that has a name.
        typer.Exit: It was interrupted (130) or terminated (143).
    """
    from flows.commands.display import watching
    from tasks.progress import Progress

    check_inputs(recipe)
    progress = Progress()

    def start() -> Awaitable[Any]:
        from flows.build import PROGRESS, weak2wise

        PROGRESS.set(progress)
        return weak2wise(recipe, return_state=True)

    state, seconds = run_flow(
        start, what="build", display=watching(progress, console), console=console
    )
    return _facts(state, progress, seconds=seconds)


def check_inputs(recipe: Recipe) -> None:
    """Find what a person must mend before the task engine takes seconds to start.

    Raises:
        UsageError: A key is missing, the question file cannot be used, or the recipe names a file
            that it may not read.
    """
    from tasks.loops import check_runner
    from tasks.runtime import check_keys, data_folder
    from weak2wise_core.questions import load_questions

    check_files(recipe, data=data_folder())
    check_runner(recipe)
    check_keys(recipe)
    load_questions(recipe.questions)


def _facts(state: Any, progress: Any, *, seconds: float) -> dict[str, Any]:
    from tasks.progress import account, stages
    from weak2wise_core.dataset.publishing import REPORT, Published, Unpublished

    outcome = outcome_of(state)
    facts: dict[str, Any] = {
        "state": state.name,
        "message": state.message or "",
        "run": {
            **progress.sums,
            **{f"{kind}_tokens": count for kind, count in progress.parts.items()},
            "seconds": round(seconds, 3),
            "accounts": account(progress),
            "stages": stages(progress),
            "local": progress.local.rows(),
        },
        "model_changes": [change.as_dict() for change in progress.model_changes],
    }
    if isinstance(outcome, Published | Unpublished):
        facts |= {name: outcome.manifest[name] for name in _OF_THE_MANIFEST}
        facts |= {"zero_score": outcome.manifest.get("zero_score", {})}
    if isinstance(outcome, Published):
        facts |= {"folder": str(outcome.folder), "version": outcome.version}
        if outcome.numbers is not None:
            facts |= {"report": str(outcome.folder / REPORT)}
    return facts
