"""What the options of `weak2wise sft` mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from flows.commands.building import read_recipe
from weak2wise_core.config import TrainingSettings
from weak2wise_core.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from weak2wise_core.training.jobs import TrainingJob

SECTION = "training."


def settings_of(
    recipe: Path | None, overrides: Sequence[str] | None, *, model: str | None
) -> TrainingSettings:
    """The settings of a recipe, or the paper's, with the command line's changes.

    Raises:
        RecipeError: The recipe or a change is not valid.
    """
    if recipe is not None:
        found = read_recipe(recipe, None, list(overrides or [])).training
    else:
        found = _changed(overrides or [])
    return found if model is None else found.model_copy(update={"model": model})


def _changed(overrides: Sequence[str]) -> TrainingSettings:
    content: dict[str, Any] = {}
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals or not key.startswith(SECTION):
            raise RecipeError(f"--set {item}: write {SECTION}KEY=VALUE, or give a --recipe as well")
        _put(content, key.removeprefix(SECTION).split("."), _value(item, value))
    try:
        return TrainingSettings.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        where = SECTION + ".".join(str(part) for part in fault["loc"])
        unknown = fault["type"] == "extra_forbidden"
        reason = "unknown key; correct its spelling" if unknown else fault["msg"]
        raise RecipeError(f"--set {where}: {reason}") from error


def _put(content: dict[str, Any], path: Sequence[str], value: object) -> None:
    *parents, last = path
    for part in parents:
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise RecipeError(f"--set {SECTION}{'.'.join(path)}: {part} is set to a value already")
    content[last] = value


def _value(item: str, text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {item}: the value is not YAML: {error}") from error


def job_of(dataset: str, settings: TrainingSettings, *, name: str | None) -> "TrainingJob":
    """The training that the command line means.

    Raises:
        UsageError: Dataset, name or model cannot be used.
    """
    from tasks.training_jobs import open_job

    try:
        return open_job(dataset, settings, name=name)
    except ValidationError as error:
        raise UsageError(
            f"--name {name}: a name has letters, digits, '.', '_' and '-', and begins with one of "
            "the first two"
        ) from error
