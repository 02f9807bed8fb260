"""`weak2wise annotate`: what waits for a person, and what people wrote."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.building import AsJson, read_recipe
from weak2wise_core.annotating import Merged, merge
from weak2wise_core.dataset.publishing import QUEUE
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.records import QueuedQuestion
from weak2wise_core.stores.parquet import read

app = typer.Typer(
    help="List questions that no trace helps with, and merge the reasoning that people wrote.",
    no_args_is_help=True,
)

Dataset = Annotated[Path, typer.Argument(help="a dataset folder", metavar="DATASET")]


@app.command("queue")
def queue(dataset: Dataset, *, as_json: AsJson = False) -> None:
    """List the questions of a dataset that wait for a person.

    Example: `weak2wise annotate queue data/datasets/mine/latest`
    """
    waiting = _queue(dataset)
    if as_json:
        typer.echo(json.dumps([row.id for row in waiting]))
        return
    folder = open_dataset(dataset).folder
    typer.echo(f"{len(waiting)} questions wait for a reasoning; fill in a copy of")
    typer.echo(f"  {folder / f'{QUEUE}.jsonl'}")
    typer.echo(f"  {folder / f'{QUEUE}.parquet'}")
    for row in waiting:
        typer.echo(f"{row.id}: {row.question[:80]}")


@app.command("merge")
def merge_(
    dataset: Dataset,
    filled: Annotated[
        list[Path], typer.Argument(help="filled queues: .jsonl, .parquet or .csv", metavar="FILLED")
    ],
    *,
    into: Annotated[
        Path | None, typer.Option(help="the annotations file that the recipe names")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="take the file from zero_score.annotations of this recipe")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="let new reasoning take the place of older")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check what people wrote and add it to the annotations file of a recipe.

    Rows that cannot be used are named and left out; exit code 1 if there are any. Nothing that the
    file held is lost, and merging again changes nothing.

    Example: `weak2wise annotate merge data/datasets/mine/latest filled.csv --into notes.jsonl`
    """
    target = _target(into, recipe)
    found = merge(_queue(dataset), filled, into=target, replace=replace)
    if as_json:
        typer.echo(json.dumps({"file": str(target), **found.as_dict()}, indent=2))
    else:
        _show(found, target, Console())
    if found.refused:
        raise typer.Exit(1)


def _target(into: Path | None, recipe: Path | None) -> Path:
    if (into is None) == (recipe is None):
        raise UsageError("name the annotations file with --into FILE, or with --recipe RECIPE")
    if into is not None:
        return into
    assert recipe is not None
    named = read_recipe(recipe, None, None).zero_score.annotations
    if named is None:
        raise UsageError(f"recipe {recipe} names no zero_score.annotations; use --into FILE")
    return named


def _queue(dataset: Path) -> list[QueuedQuestion]:
    opened = open_dataset(dataset)
    name = f"{QUEUE}.parquet"
    if name not in opened.manifest["files"]:
        raise InputFileError(
            f"dataset {opened.folder}: no question waits for a person. A queue is written by a "
            "build with zero_score.action: annotate"
        )
    return read(opened.file(name), QueuedQuestion)


def _show(found: Merged, target: Path, console: Console) -> None:
    console.print(
        f"{len(found.new)} new, {len(found.kept)} kept, {len(found.replaced)} replaced in "
        f"{target}; {len(found.waiting)} questions still wait",
        soft_wrap=True,
        markup=False,
    )
    for row in found.refused:
        console.print(
            f"left out ({row.reason}): {row.where}: {row.detail}", soft_wrap=True, markup=False
        )
    for question_id in found.without_answer:
        console.print(
            f"worth a look: the reasoning for {question_id} never mentions the answer", markup=False
        )
