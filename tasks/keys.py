"""API keys: from an environment variable or a Secret block of the task engine, by name.

A recipe names its keys and never holds them. What is read here stays in memory: it is sent to the
model's server and to nobody else.
"""

import os
from collections.abc import Iterable, Mapping

import httpx
from prefect.blocks.system import Secret
from prefect.exceptions import PrefectException
from pydantic import SecretStr

from weak2wise_core.config import Backend, ModelSpec, Recipe
from weak2wise_core.errors import MissingKeyError

_LONGEST_CAUSE = 200


class Keys:
    """The keys of a build's models."""

    def __init__(self, blocks: Mapping[str, SecretStr] | None = None) -> None:
        """Hold what was read from Secret blocks, by the names of the blocks."""
        self._blocks = dict(blocks or {})

    def of(self, spec: ModelSpec) -> str:
        """The key of a model; "" where its server asks for none.

        Raises:
            MissingKeyError: The environment variable is not set, or the block was not read.
        """
        if spec.api_key_env is not None:
            return _from_environment(spec.api_key_env, model=spec.model)
        if spec.api_key_block is None:
            return ""
        if spec.api_key_block not in self._blocks:
            raise _no_block(spec.api_key_block, "it was not read")
        return self._blocks[spec.api_key_block].get_secret_value()


def check_environment(specs: Iterable[ModelSpec]) -> None:
    """Make sure that every environment variable with a key is set.

    Raises:
        MissingKeyError: One is not.
    """
    for spec in specs:
        if spec.api_key_env is not None:
            _from_environment(spec.api_key_env, model=spec.model)


async def read_keys(specs: Iterable[ModelSpec]) -> Keys:
    """Read every key that these models need, before anything is paid.

    Raises:
        MissingKeyError: A variable is not set, or a block is absent, empty or cannot be read.
    """
    served = [spec for spec in specs if spec.backend is Backend.OPENAI]
    check_environment(served)
    names = sorted({spec.api_key_block for spec in served if spec.api_key_block is not None})
    return Keys({name: await read_block(name) for name in names})


async def read_recipe_keys(recipe: Recipe) -> Keys:
    """The keys of all models of a recipe; see `read_keys`."""
    return await read_keys(recipe.models.specs().values())


async def read_block(name: str) -> SecretStr:
    """The text in a Secret block.

    Raises:
        MissingKeyError: There is no such block, it holds no text, or the server cannot be asked.
    """
    try:
        block: Secret[str] = await Secret.aload(name)
    except (ValueError, RuntimeError, httpx.HTTPError, PrefectException, OSError) as error:
        # not chained: what a server answers may hold more than its reader should see
        raise _no_block(name, _cause(error)) from None
    # not `get()`, which reads "007" as the number 7
    value: object = block.value.get_secret_value()
    if not isinstance(value, str) or not value.strip():
        raise _no_block(name, "it holds no text")
    return SecretStr(value.strip())


def _cause(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        hint = {
            401: "; set PREFECT_API_AUTH_STRING as on the server",
            500: "; was PREFECT_SERVER_ENCRYPTION_KEY changed on the server since it was saved?",
        }
        return f"the Prefect server answers with HTTP {status}{hint.get(status, '')}"
    first_line = str(error).partition("\n")[0][:_LONGEST_CAUSE]
    return f"{type(error).__name__}: {first_line}".removesuffix(": ")


def _from_environment(name: str, *, model: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise MissingKeyError(
            f"the API key of {model} is missing: set the environment variable {name} (its name "
            "comes from api_key_env in the recipe)"
        )
    return key


def _no_block(name: str, cause: str) -> MissingKeyError:
    return MissingKeyError(
        f"the Secret block {name!r} gives no key ({cause}). Save the key in a block of that name "
        "on the server that PREFECT_API_URL names: in its user interface under Blocks, or as "
        "deployments/SERVER.md shows"
    )
