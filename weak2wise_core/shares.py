"""What several processes share: calls in flight, limits of models, and the budget, divided.

Every process gets a part for itself, so that none has to ask another one before a call. The parts
add up to the whole: together the processes never have more calls open, or ask more in a minute, or
spend more, than the recipe allows to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from weak2wise_core.config import BudgetSettings, ModelSpec, Recipe
from weak2wise_core.sharding import Shard

_LIMITS = ("in_flight", "rpm", "tpm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a build has paid so far, all processes together."""

    calls: int = 0
    usd: float = 0.0


def most_processes(recipe: Recipe) -> int:
    """How many processes a recipe can be shared among, each with one call at least."""
    limits = [recipe.execution.in_flight]
    for spec in recipe.models.specs().values():
        limits += [limit for name in _LIMITS if (limit := getattr(spec, name)) is not None]
    return min(limits)


def shares(whole: int, parts: int) -> list[int]:
    """A whole number in parts that differ by one at most and add up to it.

    Example:
        >>> shares(8, 3)
        [3, 3, 2]
    """
    each, rest = divmod(whole, parts)
    return [each + (number < rest) for number in range(parts)]


def divided(recipe: Recipe, parts: int, *, spent: Spending = Spending()) -> list[Recipe]:
    """The recipe for each of several processes.

    Args:
        recipe: The recipe of the whole build.
        parts: How many processes, at most `most_processes`.
        spent: What the build has paid already.
    """
    if parts > most_processes(recipe):
        raise ValueError(f"{parts} processes cannot share what {most_processes(recipe)} can")
    return [_share(recipe, number, parts, spent) for number in range(parts)]


def dealt(shards: Sequence[Shard], parts: int) -> list[list[Shard]]:
    """The shards in groups of about as many questions each; a group may be empty."""
    groups: list[list[Shard]] = [[] for _ in range(parts)]
    sizes = [0] * parts
    for shard in sorted(shards, key=lambda one: (-len(one.questions), one.name)):
        least = sizes.index(min(sizes))
        groups[least].append(shard)
        sizes[least] += len(shard.questions)
    return groups


def _share(recipe: Recipe, number: int, parts: int, spent: Spending) -> Recipe:
    models = recipe.models
    own = {
        "weak": _limited(models.weak, number, parts),
        "strong": tuple(_limited(spec, number, parts) for spec in models.strong),
        "judge": models.judge and _limited(models.judge, number, parts),
        "truncator": models.truncator and _limited(models.truncator, number, parts),
    }
    in_flight = shares(recipe.execution.in_flight, parts)[number]
    return recipe.model_copy(
        update={
            "models": models.model_copy(update=own),
            "execution": recipe.execution.model_copy(update={"in_flight": in_flight}),
            "budget": _budget(recipe.budget, number, parts, spent),
        }
    )


def _limited(spec: ModelSpec, number: int, parts: int) -> ModelSpec:
    limits = {name: getattr(spec, name) for name in _LIMITS}
    own = {name: shares(n, parts)[number] for name, n in limits.items() if n is not None}
    return spec.model_copy(update=own)


def _budget(budget: BudgetSettings, number: int, parts: int, spent: Spending) -> BudgetSettings:
    usd, calls = budget.usd, budget.calls
    return BudgetSettings(
        usd=None if usd is None else max(usd - spent.usd, 0.0) / parts,
        calls=None if calls is None else shares(max(calls - spent.calls, 0), parts)[number],
    )
