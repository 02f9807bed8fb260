"""`weak2wise replies`: what the reply store holds, and its upkeep."""

import datetime
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.building import AsJson, Data, use_data_folder
from weak2wise_core.dataset.reading import refuse_published
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.stores.replies import ReplyStore
from weak2wise_core.stores.reply_reading import StoredReplies

app = typer.Typer(
    help="Count, remove, check or export the model replies that were ever paid for.",
    no_args_is_help=True,
)


@contextmanager
def _opened(data_dir: Path | None) -> Iterator[ReplyStore]:
    with ReplyStore(_place(data_dir), create=False) as store:
        yield store


@contextmanager
def _read(data_dir: Path | None) -> Iterator[ReplyStore | StoredReplies]:
    """The store to read, also where nothing can be written."""
    path = _place(data_dir)
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    with ReplyStore(path, create=False) if writable else StoredReplies(path) as store:
        yield store


def _place(data_dir: Path | None) -> Path:
    from tasks.runtime import REPLIES, data_folder

    use_data_folder(data_dir)
    path = data_folder() / REPLIES
    if not path.exists():
        raise InputFileError(f"there is no reply store at {path}; a build makes one")
    return path


@app.command("stats")
def stats(*, data_dir: Data = None, as_json: AsJson = False) -> None:
    """Count the replies by model and stage.

    Example: `weak2wise replies stats`
    """
    with _read(data_dir) as store:
        found = store.stats()
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    table = Table("model", "stage", "replies", "compressed MB", "oldest", "newest")
    for group in found.groups:
        table.add_row(
            group.model,
            group.stage,
            f"{group.replies:,}",
            f"{group.bytes / 1e6:.1f}",
            _day(group.oldest),
            _day(group.newest),
        )
    console = Console()
    console.print(table)
    console.print(f"{found.replies:,} replies, {found.bytes / 1e6:.1f} MB on the disk")


@app.command("prune")
def prune(
    *,
    older_than_days: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="at least this old")
    ] = None,
    model: Annotated[str | None, typer.Option(help="of this model, as `stats` names it")] = None,
    stage: Annotated[str | None, typer.Option(help="of this stage")] = None,
    data_dir: Data = None,
) -> None:
    """Remove replies; what is removed is paid for again when a build needs it.

    Example: `weak2wise replies prune --model judge --older-than-days 90`
    """
    if older_than_days is None and model is None and stage is None:
        raise UsageError("prune needs --older-than-days, --model or --stage; see --help")
    age = None if older_than_days is None else datetime.timedelta(days=older_than_days)
    with _opened(data_dir) as store:
        removed = store.prune(older_than=age, model=model, stage=stage)
    typer.echo(f"{removed:,} replies removed")


@app.command("verify")
def verify(
    *,
    remove: Annotated[bool, typer.Option("--remove", help="remove the damaged ones")] = False,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Read every reply and say which are damaged; exit code 1 if any is, also if it was removed.

    Example: `weak2wise replies verify`
    """
    removed = 0
    if remove:
        with _opened(data_dir) as store:
            found = store.verify()
            removed = store.remove(found.bad_keys) if found.bad_keys else 0
    else:
        with _read(data_dir) as readable:
            found = readable.verify()
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        typer.echo(f"{found.replies:,} replies, {len(found.bad_keys)} damaged")
        for text in (*found.bad_keys, *found.faults):
            typer.echo(f"  {text}")
        if removed:
            typer.echo(f"{removed:,} removed; a build that needs them asks for them again")
    if not found.sound:
        raise typer.Exit(1)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="where to write, one JSON object a line")],
    *,
    data_dir: Data = None,
) -> None:
    """Write every reply as a line of JSON.

    Example: `weak2wise replies export replies.jsonl`
    """
    refuse_published(file)
    with _read(data_dir) as store:
        written = store.export(file)
    typer.echo(f"{written:,} replies in {file}")


def _day(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).date().isoformat()
