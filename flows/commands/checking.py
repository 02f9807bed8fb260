"""`weak2wise doctor`: is everything there that a build needs?"""

import asyncio
import importlib.metadata
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from flows.commands.building import AsJson, Data, read_recipe, use_data_folder
from flows.commands.engine import refusal, server_url
from weak2wise_core.config import Backend, ModelSpec, Recipe
from weak2wise_core.errors import RecipeError, Weak2WiseError
from weak2wise_core.recipe_files import check_files

if TYPE_CHECKING:
    from tasks.keys import Keys

LEAST_FREE_BYTES = 2_000_000_000
_PACKAGES = ("prefect", "fastapi", "sqlalchemy", "openai", "transformers", "pyarrow")
_EXTRAS = {"torch": "local", "trl": "train", "lm_eval": "eval", "uvloop": "scale"}
_SECONDS_FOR_AN_ENDPOINT = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def doctor(
    recipe: Annotated[
        Path | None, typer.Argument(help="a recipe whose keys and endpoints are checked too")
    ] = None,
    *,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Check keys, endpoints, disk, Prefect and versions. Nothing is asked that costs money.

    Example: `weak2wise doctor deployments/recipes/gr1k.yaml`
    """
    use_data_folder(data_dir)
    findings = [*_versions(), _disk(), asyncio.run(_engine())]
    if recipe is not None:
        wanted = read_recipe(recipe, None, None)
        files = _files(wanted)
        findings += [files, *(_questions(wanted) if files.ok else ())]
        keys, found = asyncio.run(_blocks(wanted))
        findings += [*found, *_models(wanted, keys)]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        console = Console()
        for one in findings:
            mark = ("ok   ", "green") if one.ok else ("fault", "red")
            console.print(Text.assemble(mark, f" {one.what}: {one.detail}"), soft_wrap=True)
    if not all(one.ok for one in findings):
        raise typer.Exit(1)


def _versions() -> Iterator[Finding]:
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    yield Finding("versions", ok=True, detail=found)
    for package, extra in _EXTRAS.items():
        try:
            detail = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            detail = f"not installed; pip install 'weak2wise[{extra}]' where it is needed"
        yield Finding(f"extra {extra}", ok=True, detail=f"{package} {detail}")


def _disk() -> Finding:
    from tasks.runtime import data_folder

    folder = data_folder()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    detail = f"{folder}, {free / 1e9:.1f} GB free"
    return Finding("data folder", ok=free >= LEAST_FREE_BYTES, detail=detail)


async def _engine() -> Finding:
    import httpx

    url = server_url()
    if not url:
        detail = "no server is set (PREFECT_API_URL): builds start one of their own"
        return Finding("prefect", ok=True, detail=detail)
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        error = await client.api_healthcheck()
        if error is not None:
            return Finding("prefect", ok=False, detail=f"{url} does not answer: {error}")
        try:
            await client.api_version()  # the health check is open to everybody
        except httpx.HTTPStatusError as refused:
            detail = refusal(refused.response.status_code)
            return Finding("prefect", ok=False, detail=detail)
    return Finding("prefect", ok=True, detail=f"{url} answers")


def _files(recipe: Recipe) -> Finding:
    from tasks.runtime import data_folder

    try:
        check_files(recipe, data=data_folder())
    except RecipeError as error:
        return Finding("files", ok=False, detail=str(error))
    return Finding("files", ok=True, detail="all lie where the recipe may read them")


async def _blocks(recipe: Recipe) -> tuple["Keys", list[Finding]]:
    """What the Secret blocks hold that the recipe names, and which of them hold nothing."""
    from tasks.keys import Keys, read_block

    specs = recipe.models.specs().values()
    read, findings = {}, []
    for name in sorted({spec.api_key_block for spec in specs if spec.api_key_block}):
        try:
            read[name] = await read_block(name)
        except Weak2WiseError as error:
            findings.append(Finding(f"Secret block {name}", ok=False, detail=str(error)))
        else:
            findings.append(Finding(f"Secret block {name}", ok=True, detail="holds a key"))
    return Keys(read), findings


def _questions(recipe: Recipe) -> Iterator[Finding]:
    from weak2wise_core.questions import load_questions

    try:
        found = load_questions(recipe.questions)
    except Weak2WiseError as error:
        yield Finding("questions", ok=False, detail=str(error))
        return
    detail = f"{len(found.questions)} usable of {found.rows} rows in {recipe.questions.path}"
    yield Finding("questions", ok=True, detail=detail)


def _models(recipe: Recipe, keys: "Keys") -> Iterator[Finding]:
    from tasks.identities import local_model

    for name, spec in recipe.models.specs().items():
        if spec.backend is Backend.OPENAI:
            for url in spec.base_urls:
                yield asyncio.run(_endpoint(name, spec, url, keys))
            continue
        try:
            parts = (f"{name} {value}" for name, value in local_model(spec).identity.items())
            detail = ", ".join(parts)
        except Weak2WiseError as error:
            yield Finding(f"model {name}", ok=False, detail=str(error))
        else:
            yield Finding(f"model {name}", ok=True, detail=detail)


async def _endpoint(name: str, spec: ModelSpec, url: str, keys: "Keys") -> Finding:
    """Ask an endpoint for its list of models; free of charge everywhere."""
    import aiohttp

    from weak2wise_core.llm.replicas import shown_address

    what = f"model {name} at {shown_address(url)}"
    try:
        headers = {"Authorization": f"Bearer {keys.of(spec)}"}
        timeout = aiohttp.ClientTimeout(total=_SECONDS_FOR_AN_ENDPOINT)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/models", headers=headers) as response,
        ):
            status = response.status
    except Weak2WiseError as error:
        return Finding(what, ok=False, detail=str(error))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return Finding(what, ok=False, detail=f"no answer: {type(error).__name__}: {error}")
    if status in {401, 403}:
        return Finding(what, ok=False, detail=f"the key in {spec.key_source} was refused")
    ok = status < 500
    return Finding(what, ok=ok, detail=f"answers (HTTP {status} to the list of models)")
