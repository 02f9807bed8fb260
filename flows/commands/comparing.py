"""`weak2wise compare`: every selector on one scored pool."""

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.commands.ablating import Seeds, with_options
from flows.commands.building import (
    AsJson,
    Data,
    Limit,
    Overrides,
    check_inputs,
    read_recipe,
    use_data_folder,
)
from flows.commands.display import show_paid
from flows.commands.running import outcome_of, run_flow
from weak2wise_core.config import Recipe, Selector
from weak2wise_core.errors import RecipeError, UsageError
from weak2wise_core.recipe_files import trust_command_line

if TYPE_CHECKING:
    from weak2wise_core.comparison.results import ComparisonResult
    from weak2wise_core.comparison.tables import PoolTables

Source = Annotated[
    str,
    typer.Argument(
        help="a recipe, whose dataset is built first; or a dataset that local models made: its "
        "folder, or NAME or NAME/VERSION below the data folder",
        metavar="RECIPE_OR_DATASET",
    ),
]
OfDataset = Annotated[
    str | None, typer.Option("--dataset", help="with a recipe: choose from this dataset of it")
]
Selectors = Annotated[
    str | None,
    typer.Option(help=f"selectors, separated by commas: {', '.join(Selector)} [default: all]"),
]
Train = Annotated[
    bool,
    typer.Option("--train", help="also train the weak model on each choice, and compare"),
]


def compare(
    source: Source,
    *,
    dataset: OfDataset = None,
    selectors: Selectors = None,
    train: Train = False,
    seeds: Seeds = None,
    limit: Limit = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Compare what Step-Mask and other selectors choose from one scored pool.

    Agreement, lengths and teachers; on the testbed also how well each selector tells sound traces
    from others; with --train, accuracy after training, by several seeds with intervals. Starting
    the same comparison again goes on where it ended.

    Example: `weak2wise compare deployments/recipes/compare.yaml --train`
    """
    use_data_folder(data_dir)
    recipe, dataset = _source(source, dataset, limit, set_)
    if seeds is not None:
        recipe = with_options(recipe, seeds=seeds, arms=None, score_with=None)
    facts, result = run_comparison(
        recipe, dataset, named(selectors), train=train, console=Console(stderr=True)
    )
    if as_json:
        plain = {} if result is None else result.to_plain()
        typer.echo(json.dumps(facts | plain, indent=2, sort_keys=True))
    else:
        show(facts, result, Console())
    if result is None:
        raise typer.Exit(1)


def _source(
    source: str, dataset: str | None, limit: int | None, set_: list[str] | None
) -> tuple[Recipe, str | None]:
    """The recipe, and the dataset to choose from; None where it is to be built."""
    from tasks.runtime import data_folder
    from tasks.training_jobs import find_dataset
    from weak2wise_core.comparison.planning import recipe_of

    if source.endswith((".yaml", ".yml")):
        if dataset is not None:
            trust_command_line(Path(source), [dataset])
        return read_recipe(Path(source), limit, set_), dataset
    if dataset is not None or limit is not None or set_:
        raise UsageError(
            f"{source} is a dataset, which is compared as it is; --dataset, --limit and --set are "
            "for a recipe"
        )
    trust_command_line(Path(), [source])
    return recipe_of(find_dataset(source, data=data_folder())), source


def named(given: str | None) -> list[Selector] | None:
    """The selectors that the command line names; None where it names none.

    Raises:
        RecipeError: One does not exist, or fewer than two are left.
    """
    if given is None:
        return None
    names = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    if unknown := set(names) - set(Selector):
        raise RecipeError(
            f"--selectors {given}: there is no selector {min(unknown)!r}; choose from "
            f"{', '.join(Selector)}"
        )
    if len(names) < 2:
        raise RecipeError(f"--selectors {given}: a comparison takes two or more")
    return [Selector(name) for name in names]


def run_comparison(
    recipe: Recipe,
    dataset: str | None,
    selectors: list[Selector] | None,
    *,
    train: bool,
    console: Console,
) -> tuple[dict[str, Any], "ComparisonResult | None"]:
    """Run the flow in this process, with a display.

    Returns:
        What a script wants to know of the run, and the result, if there is one.

    Raises:
        Weak2WiseError: It failed for a reason that has a name.
        typer.Exit: It was interrupted (130) or terminated (143).
    """
    from flows.commands.ablation_display import watching
    from tasks.ablating import PROGRESS, AblationProgress

    _check(recipe, dataset, selectors, train=train)
    progress = AblationProgress()

    def start() -> Awaitable[Any]:
        from flows.compare import compare as flow

        PROGRESS.set(progress)
        return flow(recipe, dataset, selectors, train, return_state=True)

    state, seconds = run_flow(
        start, what="comparison", display=watching(progress, console), console=console
    )
    return _facts(state, progress, seconds=seconds)


def _check(
    recipe: Recipe, dataset: str | None, selectors: list[Selector] | None, *, train: bool
) -> None:
    """Find what a person must mend before the task engine takes seconds to start."""
    from tasks.runtime import data_folder
    from tasks.training_jobs import find_dataset
    from weak2wise_core.ablation.planning import check_dataset, check_recipe
    from weak2wise_core.comparison.planning import arms_recipe, usable

    wanted = usable(recipe, selectors)
    if train:
        check_recipe(arms_recipe(recipe, wanted))
    if dataset is None:
        check_inputs(recipe)
    else:
        check_dataset(find_dataset(dataset, data=data_folder()), recipe)


def _facts(
    state: Any, progress: Any, *, seconds: float
) -> tuple[dict[str, Any], "ComparisonResult | None"]:
    from flows.commands.ablation_display import run_facts
    from flows.compare import Compared

    outcome = outcome_of(state)
    facts = run_facts(state, progress, seconds=seconds)
    if not isinstance(outcome, Compared):
        return facts, None
    return facts | {"folder": str(outcome.folder)}, outcome.result


# --- display ----------------------------------------------------------------------------------


def show(facts: dict[str, Any], result: "ComparisonResult | None", console: Console) -> None:
    """A table a pool and benchmark, who agrees with whom, and where the rest lies."""
    console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"), soft_wrap=True)
    run = facts["run"]
    if result is None:
        show_paid(run, console)
        return
    for tables in result.pools:
        _show_pool(tables, result, console)
    if result.unused:
        names = ", ".join(one.value for one in result.unused)
        console.print(f"not compared, for the weak model does not tell probabilities: {names}")
    if result.trained:
        console.print(f"{run['trained']} models trained, {run['known']} known from earlier runs")
    show_paid(run, console)


def _show_pool(tables: "PoolTables", result: "ComparisonResult", console: Console) -> None:
    from weak2wise_core.comparison.results import (
        DIFFERENCE_HEAD,
        agreement_table,
        all_benchmarks,
        difference_table,
        selector_head,
        selector_table,
    )

    trained = result.trained
    title = f"pool {tables.pool}: {tables.questions} questions, {tables.candidates} candidates"
    head = selector_head(tables, trained=trained is not None)
    for benchmark in all_benchmarks(trained):
        lines = selector_table(tables, trained=trained, benchmark=benchmark)
        _print(f"{title}{f', {benchmark}' if benchmark else ''}", head, lines, console)
        if trained is not None:
            found = difference_table(tables, trained=trained, benchmark=benchmark)
            _print(f"Differences, pool {tables.pool}", DIFFERENCE_HEAD, found, console)
    names, *shares = agreement_table(tables)
    numbers = tuple(str(number) for number, _ in enumerate(names[1:], start=1))
    lines = [
        (f"{number}  {name}", *row) for number, (name, *row) in zip(numbers, shares, strict=True)
    ]
    _print("The same choice, in % of the questions", ("", *numbers), lines, console)


def _print(
    title: str, head: tuple[str, ...], rows: list[tuple[str, ...]], console: Console
) -> None:
    console.print(Text(title, style="bold"), soft_wrap=True)  # a table's own title wraps with it
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in head:
        table.add_column(name, no_wrap=name != head[-1])
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
