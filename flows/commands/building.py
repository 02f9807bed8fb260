"""`weak2wise build` and `weak2wise plan`."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from weak2wise_core.config import Recipe
from weak2wise_core.errors import RecipeError, Weak2WiseError
from weak2wise_core.recipes import load_recipe

INTERRUPTED, TERMINATED = 130, 143

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


def read_recipe(path: Path, limit: int | None, overrides: list[str] | None) -> Recipe:
    """A recipe file with the command line's changes.

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
            raise RecipeError(f"--set {item}: the value is not YAML: {error}") from error
    if limit is not None:
        changes["questions.limit"] = limit
    return load_recipe(path, changes)


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
        from flows.commands.display import show_result

        show_result(facts, Console())
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
    from prefect.exceptions import ExternalSignal

    from flows.commands.display import watching
    from flows.commands.engine import engine_in_its_own_session
    from tasks.progress import Progress

    check_inputs(recipe)
    progress, started = Progress(), time.monotonic()
    stopped_by: list[int] = []
    with watching(progress, console), engine_in_its_own_session():
        try:
            state = asyncio.run(_run_flow(recipe, progress, stopped_by))
        except (KeyboardInterrupt, asyncio.CancelledError, ExternalSignal) as stop:
            by_engine = isinstance(stop, ExternalSignal)  # it takes SIGTERM over while a flow runs
            terminated = by_engine or signal.SIGTERM in stopped_by
            console.print(
                "stopped; every reply is kept. Start the same build again to go on", soft_wrap=True
            )
            raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from stop
    return _facts(state, progress, seconds=time.monotonic() - started)


def check_inputs(recipe: Recipe) -> None:
    """Find what a person must mend before the task engine takes seconds to start.

    Raises:
        UsageError: A key is missing, or the question file cannot be used.
    """
    from tasks.runtime import check_keys
    from weak2wise_core.questions import load_questions

    check_keys(recipe)
    load_questions(recipe.questions)


async def _run_flow(recipe: Recipe, progress: Any, stopped_by: list[int]) -> Any:
    from flows.build import PROGRESS, weak2wise

    PROGRESS.set(progress)
    running = asyncio.ensure_future(weak2wise(recipe, return_state=True))

    def stop(number: int) -> None:
        stopped_by.append(number)
        running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    state = await running
    if stopped_by:  # the engine turned the cancellation into a state
        raise asyncio.CancelledError
    return state


def _facts(state: Any, progress: Any, *, seconds: float) -> dict[str, Any]:
    from tasks.reporting import account
    from weak2wise_core.dataset.publishing import Published, Unpublished

    outcome = asyncio.run(_outcome(state))
    if isinstance(outcome, Weak2WiseError):
        raise outcome
    facts: dict[str, Any] = {
        "state": state.name,
        "message": state.message or "",
        "run": {
            "calls": progress.calls,
            "stored": progress.stored,
            "tokens": progress.tokens,
            "usd": round(progress.usd, 6),
            "seconds": round(seconds, 3),
            "accounts": account(progress),
        },
    }
    if isinstance(outcome, Published | Unpublished):
        names = ("counts", "dropped", "quarantined", "candidates_refused", "golden", "cost")
        facts |= {name: outcome.manifest[name] for name in names}
    if isinstance(outcome, Published):
        facts |= {"folder": str(outcome.folder), "version": outcome.version}
    return facts


async def _outcome(state: Any) -> Any:
    return await state.aresult(raise_on_failure=False)


def plan(
    recipe: RecipeFile,
    *,
    limit: Limit = None,
    set_: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what a build would ask and cost, before anything is spent.

    Example: `weak2wise plan deployments/recipes/gr1k.yaml`
    """
    from flows.commands.plans import plan_of, show_plan

    found = plan_of(read_recipe(recipe, limit, set_))
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        show_plan(found, Console())
