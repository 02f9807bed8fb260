"""What the options of `weak2wise evaluate` mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from weak2wise_core.config import (
    Backend,
    BenchmarkKind,
    BudgetSettings,
    EvaluationSettings,
    ModelSpec,
    Recipe,
)
from weak2wise_core.errors import RecipeError, UsageError

SECTION = "evaluation."
KINDS = ", ".join(kind.value for kind in BenchmarkKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    model: ModelSpec
    settings: EvaluationSettings
    against: str | ModelSpec | None
    name: str | None
    budget: BudgetSettings
    in_flight: int | None


def model_of(
    model: str, *, recipe: Recipe | None, base_urls: Sequence[str], api_key_env: str | None
) -> ModelSpec:
    """The model that the command line names.

    Raises:
        UsageError: The options contradict each other, or an address is none.
    """
    if base_urls:
        content: dict[str, Any] = {"backend": "openai", "model": model, "base_urls": base_urls}
        try:
            return ModelSpec.model_validate(content | {"api_key_env": api_key_env})
        except ValidationError as error:
            raise UsageError(f"--base-url: {_first(error)}") from error
    if api_key_env is not None:
        raise UsageError("--api-key-env is for a server: name its address with --base-url")
    named = recipe.models.specs() if recipe is not None else {}
    if model in named:
        return named[model]
    return ModelSpec(backend=Backend.TRANSFORMERS, model=model)


def against_of(
    against: str | None, *, like: ModelSpec, recipe: Recipe | None
) -> str | ModelSpec | None:
    """The other model: earlier results, a recipe's model, or one that is run as the first is."""
    from weak2wise_core.evaluation.publishing import holds_results

    if against is None or holds_results(Path(against)):
        return against
    named = recipe.models.specs() if recipe is not None else {}
    if against in named:
        return named[against]
    if like.backend is Backend.OPENAI and not Path(against).is_dir():
        return like.model_copy(update={"model": against})
    return against


def settings_of(
    recipe: Recipe | None,
    overrides: Sequence[str] | None,
    *,
    benchmarks: Sequence[str],
    samples: int | None,
    limit: int | None = None,
) -> EvaluationSettings:
    """The settings of the recipe, or the usual ones, with the command line's changes.

    Raises:
        UsageError: A benchmark or a value is not valid.
    """
    content: dict[str, Any] = (
        dict(_changes(overrides or []))
        if recipe is None
        else recipe.evaluation.model_dump(mode="json", exclude_unset=True)
    )
    if benchmarks:
        content["benchmarks"] = [_benchmark(item) for item in benchmarks]
    if limit is not None:
        content["benchmarks"] = [{**one, "limit": limit} for one in content.get("benchmarks", ())]
    if samples is not None:
        content["samples"] = samples
    try:
        return EvaluationSettings.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"evaluation.{_first(error)}") from error


def _changes(overrides: Sequence[str]) -> Iterator[tuple[str, object]]:
    """Values of the section `evaluation`, where no recipe is given."""
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals or not key.startswith(SECTION) or "." in key.removeprefix(SECTION):
            raise UsageError(
                f"--set {item}: without a recipe write {SECTION}KEY=VALUE, as in "
                f"{SECTION}temperature=0"
            )
        try:
            yield key.removeprefix(SECTION), yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {item}: the value is not YAML: {error}") from error


def _benchmark(item: str) -> Mapping[str, str]:
    kind, equals, path = item.partition("=")
    if not equals or not path or kind not in set(BenchmarkKind):
        raise UsageError(f"--benchmark {item}: write KIND=FILE, where KIND is one of {KINDS}")
    return {"kind": kind, "path": path}


def _first(error: ValidationError) -> str:
    """The first fault, with the key that it is in."""
    fault = error.errors(include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or correct its spelling"
    return f"{where}: {str(fault['msg']).removeprefix('Value error, ')}".removeprefix(": ")
