"""`weak2wise annotate`: what waits for a person, and what people wrote."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.building import AsJson, read_recipe
from weak2wise_core.annotating import FORMULA_SIGNS, Merged, merge
from weak2wise_core.config import ZeroScoreAction
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset, refuse_published
from weak2wise_core.dataset.writing import QUEUE
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.records import Question, QueuedQuestion
from weak2wise_core.stores.files import atomic_write_bytes
from weak2wise_core.stores.parquet import read, to_bytes

QUESTIONS = "questions.parquet"

app = typer.Typer(
    help="List questions that no trace helps with, and merge the reasoning that people wrote.",
    no_args_is_help=True,
)

Dataset = Annotated[Path, typer.Argument(help="a dataset folder", metavar="DATASET")]


@app.command("queue")
def queue(
    dataset: Dataset,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="write a copy to fill in: .csv, .jsonl or .parquet"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the questions of a dataset that wait for a person, or write them to a file.

    Example: `weak2wise annotate queue data/datasets/mine/latest -o to_fill.csv`
    """
    opened = open_dataset(dataset)
    waiting, folder = _waiting(opened), opened.folder
    if as_json:
        typer.echo(json.dumps([row.id for row in waiting]))
        return
    if not waiting:
        typer.echo("no question waits for a reasoning")
        return
    if output is not None:
        write_copy(waiting, output)
        typer.echo(f"{len(waiting)} questions wait for a reasoning in {output}")
        return
    typer.echo(f"{len(waiting)} questions wait for a reasoning; fill in a copy of")
    typer.echo(f"  {folder / f'{QUEUE}.jsonl'}")
    typer.echo(f"  {folder / f'{QUEUE}.parquet'}")
    for row in waiting:
        typer.echo(f"{row.id}: {row.question[:80]}")


def write_copy(waiting: Sequence[QueuedQuestion], path: Path) -> None:
    """Write a queue to fill in, in the form that the name asks for; never over another file.

    Raises:
        UsageError: The file is there already, would lie in a published dataset, or its ending is
            unknown.
        StoreError: It cannot be written.
    """
    refuse_published(path)
    if path.exists():
        raise UsageError(f"{path} is there already, perhaps with somebody's work; name another")
    writers = {".csv": _as_csv, ".jsonl": _as_lines, ".parquet": _as_parquet}
    if path.suffix.lower() not in writers:
        raise UsageError(f"{path}: name a .csv, .jsonl or .parquet file")
    atomic_write_bytes(path, writers[path.suffix.lower()](waiting))


def _as_csv(waiting: Sequence[QueuedQuestion]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([one.name for one in fields(QueuedQuestion)])
    table.writerows([_no_formula(cell) for cell in astuple(row)] for row in waiting)
    return text.getvalue().encode("utf-8-sig")  # the mark tells spreadsheets that it is UTF-8


def _no_formula(cell: str) -> str:
    """A spreadsheet runs what begins like a formula; `merge` takes the apostrophe off again."""
    return f"'{cell}" if cell[:1] in FORMULA_SIGNS and cell else cell


def _as_lines(waiting: Sequence[QueuedQuestion]) -> bytes:
    lines = (json.dumps(asdict(row), ensure_ascii=False) for row in waiting)
    return "".join(f"{line}\n" for line in lines).encode()


def _as_parquet(waiting: Sequence[QueuedQuestion]) -> bytes:
    return to_bytes(waiting, QueuedQuestion)


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
    target, opened = _target(into, recipe), open_dataset(dataset)
    waiting = _waiting(opened)
    ids = {row.id for row in waiting}
    others = [row for row in read(opened.file(QUESTIONS), Question) if row.id not in ids]
    found = merge(waiting, filled, into=target, others=others, replace=replace)
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


def _waiting(dataset: DatasetFolder) -> list[QueuedQuestion]:
    """The queue of a dataset; empty where nobody waits."""
    if dataset.manifest["settings"]["zero_score"]["action"] != ZeroScoreAction.ANNOTATE.value:
        raise InputFileError(
            f"dataset {dataset.folder}: it has no queue, for its recipe does not ask people. Build "
            "with zero_score.action: annotate"
        )
    name = f"{QUEUE}.parquet"
    listed = name in dataset.manifest["files"]
    return read(dataset.file(name), QueuedQuestion) if listed else []


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
