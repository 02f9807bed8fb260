"""Recipes from YAML files and from memory; every fault is named by its key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import ValidationError

from weak2wise_core.config import Recipe, Settings
from weak2wise_core.errors import RecipeError

R = TypeVar("R", bound=Settings)


@overload
def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe: ...
@overload
def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None, *, kind: type[R]) -> R: ...
def load_recipe(
    path: Path, overrides: Mapping[str, Any] | None = None, *, kind: type[Any] = Recipe
) -> Any:
    """Read a recipe from a YAML file.

    Args:
        path: The file.
        kind: What it describes: a build, or a run of one of the related methods.
        overrides: Values that replace the file's, by dotted key such as `step_mask.beta`. A number
            between dots picks an entry of a list, as in `models.strong.0.temperature`.

    Raises:
        RecipeError: The file cannot be read, is not YAML, or does not describe a recipe. The
            message names every faulty key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"recipe {path} is not YAML: {yaml_fault(error)}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"recipe {path} holds no keys; see deployments/recipes for examples")
    for key, value in (overrides or {}).items():
        _set_by_path(content, key, value)
    return parse_recipe(content, source=str(path), kind=kind)


@overload
def parse_recipe(content: Mapping[str, Any], *, source: str = ...) -> Recipe: ...
@overload
def parse_recipe(content: Mapping[str, Any], *, source: str = ..., kind: type[R]) -> R: ...
def parse_recipe(
    content: Mapping[str, Any], *, source: str = "the recipe", kind: type[Any] = Recipe
) -> Any:
    """Validate a recipe that is already in memory.

    Raises:
        RecipeError: It is not a recipe; every faulty key is named.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = "\n".join(_fault(item) for item in error.errors(include_input=False))
        raise RecipeError(f"{source} is not a valid recipe:\n{faults}") from error


def yaml_fault(error: Exception) -> str:
    """What is wrong with a text that is not YAML, and where; without its words.

    The parser's own message shows the line, in which somebody may have put a key.
    """
    problem = getattr(error, "problem", None) or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    return problem if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _fault(item: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "recipe"
    if item["type"] == "extra_forbidden":
        return f"  {where}: unknown key; remove it or correct its spelling"
    if item["type"] == "model_type":
        return f"  {where}: a section with keys of its own was expected; fill it or leave it out"
    return f"  {where}: {str(item['msg']).removeprefix('Value error, ')}"


def _set_by_path(content: dict[str, Any], dotted: str, value: object) -> None:
    *parents, last = dotted.split(".")
    node: Any = content
    for part in parents:
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict):
            node = node.setdefault(part, {})
        else:
            raise RecipeError(f"--set {dotted}: there is nothing called {part!r} to set a key in")
    if isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise RecipeError(f"--set {dotted}: {last!r} cannot be set there")
