"""`weak2wise report`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.building import AsJson
from flows.commands.exporting import DatasetPath
from weak2wise_core.dataset.publishing import REPORT
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset, refuse_published
from weak2wise_core.errors import InputFileError
from weak2wise_core.stores.files import atomic_write_bytes

_RUN_FACTS = ("calls", "stored", "usd", "seconds", "accounts", "stages")
_MISSING = ("uncounted", "unpriced")  # not among the facts of older builds


def report(
    dataset: DatasetPath,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="a file [default: report.html in the dataset]"),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="what `build --json` printed: adds what that run paid, and its times"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the page that shows a dataset: figures, audits, and every question with its traces.

    One file that needs no network. It is made of the tables and the manifest alone; every build
    writes it, and this command makes it anew.

    Example: `weak2wise report data/datasets/gr1k`
    """
    from weak2wise_core.dataset.reporting import tables_in
    from weak2wise_core.report.numbers import numbers
    from weak2wise_core.report.page import page
    from weak2wise_core.report.survey import survey

    found = open_dataset(dataset)
    if out is not None and out.resolve() != (found.folder / REPORT).resolve():
        refuse_published(out)
    facts = None if run is None else read_run(run, of=found)
    tables = tables_in(found)
    if as_json:
        plain = numbers(tables, survey(tables).counts) | ({} if facts is None else {"run": facts})
        typer.echo(json.dumps(plain, indent=2, sort_keys=True))
        return
    place = out or _default(found, with_run=facts is not None)
    atomic_write_bytes(place.absolute(), page(tables, run=facts).encode())
    typer.echo(f"{found.name} {found.version}: report in {place}")


def _default(dataset: DatasetFolder, *, with_run: bool) -> Path:
    """Beside the tables; a page about one run is no part of a dataset and lies where we are."""
    named = f"{dataset.name}-{dataset.version}-run.html"
    return Path(named) if with_run else dataset.folder / REPORT


def read_run(path: Path, *, of: DatasetFolder) -> dict[str, Any]:
    """What one run paid, from the facts that `build --json` prints.

    Raises:
        InputFileError: The file holds no such facts, or those of another dataset.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        run, version = facts["run"], facts.get("version")
        found = {name: run[name] for name in _RUN_FACTS}
        found |= {name: run.get(name, 0) for name in _MISSING}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputFileError(
            f"{path} does not hold what `weak2wise build --json` prints ({error!r}); write it with "
            "weak2wise build RECIPE --json > run.json"
        ) from error
    if version != of.version:
        raise InputFileError(
            f"{path} is about version {version}, and {of.folder} is version {of.version}; name "
            "that folder, or the facts of its own build"
        )
    return found
