"""`weak2wise w2sr` and `weak2wise weak-to-strong`: the two related methods."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import typer
from rich.console import Console
from rich.text import Text

from flows.commands.building import (
    AsJson,
    Data,
    Limit,
    Overrides,
    RecipeFile,
    read_recipe,
    use_data_folder,
)
from flows.commands.display import show_paid
from flows.commands.running import outcome_of, run_flow
from flows.commands.saying import one_line
from flows.commands.tables import print_arms, print_table
from weak2wise_core.accounts import known
from weak2wise_core.config import W2SRRecipe, WeakToStrongRecipe
from weak2wise_core.recipe_files import check_files

if TYPE_CHECKING:
    from tasks.teaching import TeachingProgress
    from weak2wise_core.teaching.reports import Report

Related: TypeAlias = W2SRRecipe | WeakToStrongRecipe


def w2sr(
    recipe: RecipeFile,
    *,
    limit: Limit = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Train a student on the traces of a weaker reasoner (W2SR), and say what that recovers.

    The student is evaluated before, without and with zero-shot chain of thought, and after; with
    the student after reinforcement learning there is the reasoning gap recovered, RGR. Starting the
    same run again goes on where it ended.

    Example: `weak2wise w2sr deployments/recipes/w2sr-testbed.yaml --set selection.traces=correct`
    """
    use_data_folder(data_dir)
    wanted = read_recipe(recipe, limit, set_, kind=W2SRRecipe)

    def start() -> Awaitable[Any]:
        from flows.w2sr import w2sr as flow

        return flow(wanted, return_state=True)

    _finish(wanted, start, what="w2sr", as_json=as_json)


def weak_to_strong(
    recipe: RecipeFile,
    *,
    limit: Limit = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Weak-to-strong reasoning: train a strong model without any ground truth.

    Stage I trains on questions that weak and strong model answer alike, stage II on preferences
    between replies. Starting the same run again goes on where it ended.

    Example: `weak2wise weak-to-strong deployments/recipes/weak-to-strong-testbed.yaml --limit 40`
    """
    use_data_folder(data_dir)
    wanted = read_recipe(recipe, limit, set_, kind=WeakToStrongRecipe)

    def start() -> Awaitable[Any]:
        from flows.weak_to_strong import weak_to_strong as flow

        return flow(wanted, return_state=True)

    _finish(wanted, start, what="weak-to-strong", as_json=as_json)


def _finish(
    recipe: Related, start: Callable[[], Awaitable[Any]], *, what: str, as_json: bool
) -> None:
    """Run a flow and print what came out."""
    facts, report = run(recipe, start, what=what, console=Console(stderr=True))
    if as_json:
        plain = {} if report is None else report.to_plain()
        typer.echo(json.dumps(facts | plain, indent=2, sort_keys=True))
    else:
        show(facts, report, Console())
    if report is None:
        raise typer.Exit(1)


def run(
    recipe: Related, start: Callable[[], Awaitable[Any]], *, what: str, console: Console
) -> tuple[dict[str, Any], "Report | None"]:
    """Run a flow in this process, with a display.

    Returns:
        What a script wants to know of the run, and the report, if there is one.

    Raises:
        Weak2WiseError: It failed for a reason that has a name.
        typer.Exit: It was interrupted (130) or terminated (143).
    """
    from tasks.teaching import PROGRESS, TeachingProgress

    check_inputs(recipe)
    progress = TeachingProgress()

    def watched() -> Awaitable[Any]:
        PROGRESS.set(progress)
        return start()

    state, seconds = run_flow(
        watched,
        what=what,
        display=one_line(lambda seconds: line(progress, seconds), console),
        console=console,
        kept="every reply and checkpoint",
    )
    return _facts(state, progress, seconds=seconds)


def check_inputs(recipe: Related) -> None:
    """Find what a person must mend before the task engine takes seconds to start.

    Raises:
        UsageError: A key or a package is missing, a file cannot be used, or the recipe names one
            that it may not read.
    """
    from flows.teaching import check_recipe
    from tasks.runtime import check_keys, data_folder
    from weak2wise_core.questions import load_questions

    check_files(recipe, data=data_folder())
    check_keys(recipe)
    load_questions(recipe.questions)
    check_recipe(recipe)


def _facts(
    state: Any, progress: "TeachingProgress", *, seconds: float
) -> tuple[dict[str, Any], "Report | None"]:
    from flows.teaching import Taught
    from tasks.progress import account

    outcome = outcome_of(state)
    models = progress.models
    facts: dict[str, Any] = {
        "state": state.name,
        "message": state.message or "",
        "run": {
            **models.sums,
            "seconds": round(seconds, 3),
            "accounts": account(models),
        },
    }
    if not isinstance(outcome, Taught):
        return facts, None
    return facts | {"folder": str(outcome.folder)}, outcome.report


# --- display ----------------------------------------------------------------------------------


def line(progress: "TeachingProgress", seconds: float) -> str:
    """One line: what is being done, and how much of it."""
    models = progress.models
    step = f", {progress.training.sentence}" if "training" in progress.phase else ""
    if "evaluating" in progress.phase and progress.evaluation.answers:
        step = f", {progress.evaluation.answered}/{progress.evaluation.answers} answers"
    usd = known(f"{models.usd:.4f}", missing=models.unpriced, calls=models.calls)
    return (
        f"{progress.phase}{step} | {models.calls:,} calls, {models.stored:,} from the reply store, "
        f"{usd} USD, {seconds:.0f} s"
    )


def show(facts: dict[str, Any], report: "Report | None", console: Console) -> None:
    """The tables, and where the rest lies."""
    console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"), soft_wrap=True)
    if report is not None:
        for table in report.tables:
            print_arms(table, console)
        _show_rest(report, console)
    show_paid(facts["run"], console)


def _show_rest(report: "Report", console: Console) -> None:
    from weak2wise_core.teaching.reports import left_out, recovered

    rows = [(one.benchmark, one.baseline, recovered(one)) for one in report.recovery]
    if rows:
        title = "Reasoning gap recovered"
        print_table(title, ("benchmark", "student before", "RGR"), rows, console)
    for name, one in report.trained_on.items():
        counts = one["counts"]
        console.print(
            f"{name}: {counts['train']} rows of {counts['questions']} questions; left out: "
            f"{left_out(one) or 'none'}",
            soft_wrap=True,
        )
