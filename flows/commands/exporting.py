"""`weak2wise export` and `weak2wise push`: a dataset for trainers and for hubs."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.building import AsJson
from weak2wise_core.dataset.card_parts import CardDetails
from weak2wise_core.dataset.reading import DatasetFolder, refuse_published
from weak2wise_core.errors import MissingKeyError, UsageError
from weak2wise_core.exporting.folder import TABLES, Selection, select, write_folder
from weak2wise_core.exporting.hub import Pushed, check_repository
from weak2wise_core.exporting.hub import push as upload
from weak2wise_core.exporting.sources import open_given
from weak2wise_core.exporting.trainers import (
    Target,
    export_jsonl,
    export_llama_factory,
    export_trl,
    holds_pairs,
)

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the name of a variable
_ENDINGS = {
    Target.TRL: ".parquet",
    Target.JSONL: ".jsonl",
    Target.LLAMA_FACTORY: "-llama-factory",
    Target.HUB: "",
}

DatasetPath = Annotated[
    Path,
    typer.Argument(
        help="folder of a dataset, or of all its versions; or its name below the data folder",
        metavar="DATASET",
    ),
]
Tables = Annotated[
    str | None,
    typer.Option(
        help=f"further tables, separated by commas: {', '.join(TABLES)}; of a related method "
        "questions, quarantine and answers-ROLE; or all"
    ),
]
License = Annotated[str, typer.Option("--license", help="licence on the card, as hubs spell it")]
Language = Annotated[
    list[str] | None,
    typer.Option("--language", help="language on the card, as in en; may be repeated"),
]


def export(
    dataset: DatasetPath,
    *,
    to: Annotated[Target, typer.Option(help="whom it is for")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="a file; for llama-factory and hub a folder [default: named after the version]",
        ),
    ] = None,
    tables: Tables = None,
    license_: License = "other",
    language: Language = None,
    force: Annotated[
        bool, typer.Option("--force", help="replace a file or entry that says something else")
    ] = False,
) -> None:
    """Write the training set for another program.

    `trl`: conversations as Parquet. `jsonl`: the same as lines of JSON. `llama-factory`: a file
    and its entry in a `dataset_info.json`, beside those that are there. `hub`: the folder that
    `push` would upload, for `datasets.load_dataset`; tables, licence and language are for it.

    Example: `weak2wise export data/datasets/gr1k --to llama-factory -o LLaMA-Factory/data`
    """
    found = open_given(_place(dataset))
    place = out or Path(f"{found.name}-{found.version}{_ENDINGS[to]}")
    refuse_published(place / "a file")  # a place may be a folder, and the dataset itself
    if to is Target.HUB:
        details = CardDetails(license=license_, languages=tuple(language or ()))
        written = write_folder(select(found, tables=_names(tables), details=details), place)
    else:
        written = _write(found, to, place, replace=force)
    what = "preference pairs" if holds_pairs(found) else "training rows"
    typer.echo(f"{found.manifest['counts']['train']} {what} in {written}")


def _place(dataset: Path) -> Path:
    """The folder that a person means: a folder here comes before a name below the data folder."""
    if dataset.exists():
        return dataset
    from tasks.runtime import data_folder

    named = data_folder() / "datasets" / dataset
    return named if named.exists() else dataset


def _write(dataset: DatasetFolder, to: Target, place: Path, *, replace: bool) -> Path:
    if to is Target.TRL:
        return export_trl(dataset, place, replace=replace)
    if to is Target.JSONL:
        return export_jsonl(dataset, place, replace=replace)
    return export_llama_factory(dataset, place, replace=replace)


def push(
    dataset: DatasetPath,
    repository: Annotated[str, typer.Argument(help="OWNER/NAME", metavar="REPOSITORY")],
    *,
    tables: Tables = None,
    license_: License = "other",
    language: Language = None,
    public: Annotated[bool, typer.Option("--public", help="let everybody read it")] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(help="address of the hub [default: HF_ENDPOINT, or huggingface.co]"),
    ] = None,
    token_env: Annotated[
        str | None, typer.Option(help=f"variable with the token [default: {TOKEN_VARIABLE}]")
    ] = None,
    token_block: Annotated[
        str | None, typer.Option(help="Secret block of the Prefect server with the token")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be uploaded, and end")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Upload a dataset to a repository of the Hugging Face hub, private unless told otherwise.

    What goes there: the training set, the scores, manifest and card. Candidates, quarantine and
    the other tables hold what teachers and weak model said; they go along only with `--tables`.
    Datasets of `weak-to-strong` and `w2sr`, preference pairs too, are uploaded in the same way.
    The commit is tagged with the dataset's version, for `load_dataset(..., revision=VERSION)`.

    Example: `weak2wise push data/datasets/gr1k my-team/gr1k --license apache-2.0 --language en`
    """
    check_repository(repository)
    details = CardDetails(license=license_, languages=tuple(language or ()), place=repository)
    selection = select(open_given(_place(dataset)), tables=_names(tables), details=details)
    _show(selection, repository, public=public, console=Console(stderr=True))
    pushed = None
    if not dry_run:
        token = find_token(variable=token_env, block=token_block, endpoint=endpoint)
        pushed = upload(
            selection, repository=repository, token=token, public=public, endpoint=endpoint
        )
    typer.echo(_told(selection, pushed, as_json=as_json))


def find_token(*, variable: str | None, block: str | None, endpoint: str | None) -> str:
    """The hub's token: from a Secret block, a variable, or what `hf auth login` saved.

    The saved token belongs to the hub that one logged in to; it is not sent to another `endpoint`.

    Raises:
        MissingKeyError: There is none.
        UsageError: Both a variable and a block are named.
    """
    if block is not None:
        if variable is not None:
            raise UsageError("name either --token-env or --token-block")
        return _from_block(block)
    found = os.environ.get(variable or TOKEN_VARIABLE, "").strip()
    if not found and variable is None and endpoint is None:
        from huggingface_hub import get_token

        found = get_token() or ""
    if not found:
        raise MissingKeyError(
            f"the hub's token is missing: set the environment variable {variable or TOKEN_VARIABLE}"
            ", or name another with --token-env or a Secret block with --token-block"
        )
    return found


def _from_block(name: str) -> str:
    from tasks.keys import read_block

    try:
        return asyncio.run(read_block(name)).get_secret_value()
    except MissingKeyError as error:
        raise MissingKeyError(f"--token-block: {error}") from None


def _names(tables: str | None) -> list[str]:
    return [name.strip() for name in (tables or "").split(",") if name.strip()]


def _show(selection: Selection, repository: str, *, public: bool, console: Console) -> None:
    """What is uploaded and what is not, before it happens."""
    dataset, kind = selection.dataset, "public" if public else "private"
    console.print(f"{dataset.name} {dataset.version} for {repository} ({kind}):", soft_wrap=True)
    table = Table("file", "bytes")
    table.columns[1].justify = "right"
    for name, size in selection.sizes.items():
        table.add_row(name, f"{size:,}")
    console.print(table)
    for name, said in selection.left_out.items():
        console.print(f"not uploaded: {name} ({said}); --tables {name}", soft_wrap=True)
    details = selection.details
    languages = ", ".join(details.languages) or "not named; add --language"
    console.print(f"licence on the card: {details.license}; language: {languages}", soft_wrap=True)


def _told(selection: Selection, pushed: Pushed | None, *, as_json: bool) -> str:
    dataset = selection.dataset
    if as_json:
        facts = {
            "dataset": dataset.name,
            "version": dataset.version,
            "files": selection.sizes,
            "left_out": list(selection.left_out),
            "url": pushed.url if pushed else None,
            "commit": pushed.commit if pushed else None,
            "private": pushed.private if pushed else None,
        }
        return json.dumps(facts, indent=2, sort_keys=True)
    if pushed is None:
        return "nothing is uploaded: this was a dry run"
    kind = "private" if pushed.private else "public"
    return f"{pushed.url} ({kind}) holds {dataset.name} {pushed.version}, commit {pushed.commit}"
