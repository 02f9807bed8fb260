"""`weak2wise evaluate`: how many benchmark questions a model answers, and is it the better one?"""

import json
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from flows.commands.building import AsJson, Data, Overrides, read_recipe, use_data_folder
from flows.commands.display import show_local, show_lost
from flows.commands.evaluation_options import (
    KINDS,
    Wanted,
    against_of,
    model_of,
    settings_of,
)
from flows.commands.numbers import duration, time_left
from flows.commands.running import outcome_of, run_flow
from flows.commands.saying import one_line
from flows.commands.tables import print_table
from weak2wise_core.accounts import known
from weak2wise_core.config import BudgetSettings
from weak2wise_core.recipe_files import trust_command_line

if TYPE_CHECKING:
    from tasks.evaluate_model import EvaluationProgress

Model = Annotated[
    str,
    typer.Argument(
        help="a model folder or hub id; with --base-url the model id of that server; with --recipe "
        "also the name of one of its models",
        metavar="MODEL",
    ),
]
Benchmarks = Annotated[
    list[str] | None,
    typer.Option(
        "--benchmark",
        help=f"a kind ({KINDS}) and its .jsonl, .parquet or .csv file; give it once for each",
        metavar="KIND=FILE",
    ),
]
RecipeOption = Annotated[
    Path | None,
    typer.Option("--recipe", help="its sections evaluation, budget and execution are used"),
]
BaseUrls = Annotated[
    list[str] | None,
    typer.Option("--base-url", help="an OpenAI-compatible server; once for each replica"),
]
KeyEnv = Annotated[
    str | None,
    typer.Option(help="environment variable that holds the server's key", metavar="NAME"),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="only the first N questions of each benchmark")
]
Samples = Annotated[int | None, typer.Option(min=1, help="k, answers to each question")]
Against = Annotated[
    str | None,
    typer.Option(
        help="compare question by question: a model, asked the same, or a folder of results",
        metavar="MODEL|RESULTS",
    ),
]
Name = Annotated[str | None, typer.Option(help="name of the results [default: the model's]")]


def evaluate(
    model: Model,
    *,
    benchmark: Benchmarks = None,
    recipe: RecipeOption = None,
    base_url: BaseUrls = None,
    api_key_env: KeyEnv = None,
    limit: Limit = None,
    samples: Samples = None,
    against: Against = None,
    name: Name = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model the questions of benchmarks and grade its answers.

    The questions are yours: AIME 2024, MATH-500 and GPQA Diamond are read in the columns of their
    public releases. Starting the same evaluation again goes on where it ended.

    Example: `weak2wise evaluate data/models/gr1k/latest --benchmark math500=math500.jsonl --against
    Qwen/Qwen2.5-7B-Instruct`
    """
    use_data_folder(data_dir)
    source = None if recipe is None else read_recipe(recipe, None, set_)
    spec = model_of(model, recipe=source, base_urls=base_url or [], api_key_env=api_key_env)
    wanted = Wanted(
        model=spec,
        settings=settings_of(
            source, set_, benchmarks=benchmark or [], samples=samples, limit=limit
        ),
        against=against_of(against, like=spec, recipe=source),
        name=name,
        budget=source.budget if source else BudgetSettings(),
        in_flight=source.execution.in_flight if source else None,
    )
    typed = [model, against or "", *(item.partition("=")[2] for item in benchmark or [])]
    trust_command_line(recipe or Path(), [text for text in typed if text])
    facts = run_evaluation(wanted, console=Console(stderr=True))
    if as_json:
        typer.echo(json.dumps(facts, indent=2, sort_keys=True))
    else:
        show(facts, Console())
    if "folder" not in facts:
        raise typer.Exit(1)


# --- running it -------------------------------------------------------------------------------


def run_evaluation(wanted: Wanted, *, console: Console) -> dict[str, Any]:
    """Run the flow in this process, with a display; what a person or a script wants to know.

    Raises:
        Weak2WiseError: It failed for a reason that has a name.
        typer.Exit: It was interrupted (130) or terminated (143).
    """
    from tasks.evaluate_model import PROGRESS, EvaluationProgress

    _check(wanted)
    progress = EvaluationProgress()

    def start() -> Awaitable[Any]:
        from flows.evaluation import IN_FLIGHT, evaluation

        PROGRESS.set(progress)
        return evaluation(
            wanted.model,
            wanted.settings,
            wanted.against,
            name=wanted.name,
            budget=wanted.budget,
            in_flight=wanted.in_flight or IN_FLIGHT,
            return_state=True,
        )

    state, seconds = run_flow(
        start,
        what="evaluation",
        display=one_line(lambda seconds: line(progress, seconds), console),
        console=console,
    )
    return _facts(state, progress, seconds=seconds)


def _check(wanted: Wanted) -> None:
    """Find what a person must mend before the task engine takes seconds to start."""
    from flows.evaluation import check_inputs, results_folder
    from tasks.keys import check_environment
    from weak2wise_core.evaluation.models import model_spec

    results = results_folder(wanted.against)
    models = [wanted.model]
    if wanted.against is not None and results is None:
        models.append(model_spec(wanted.against))
    check_environment(models)
    check_inputs(models, wanted.settings, results=results)


def _facts(state: Any, progress: "EvaluationProgress", *, seconds: float) -> dict[str, Any]:
    from tasks.evaluate_model import account
    from weak2wise_core.evaluation.publishing import PublishedEvaluation

    outcome = outcome_of(state)
    facts: dict[str, Any] = {
        "state": state.name,
        "message": state.message or "",
        "run": {**account(progress), "seconds": round(seconds, 3)},
    }
    if isinstance(outcome, PublishedEvaluation):
        facts |= outcome.results | {"folder": str(outcome.folder)}
    return facts


# --- what a person sees -----------------------------------------------------------------------


def line(progress: "EvaluationProgress", seconds: float) -> str:
    """One line: who is asked, and how much of it is done."""
    if not progress.answers:
        return f"starting the task engine and reading questions ... {seconds:.0f} s"
    calls = progress.calls
    tokens = known(f"{progress.tokens:,}", missing=progress.uncounted, calls=calls)
    usd = known(f"{progress.usd:.2f}", missing=progress.unpriced, calls=calls)
    return (
        f"{progress.model}: {progress.answered:,} of {progress.answers:,} answers, "
        f"{progress.stored:,} of them stored, {tokens} tokens, {usd} USD, "
        f"{duration(seconds)}{time_left(progress.answered / progress.answers, seconds)}"
    )


def show(facts: dict[str, Any], console: Console) -> None:
    """The tables, what was paid, and where the rest lies."""
    console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"), soft_wrap=True)
    for title, rows, legend in _tables(facts):
        heads, *body = rows
        print_table(title, heads, body, console)
        console.print(Text(legend, "dim"), soft_wrap=True)
    run = facts["run"]
    tokens = known(f"{run['tokens']:,}", missing=run["uncounted"], calls=run["calls"])
    usd = known(f"{run['usd']:.2f}", missing=run["unpriced"], calls=run["calls"])
    console.print(
        f"{run['calls']:,} calls, {run['stored']:,} stored, {tokens} tokens, {usd} USD, "
        f"{run['seconds']:.0f} s"
    )
    show_lost(run, console)
    show_local(run["local"], console)


def _tables(facts: dict[str, Any]) -> Iterator[tuple[str, list[list[str]], str]]:
    """Title, cells and legend of every table."""
    from weak2wise_core.evaluation import tables

    if rows := facts.get("benchmarks"):
        cells = tables.benchmark_rows(rows, brief=True)
        yield facts["name"], cells, tables.benchmark_legend(rows)
    if rows := facts.get("comparisons"):
        title = f"Against {facts['against']['name']}, question by question"
        yield title, tables.comparison_lines(rows), tables.comparison_legend(facts)
    if rows := facts.get("stock"):
        yield "Stock tasks", tables.stock_rows(rows), f"{tables.STOCK_WARNING}."
